/** Many requests at once on one connection, and clients that do not read. */

import { createHash, verify } from "node:crypto"
import { describe, expect, it, vi } from "vitest"
import { encodeCbor } from "../../shared/cbor.js"
import { encodeFrame } from "../../shared/frame.js"
import { digestInfo, tokenContent } from "./keys.js"
import { hashOf, PIN, p256, rsa, useSigningService } from "./signing-service.js"

const service = useSigningService()
const { restart, greeted, loggedIn, stillServes } = service

describe("many requests at once", () => {
  it("are each answered by their id, in any order", async () => {
    const client = await loggedIn("rsa", "p256")
    const count = 600
    const answers = Array.from({ length: count }, (_, i) => client.answerTo(10_000 + i))
    for (let i = 0; i < count; i++) {
      const hash = createHash("sha256").update(String(i)).digest()
      client.send(
        i % 3 === 0
          ? [10_000 + i, "sign", rsa.fingerprint, "RSA_PKCS", digestInfo("SHA-256", hash), null]
          : [10_000 + i, "sign", p256.fingerprint, "ECDSA", hash, null],
      )
    }
    for (const [i, pending] of answers.entries()) {
      const [, status, signature] = await pending
      expect(status).toBe(0)
      const key =
        i % 3 === 0 ? rsa.publicKey : { key: p256.publicKey, dsaEncoding: "ieee-p1363" as const }
      expect(verify("sha256", Buffer.from(String(i)), key, signature as Buffer)).toBe(true)
    }
  })

  it("that wait for the thread pool do not hold up those that don't", async () => {
    const client = await loggedIn("rsa", "p256")
    const data = digestInfo("SHA-256", hashOf("SHA-256"))
    for (let i = 0; i < 50; i++)
      client.send([1000 + i, "sign", rsa.fingerprint, "RSA_PKCS", data, null])
    await client.ask("generation")
    expect(client.answers.filter(([id]) => id >= 1000).length).toBeLessThan(50)
  })

  it("beyond 1024 in flight are left unread until some are answered", async () => {
    await restart({ pinTiming: { firstDelayMs: 400, maxDelayMs: 400, maxWaiting: 5_000 } })
    for (const [waiting, readOn] of [
      [1_023, true],
      [1_024, false],
    ] as const) {
      const client = await greeted()
      const frames = [encodeFrame(encodeCbor([1, "login", "rsa", "wrong"]))]
      for (let i = 1; i < waiting; i++)
        frames.push(encodeFrame(encodeCbor([1000 + i, "login", "rsa", PIN])))
      frames.push(encodeFrame(encodeCbor([9999, "generation"])))
      const wrong = client.answerTo(1)
      const generation = client.answerTo(9999)
      client.raw(Buffer.concat(frames))
      const first = await Promise.race([wrong, generation])
      expect(first[0], `${waiting} in flight`).toBe(readOn ? 9999 : 1)
      await Promise.all([wrong, generation])
      await vi.waitFor(() => expect(client.answers).toHaveLength(waiting + 2))
      client.close()
    }
  })

  it("of which a client reads no answer are left unread", async () => {
    const certificates = [Buffer.alloc(8_000, 1), Buffer.alloc(8_000, 1)]
    for (let i = 0; i < 3; i++) service.store.put(tokenContent(`big${i}`, p256, { certificates }))
    const client = await greeted()
    client.socket.pause()
    const before = process.memoryUsage().rss
    client.raw(
      Buffer.concat(
        Array.from({ length: 20_000 }, (_, i) => encodeFrame(encodeCbor([i, "list", 0]))),
      ),
    )
    await new Promise((resolve) => setTimeout(resolve, 300))
    // 20,000 answers of 50 kB would be a gigabyte.
    expect(process.memoryUsage().rss - before).toBeLessThan(200 << 20)
    await stillServes()
    client.close()
  })
})
