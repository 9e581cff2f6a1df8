/** A signing service that is told to drain: answers are given, connections end, none begins. */
import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, it, vi } from "vitest"
import { AddonError, type SigningKey } from "../../native/addon/index.js"
import { Client } from "./client.js"
import { digestInfo, makeKey, signingKey, tokenContent } from "./keys.js"
import { hashOf, PIN, p256, rsa, sign, useSigningService } from "./signing-service.js"

const service = useSigningService()

/** A key that signs when it is told to. */
function patientKey() {
  const of = makeKey("RSA-2048")
  const key = signingKey(of)
  const held: (() => void)[] = []
  const sign: SigningKey["sign"] = (_mechanism, _data, _pss, callback) => {
    held.push(() => callback(null, Buffer.from("signature")))
  }
  return { of, key: Object.assign(key, { sign }), release: () => held.shift()?.() }
}

describe("draining", () => {
  it("closes idle connections, and busy ones behind their last answer", async () => {
    await service.restart({ published: false })
    const patient = patientKey()
    service.store.put({ ...tokenContent("patient", patient.of, { pin: PIN }), key: patient.key })
    const [idle, busy] = [await service.loggedIn("p256"), await service.loggedIn("patient")]
    const data = digestInfo("SHA-256", hashOf("SHA-256"))
    const answers = [1_001, 1_002].map((id) => busy.answerTo(id))
    for (const id of [1_001, 1_002])
      busy.send([id, "sign", patient.of.fingerprint, "RSA_PKCS", data, null])
    await busy.ask("generation")
    expect(service.listener.connections).toEqual({ open: 2, accepted: 2 })

    service.listener.drain()
    await idle.closed
    patient.release()
    expect(await answers[0]).toEqual([1_001, 0, Buffer.from("signature")])
    expect(await Promise.race([busy.closed.then(() => "closed"), sleep(50, "open")])).toBe("open")
    patient.release()
    expect(await answers[1]).toEqual([1_002, 0, Buffer.from("signature")])
    await busy.closed
    expect(service.listener.draining).toBe(true)
    // The client learns of the end before the service does.
    await vi.waitFor(() => expect(service.listener.connections.open).toBe(0))
  })

  it("takes no connection from then on", async () => {
    service.listener.drain()
    const client = await Client.connect(service.path)
    await client.closed
    expect(client.answers).toEqual([])
    expect(service.listener.connections.accepted).toBe(0)
  })
})

describe("the meters", () => {
  it.each([
    ["the threads", true],
    ["JavaScript", false],
  ])("count signatures of %s by the time they took", async (_whose, published) => {
    await service.restart({ published })
    const client = await service.loggedIn("p256", "rsa")
    expect(service.latency.read()).toMatchObject({ count: 0, sum: 0 })
    for (let i = 0; i < 3; i++) await sign(client, p256, "ECDSA", hashOf("SHA-256"))
    await sign(client, rsa, "RSA_PKCS", digestInfo("SHA-256", hashOf("SHA-256")))
    // A thread counts behind its answer.
    await vi.waitFor(() => expect(service.latency.read().count).toBe(4))
    const { bounds, counts, sum } = service.latency.read()
    expect(sum).toBeGreaterThan(0)
    expect(counts).toHaveLength(bounds.length)
    expect(counts).toEqual([...counts].sort((a, b) => a - b))
    expect(counts.at(-1)).toBe(4)
  })

  it("tell a failure of the enclave's from a refusal", async () => {
    await service.restart({ published: false })
    const of = makeKey("RSA-2048")
    const key = signingKey(of)
    const broken: SigningKey["sign"] = (_mechanism, _data, _pss, callback) =>
      callback(new AddonError("sign-failed", "a bug of ours"), Buffer.alloc(0))
    const token = service.store.put({
      ...tokenContent("broken", of, { pin: PIN }),
      key: Object.assign(key, { sign: broken }),
    })
    const client = await service.loggedIn("broken")
    await sign(client, of, "RSA_PKCS", digestInfo("SHA-256", hashOf("SHA-256")))
    expect([token.failures, token.refusals]).toEqual([1, 0])
    await sign(client, of, "RSA_PKCS", Buffer.from("no DigestInfo"))
    expect([token.failures, token.refusals]).toEqual([1, 1])
  })
})
