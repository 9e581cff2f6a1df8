/** Random bytes of the enclave, and that `tls-server` decrypts nothing on the wire either. */
import { describe, expect, it } from "vitest"
import { DECRYPT_MECHANISMS } from "../../shared/protocol/signing.js"
import { p256, rsa, statusOf, useSigningService } from "./signing-service.js"

const { greeted, loggedIn, stillServes } = useSigningService()

describe("random", () => {
  it.each([1, 16, 1_024])("gives %i bytes without a login, others each time", async (length) => {
    const client = await greeted()
    const [status, first] = await client.ask("random", length)
    expect(status).toBe(0)
    expect(first).toBeInstanceOf(Uint8Array)
    expect(first).toHaveLength(length)
    if (length > 1) expect(await client.ask("random", length)).not.toEqual([0, first])
  })

  it("gives every value of a byte", async () => {
    const client = await greeted()
    const pages = await Promise.all(Array.from({ length: 32 }, () => client.ask("random", 1_024)))
    const seen = new Set(pages.flatMap(([, bytes]) => [...(bytes as Uint8Array)]))
    expect(seen.size).toBe(256)
  })

  it("gives neither nothing nor more than a page of them", async () => {
    const client = await loggedIn("p256")
    for (const length of [0, 1_025, -1, 0xffffffff, null, "32", Buffer.alloc(32)]) {
      expect(await statusOf(client.ask("random", length))).toBe("malformed-request")
    }
    await stillServes(client)
  })
})

describe("decrypt under tls-server", () => {
  it("is refused whatever the mechanism, data and parameter", async () => {
    const client = await loggedIn("rsa", "p256")
    const oaep = ["SHA-256", "SHA-256", Buffer.alloc(0)]
    for (const mechanism of [...DECRYPT_MECHANISMS, "", "ECDSA"]) {
      for (const key of [rsa, p256]) {
        for (const parameter of [null, oaep]) {
          const data = Buffer.alloc(256)
          const answer = client.ask("decrypt", key.fingerprint, mechanism, data, parameter)
          expect(await statusOf(answer)).toBe("mechanism-refused")
        }
      }
    }
    await stillServes(client)
  })

  it("says nothing before a login", async () => {
    const client = await greeted()
    const answer = client.ask("decrypt", rsa.fingerprint, "RSA_PKCS", Buffer.alloc(256), null)
    expect(await statusOf(answer)).toBe("login-required")
  })
})
