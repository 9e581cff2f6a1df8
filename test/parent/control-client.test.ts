/** The agent's side of the control service against a service that behaves and one that does not. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Duplex } from "node:stream"
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest"
import { ControlClient } from "../../parent/enclave-host/control-client.js"
import { isCodedError } from "../../shared/errors.js"
import type { ControlRequest, ProvisionRequest } from "../../shared/protocol/control.js"
import {
  ControlServer,
  enclaveDescription,
  futureRefusal,
  type Handler,
  tokenDescription,
} from "./control-server.js"
import { refusalOf } from "./refusal.js"

const SECRET = Buffer.alloc(32, 7)
const REQUEST: ProvisionRequest = {
  label: "www",
  pin: "p1n-of-the-test",
  certificates: [Buffer.from("certificate")],
  encryptedPrivateKey: Buffer.from("ciphertext"),
  keyId: null,
  region: "us-east-1",
  credentials: { accessKeyId: "ASIA0123456789ABCDEF", secretAccessKey: "s", sessionToken: null },
  encryptionContext: { a: "b" },
  stage: false,
}
const CREDENTIALS = REQUEST.credentials

let dir: string
let count = 0
const stops: (() => unknown)[] = []
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "control-"))
})
afterEach(async () => {
  vi.useRealTimers()
  for (const stop of stops.splice(0)) await stop()
})
afterAll(() => rm(dir, { recursive: true }))

async function connected(handler: Handler, ownHello = false) {
  const path = join(dir, `${count++}.sock`)
  const server = await ControlServer.start(path, handler, { ownHello })
  stops.push(() => server.stop())
  const client = await ControlClient.connect(server.address, SECRET, {})
  stops.push(() => client.close())
  return { server, client }
}

describe("requests", () => {
  it("begin with hello and the secret, and are sent as the protocol has them", async () => {
    const { server, client } = await connected(({ op }, answer) => {
      if (op === "describe") answer.result(enclaveDescription())
      else answer.result(op === "remove" ? null : tokenDescription())
    })
    await client.describe()
    await client.provision(REQUEST)
    await client.refresh("www", CREDENTIALS)
    await client.remove("www")
    const ids = server.requests.map(({ id }) => id)
    expect(new Set(ids).size).toBe(5)
    const sent = server.requests.map(({ op, fields }) => [op, fields])
    expect(sent).toEqual([
      ["hello", { version: 1, secret: SECRET }],
      ["describe", { offset: 0 }],
      ["provision", REQUEST],
      ["refresh", { label: "www", credentials: CREDENTIALS }],
      ["remove", { label: "www" }],
    ])
  })

  it("get their own answers, in whatever order these come", async () => {
    const held: (() => void)[] = []
    const { client } = await connected(({ fields }, answer) => {
      const { label } = fields as { label: string }
      held.push(() => answer.result(tokenDescription({ label })))
      if (held.length === 3) for (const send of held.toReversed()) send()
    })
    const labels = ["a", "b", "c"]
    const answers = await Promise.all(labels.map((label) => client.refresh(label, CREDENTIALS)))
    expect(answers.map(({ label }) => label)).toEqual(labels)
  })

  it("ignore an answer that nobody waits for", async () => {
    const { client } = await connected((_request, answer) => {
      answer.raw(Buffer.from("83190fff00f6", "hex")) // [4095, 0, null]
      answer.result(enclaveDescription())
    })
    expect((await client.describe()).policy).toBe("tls-server")
  })

  it("too large for a frame are refused here, and leave the connection as it was", async () => {
    const { client } = await connected((_request, answer) => answer.result(enclaveDescription()))
    const certificates = Array.from({ length: 9 }, () => Buffer.alloc(8_192))
    const { code, advice } = await refusalOf(client.provision({ ...REQUEST, certificates }))
    expect(code).toBe("frame-too-large")
    expect(advice).toContain("chain")
    expect((await client.describe()).debug).toBe(false)
  })
})

describe("a description of more tokens than fit a frame", () => {
  const LABELS = ["a", "b", "c", "d", "e"]
  const pageOf = (request: ControlRequest, generation: number) => {
    const { offset } = request.fields as { offset: number }
    const tokens = LABELS.slice(offset, offset + 2).map((label) => tokenDescription({ label }))
    return enclaveDescription({ generation, tokens })
  }

  it("is put together from its pages", async () => {
    const { client } = await connected((request, answer) => answer.result(pageOf(request, 1)))
    const { tokens } = await client.describe()
    expect(tokens.map(({ label }) => label)).toEqual(LABELS)
  })

  it("that never ends is control-protocol", async () => {
    const tokens = Array.from({ length: 100 }, () => tokenDescription())
    const { client } = await connected((_request, answer) =>
      answer.result(enclaveDescription({ tokens })),
    )
    expect((await refusalOf(client.describe())).code).toBe("control-protocol")
  })

  it("is asked for again when the tokens change meanwhile", async () => {
    let asked = 0
    const { client } = await connected((request, answer) => {
      answer.result(pageOf(request, ++asked === 2 ? 2 : asked > 2 ? 3 : 1))
    })
    const { tokens, generation } = await client.describe()
    expect([tokens.length, generation]).toEqual([LABELS.length, 3])
  })
})

describe("refusals", () => {
  it("become a sentence with the detail, and advice", async () => {
    const { client } = await connected((_request, answer) =>
      answer.refuse("kms-access-denied", { action: "kms:Decrypt" }),
    )
    const { code, message, advice } = await refusalOf(client.provision(REQUEST))
    expect(code).toBe("kms-access-denied")
    expect(message).toMatch(/^KMS refused to decrypt: .* \(action kms:Decrypt\)$/)
    expect(advice).toContain("kms:RecipientAttestation:ImageSha384")
    expect(message + advice).not.toContain(REQUEST.pin)
  })

  it("with an unknown code are internal", async () => {
    const { client } = await connected(({ id }, answer) => answer.raw(futureRefusal(id)))
    expect((await refusalOf(client.describe())).code).toBe("internal")
  })

  it("of hello close the connection", async () => {
    let closed = 0
    const path = join(dir, `${count++}.sock`)
    const refuse: Handler = (_request, answer) => answer.refuse("not-owner")
    const server = await ControlServer.start(path, refuse, { ownHello: true })
    stops.push(() => server.stop())
    const accept = server.accept.bind(server)
    server.accept = (stream, ...rest) => {
      stream.once("close", () => closed++)
      accept(stream, ...rest)
    }
    const { code, advice } = await refusalOf(ControlClient.connect(server.address, SECRET, {}))
    expect(code).toBe("not-owner")
    expect(advice).toContain("terminate-enclave")
    await vi.waitFor(() => expect(closed).toBe(1))
  })
})

describe("an enclave that does not behave", () => {
  it("hangs up: all requests in flight fail, later ones at once", async () => {
    let seen = 0
    const { client } = await connected((_request, answer) => {
      if (++seen === 2) answer.hangUp()
    })
    const requests = [client.describe(), client.provision(REQUEST)]
    const codes = await Promise.all(requests.map(async (one) => (await refusalOf(one)).code))
    expect(codes).toEqual(["enclave-unreachable", "enclave-unreachable"])
    await client.closed
    expect((await refusalOf(client.describe())).code).toBe("enclave-unreachable")
  })

  it.each([
    ["an answer that is no CBOR", (): Buffer => Buffer.from("ff", "hex")],
    ["an answer that is no answer", (): Buffer => Buffer.from("a0", "hex")],
    [
      "a detail that is no text",
      (id: number): Buffer => Buffer.from([0x83, id, 0x61, 0x78, 0xa1, 0x61, 0x61, 0x01]),
    ],
  ])("%s closes the connection", async (_name, payload) => {
    const { client } = await connected(({ id }, answer) => answer.raw(payload(id)))
    expect((await refusalOf(client.describe())).code).toBe("enclave-unreachable")
    await client.closed
  })

  it.each([
    ["a frame of 4 GiB", "ffffffff"],
    ["an empty frame", "00000000"],
    ["a frame cut short", "0000000aff"],
  ])("%s closes the connection", async (name, hex) => {
    const { client } = await connected((_request, answer) => {
      answer.bytes(Buffer.from(hex, "hex"))
      if (name.includes("short")) answer.hangUp()
    })
    expect((await refusalOf(client.describe())).code).toBe("enclave-unreachable")
    await client.closed
  })

  it("answers with something else than was asked for", async () => {
    const { client } = await connected((_request, answer) => answer.result({ version: "0.1.0" }))
    const { code, message, advice } = await refusalOf(client.describe())
    expect(code).toBe("control-protocol")
    expect(message).toContain("describe")
    expect(advice).toContain("version")
  })

  it("is not there", async () => {
    const path = join(dir, "nobody.sock")
    const work = ControlClient.connect({ kind: "unix", path }, SECRET, {})
    await expect(work).rejects.toSatisfy((error) => isCodedError(error, "connection-refused"))
  })
})

describe("an enclave that says nothing", () => {
  async function silentAfterHello() {
    const { client } = await connected((_request, _answer) => {})
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
    return client
  }

  it.each([
    ["describe", 5_000, (client: ControlClient) => client.describe()],
    ["remove", 5_000, (client: ControlClient) => client.remove("www")],
    ["provision", 45_000, (client: ControlClient) => client.provision(REQUEST)],
    ["refresh", 45_000, (client: ControlClient) => client.refresh("www", CREDENTIALS)],
  ])("is waited for: %s, %d ms", async (op, timeoutMs, call) => {
    const client = await silentAfterHello()
    let code: string | undefined
    const refused = refusalOf(call(client)).then((error) => {
      code = error.code
      return error
    })
    await vi.advanceTimersByTimeAsync(timeoutMs - 1)
    expect(code).toBeUndefined()
    await vi.advanceTimersByTimeAsync(1)
    expect(code).toBe("control-timeout")
    expect((await refused).message).toContain(`${op} in ${timeoutMs / 1_000} s`)
    expect(vi.getTimerCount()).toBe(0)
  })

  it("is given up at hello, and its connection closed", async () => {
    const stream = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() })
    const vsock = { connect: async () => stream, listen: () => Promise.reject(new Error()) }
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
    const address = { kind: "vsock", cid: 16, port: 10_000 } as const
    const refused = refusalOf(ControlClient.connect(address, SECRET, { vsock }))
    await vi.advanceTimersByTimeAsync(5_000)
    expect((await refused).code).toBe("control-timeout")
    expect(stream.destroyed).toBe(true)
  })
})
