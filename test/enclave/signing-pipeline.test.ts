/** Many requests at once on one connection, and clients that do not read. */

import { createHash, verify } from "node:crypto"
import { describe, expect, it } from "vitest"
import type { SigningKey } from "../../native/addon/index.js"
import { encodeCbor } from "../../shared/cbor.js"
import { encodeFrame } from "../../shared/frame.js"
import { fingerprintOf } from "../../shared/public-key.js"
import { digestInfo, makeKey, signingKey, tokenContent } from "./keys.js"
import { hashOf, PIN, p256, rsa, sign, useSigningService } from "./signing-service.js"

const service = useSigningService()
const { greeted, loggedIn, stillServes } = service

const patient = makeKey("RSA-2048")

/** A key whose signatures are ready when they are released, and at once from then on. */
function patientKey() {
  const key = signingKey(patient)
  const held: (() => void)[] = []
  let released = false
  const sign: SigningKey["sign"] = (_mechanism, _data, _pss, callback) => {
    const finish = () => callback(null, Buffer.from("signature"))
    if (released) finish()
    else held.push(finish)
  }
  const release = () => {
    released = true
    for (const finish of held.splice(0)) finish()
  }
  return { key: Object.assign(key, { sign }), release }
}

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

  it("on one connection leave others their turns", async () => {
    const [busy, other] = [await loggedIn("rsa"), await loggedIn("p256")]
    const data = digestInfo("SHA-256", hashOf("SHA-256"))
    const frames = Array.from({ length: 1_000 }, (_, i) =>
      encodeFrame(encodeCbor([1_000 + i, "sign", rsa.fingerprint, "RSA_PKCS", data, null])),
    )
    const last = busy.answerTo(1_999)
    busy.raw(Buffer.concat(frames))
    for (let i = 0; i < 10; i++) {
      expect((await sign(other, p256, "ECDSA", hashOf("SHA-256")))[0]).toBe(0)
    }
    expect(busy.answers.filter(([id]) => id >= 1000).length).toBeLessThan(1_000)
    expect((await last)[1]).toBe(0)
  })

  it.each([
    ["1023 in flight leave the connection read", 1_023, true],
    ["1024 in flight are left alone until one is answered", 1_024, false],
  ])("%s", async (_name, waiting, readOn) => {
    await service.restart({ published: false })
    const { key, release } = patientKey()
    service.store.put(tokenContent("patient", patient, { pin: PIN, key }))
    const client = await greeted()
    await client.ask("login", "patient", PIN)
    const data = digestInfo("SHA-256", hashOf("SHA-256"))
    const fingerprint = fingerprintOf(key.publicKey)
    const signing = Array.from({ length: waiting }, (_, i) => client.answerTo(1_000 + i))
    const generation = client.answerTo(9_999)
    client.raw(
      Buffer.concat([
        ...signing.map((_, i) =>
          encodeFrame(encodeCbor([1_000 + i, "sign", fingerprint, "RSA_PKCS", data, null])),
        ),
        encodeFrame(encodeCbor([9_999, "generation"])),
      ]),
    )
    const quiet = new Promise((resolve) => setTimeout(resolve, 300, "nothing"))
    const first = await Promise.race([generation, quiet])
    expect(Array.isArray(first)).toBe(readOn)
    release()
    expect(await generation).toEqual([9_999, 0, expect.anything()])
    for (const answer of await Promise.all(signing)) expect(answer[1]).toBe(0)
    client.close()
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
