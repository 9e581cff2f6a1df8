/** The signing service: hello, what is no request, and connections that come and go. */

import { describe, expect, it, type Mock, vi } from "vitest"
import { TLS_SERVER_POLICY } from "../../enclave/policy/tls-server.js"
import { type Channel, SigningConnection } from "../../enclave/server/signing-connection.js"
import type { SigningChannelHandlers } from "../../native/addon/index.js"
import { encodeCbor } from "../../shared/cbor.js"
import { encodeFrame, MAX_FRAME_BYTES } from "../../shared/frame.js"
import { Client } from "./client.js"
import { digestInfo } from "./keys.js"
import { recordingLog } from "./log.js"
import { hashOf, PIN, p256, rsa, sign, statusOf, useSigningService } from "./signing-service.js"

const service = useSigningService()
const { restart, connect, greeted, loggedIn, stillServes } = service

/** A connection over a channel that leads nowhere. */
function greetable() {
  const names = ["send", "greet", "prove", "pause", "resume", "close", "destroy"] as const
  const channel = Object.fromEntries(names.map((name) => [name, vi.fn()])) as Record<
    keyof Channel,
    Mock
  >
  const { log } = recordingLog()
  const { store, latency } = service
  let handlers: SigningChannelHandlers | undefined
  const adopt = (given: SigningChannelHandlers) => {
    handlers = given
    return channel
  }
  new SigningConnection(adopt, { store, policy: TLS_SERVER_POLICY, latency, log }, () => {})
  if (handlers === undefined) throw new Error("nobody listens")
  return { channel, handlers }
}

describe("hello", () => {
  it("comes first; anything else before it is refused, on a connection that stays", async () => {
    const client = await connect()
    expect(await statusOf(client.ask("generation"))).toBe("hello-required")
    expect(await statusOf(client.ask("list", 0))).toBe("hello-required")
    expect(await statusOf(client.ask("login", "rsa", PIN))).toBe("hello-required")
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("hello-required")
    expect(await statusOf(client.ask("random", 32))).toBe("hello-required")
    const decrypt = client.ask("decrypt", rsa.fingerprint, "RSA_PKCS", Buffer.alloc(256), null)
    expect(await statusOf(decrypt)).toBe("hello-required")
    expect(await statusOf(client.ask("no such op"))).toBe("hello-required")
    expect(await client.ask("hello", 1)).toEqual([0, 1])
    await stillServes(client)
  })

  it("of a later version is answered with ours", async () => {
    const client = await connect()
    expect(await client.ask("hello", 7)).toEqual([0, 1])
    await stillServes(client)
  })

  it("of no version is malformed", async () => {
    const client = await connect()
    for (const version of [0, -1, "1", null]) {
      expect(await statusOf(client.ask("hello", version))).toBe("malformed-request")
    }
    expect(await statusOf(client.ask("generation"))).toBe("hello-required")
    expect(await client.ask("hello", 1)).toEqual([0, 1])
  })

  it("must come within 5 s", () => {
    vi.useFakeTimers()
    try {
      const [silent, polite] = [greetable(), greetable()]
      polite.handlers.payload(encodeCbor([1, "hello", 1]))
      vi.advanceTimersByTime(4_999)
      expect(silent.channel.destroy).not.toHaveBeenCalled()
      vi.advanceTimersByTime(1)
      expect(silent.channel.destroy).toHaveBeenCalledOnce()
      vi.advanceTimersByTime(3_600_000)
      expect(polite.channel.destroy).not.toHaveBeenCalled()
    } finally {
      vi.useRealTimers()
    }
  })
})

describe("what is no request", () => {
  it("unknown operations leave the connection as it is", async () => {
    const client = await loggedIn("p256")
    for (const op of ["verify", "SIGN", "", "constructor"]) {
      expect(await statusOf(client.ask(op, 1))).toBe("unknown-op")
    }
    await stillServes(client)
  })

  it("malformed requests are answered by their id on a connection that stays", async () => {
    const client = await loggedIn("p256")
    expect(await statusOf(client.ask("list"))).toBe("malformed-request")
    expect(
      await statusOf(client.ask("sign", Buffer.alloc(31), "ECDSA", Buffer.alloc(32), null)),
    ).toBe("malformed-request")
    expect(await statusOf(client.ask("login", "p256", 1234))).toBe("malformed-request")
    const zero = client.answerTo(0)
    client.send("hello")
    expect(await zero).toEqual([0, 1])
    await stillServes(client)
  })

  it.each([
    ["bytes that are no CBOR", encodeFrame(Buffer.from("ffff", "hex")), 1],
    ["CBOR outside the subset", encodeFrame(Buffer.from("8201f7", "hex")), 1],
    ["CBOR and more", encodeFrame(Buffer.from("8000", "hex")), 1],
    ["an empty frame", Buffer.alloc(4), 1],
    ["a frame cut by the end", encodeFrame(Buffer.alloc(9)).subarray(0, 9), undefined],
    ["a frame that is too large", Buffer.from("00010001", "hex"), 2],
    ["a frame of 4 GiB", Buffer.from("ffffffff", "hex"), 2],
  ])("%s is answered as request 0, and the connection closed", async (_name, bytes, status) => {
    const client = await loggedIn("p256")
    const before = client.answers.length
    client.raw(bytes)
    if (status === undefined) client.socket.end()
    await client.closed
    const expected = status === undefined ? [[0, 1]] : [[0, status]]
    const rest = client.answers.slice(before)
    if (status !== undefined || rest.length > 0) expect(rest).toEqual(expected)
    await stillServes()
  })

  it("a request of the largest size is read", async () => {
    const client = await loggedIn("p256")
    const data = Buffer.alloc(MAX_FRAME_BYTES - 60)
    expect(await statusOf(sign(client, p256, "ECDSA", data))).toBe("data-len-range")
    await stillServes(client)
  })

  it("a client that vanishes within its requests harms nobody", async () => {
    for (let i = 0; i < 20; i++) {
      const client = await loggedIn("rsa")
      const data = digestInfo("SHA-256", hashOf("SHA-256"))
      for (let j = 0; j < 5; j++) client.send([j, "sign", rsa.fingerprint, "RSA_PKCS", data, null])
      client.close()
    }
    await stillServes()
  })
})

describe("connections", () => {
  it("beyond the limit are closed at once, until others end", async () => {
    await restart({ maxConnections: 2 })
    const [first] = [await greeted(), await greeted()]
    const third = await connect()
    await third.closed
    expect(third.answers).toEqual([])
    expect(service.lines.some((line) => line.includes("too many are open"))).toBe(true)
    first?.close()
    await vi.waitFor(async () => {
      const client = await connect()
      const answered = await Promise.race([
        client.ask("hello", 1).then(() => true),
        client.closed.then(() => false),
      ])
      expect(answered).toBe(true)
    })
  })

  it("end with the service", async () => {
    const client = await greeted()
    await service.listener.close()
    await client.closed
    await expect(Client.connect(service.path)).rejects.toThrow(/ENOENT|ECONNREFUSED/)
  })
})
