/** Signatures that node:crypto verifies, and every reason not to make one. */

import { constants, randomBytes, verify } from "node:crypto"
import { describe, expect, it } from "vitest"
import type { CborValue } from "../../shared/cbor.js"
import { HASH_BYTES, type HashName } from "../../shared/protocol/signing.js"
import type { SigningStatusName } from "../../shared/protocol/signing-status.js"
import { digestInfo, makeKey, type TestKey, tokenContent } from "./keys.js"
import {
  hashOf,
  PIN,
  p256,
  p384,
  rsa,
  sign,
  statusOf,
  useSigningService,
  verifiesEcdsa,
  verifiesRsa,
} from "./signing-service.js"

const service = useSigningService()
const { greeted, loggedIn, stillServes } = service

describe("signatures that node:crypto verifies", () => {
  const hashes = ["SHA-256", "SHA-384", "SHA-512"] as const

  it.each(hashes)("RSA_PKCS over %s", async (hash) => {
    const client = await loggedIn("rsa")
    const [status, signature] = await sign(client, rsa, "RSA_PKCS", digestInfo(hash, hashOf(hash)))
    expect(status).toBe(0)
    expect(verifiesRsa(rsa.publicKey, hash, signature)).toBe(true)
  })

  it.each(
    hashes.flatMap((hash) =>
      [0, HASH_BYTES[hash], 256 - HASH_BYTES[hash] - 2].map((salt): [HashName, number] => [
        hash,
        salt,
      ]),
    ),
  )("RSA_PKCS_PSS over %s with a salt of %i", async (hash, saltLength) => {
    const client = await loggedIn("rsa")
    const [status, signature] = await sign(client, rsa, "RSA_PKCS_PSS", hashOf(hash), [
      hash,
      saltLength,
    ])
    expect(status).toBe(0)
    const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }
    expect(verifiesRsa(rsa.publicKey, hash, signature, pss)).toBe(true)
  })

  it.each(
    hashes.flatMap((hash) =>
      [["p256", p256, 64] as const, ["p384", p384, 96] as const].map(
        (it) => [hash, ...it] as const,
      ),
    ),
  )("ECDSA over %s by %s", async (hash, label, key, bytes) => {
    const client = await loggedIn(label)
    const [status, signature] = await sign(client, key, "ECDSA", hashOf(hash))
    expect(status).toBe(0)
    expect(signature).toHaveLength(bytes)
    expect(verifiesEcdsa(key.publicKey, hash, signature)).toBe(true)
  })

  it.each([0, 130, 60_000])("EDDSA over %i bytes", async (length) => {
    const ed25519 = makeKey("Ed25519")
    service.store.put(tokenContent("ed25519", ed25519, { pin: PIN }))
    const client = await loggedIn("ed25519")
    const message = randomBytes(length)
    const [status, signature] = await sign(client, ed25519, "EDDSA", message)
    expect(status).toBe(0)
    expect(signature).toHaveLength(64)
    expect(verify(null, message, ed25519.publicKey, signature as Buffer)).toBe(true)
    const longer = Buffer.alloc(60_001)
    expect(await statusOf(sign(client, ed25519, "EDDSA", longer))).toBe("data-len-range")
    expect(await statusOf(sign(client, ed25519, "ECDSA", message))).toBe("mechanism-refused")
    expect(service.store.get("ed25519")?.signatures).toEqual(new Map([["EDDSA", 1]]))
  })

  it("counts them by mechanism", async () => {
    const client = await loggedIn("rsa", "p256")
    await sign(client, rsa, "RSA_PKCS", digestInfo("SHA-256", hashOf("SHA-256")))
    await sign(client, rsa, "RSA_PKCS_PSS", hashOf("SHA-256"), ["SHA-256", 32])
    await sign(client, rsa, "RSA_PKCS_PSS", hashOf("SHA-256"), ["SHA-256", 32])
    await sign(client, p256, "RSA_PKCS", hashOf("SHA-256"))
    expect(Object.fromEntries(service.store.get("rsa")?.signatures ?? [])).toEqual({
      RSA_PKCS: 1,
      RSA_PKCS_PSS: 2,
    })
    expect(service.store.get("p256")?.refusals).toBe(1)
  })
})

describe("sign", () => {
  it("knows no key that is not there", async () => {
    const client = await loggedIn("p256")
    for (const fingerprint of [Buffer.alloc(32), makeKey().fingerprint]) {
      const answer = client.ask("sign", fingerprint, "ECDSA", hashOf("SHA-256"), null)
      expect(await statusOf(answer)).toBe("unknown-key")
    }
    await stillServes(client)
  })

  it("reaches a key that is retiring", async () => {
    const client = await loggedIn("p256")
    const renewed = makeKey("P-256")
    service.store.put(tokenContent("p256", renewed, { pin: PIN }))
    for (const key of [p256, renewed]) {
      const [status, signature] = await sign(client, key, "ECDSA", hashOf("SHA-256"))
      expect(status).toBe(0)
      expect(verifiesEcdsa(key.publicKey, "SHA-256", signature)).toBe(true)
    }
  })

  it("uses a key of two tokens by the login to either", async () => {
    service.store.put(tokenContent("twin", p256, { pin: "another pin" }))
    const client = await greeted()
    await client.ask("login", "twin", "another pin")
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("ok")
    expect(service.store.get("twin")?.signatures.get("ECDSA")).toBe(1)
    expect(service.store.get("p256")?.signatures.size).toBe(0)
  })

  const sha1 = digestInfo("SHA-1", Buffer.alloc(20))
  it.each<[SigningStatusName, TestKey, string, Uint8Array, CborValue]>([
    ["mechanism-refused", rsa, "RSA_X_509", Buffer.alloc(256), null],
    ["mechanism-refused", rsa, "EDDSA", hashOf("SHA-256"), null],
    ["mechanism-refused", p256, "EDDSA", hashOf("SHA-256"), null],
    ["mechanism-refused", rsa, "ECDSA", hashOf("SHA-256"), null],
    ["mechanism-refused", p256, "RSA_PKCS", digestInfo("SHA-256", hashOf("SHA-256")), null],
    ["mechanism-param-refused", rsa, "RSA_PKCS_PSS", hashOf("SHA-256"), null],
    ["mechanism-param-refused", rsa, "RSA_PKCS_PSS", hashOf("SHA-256"), ["SHA-1", 20]],
    ["mechanism-param-refused", rsa, "RSA_PKCS_PSS", hashOf("SHA-1"), ["SHA-1", 20]],
    ["mechanism-param-refused", rsa, "RSA_PKCS_PSS", hashOf("SHA-224"), ["SHA-224", 28]],
    ["mechanism-param-refused", rsa, "RSA_PKCS_PSS", hashOf("SHA-256"), ["SHA-256", 223]],
    ["mechanism-param-refused", p256, "ECDSA", hashOf("SHA-256"), ["SHA-256", 32]],
    ["data-refused", rsa, "RSA_PKCS", sha1, null],
    ["data-refused", rsa, "RSA_PKCS", digestInfo("SHA-224", Buffer.alloc(28)), null],
    ["data-refused", rsa, "RSA_PKCS", hashOf("SHA-256"), null],
    ["data-len-range", rsa, "RSA_PKCS_PSS", hashOf("SHA-384"), ["SHA-256", 32]],
    ["data-len-range", p256, "ECDSA", Buffer.alloc(31), null],
    ["data-len-range", p384, "ECDSA", Buffer.alloc(65), null],
  ])("%s", async (status, key, mechanism, data, parameter) => {
    const client = await loggedIn("rsa", "p256", "p384")
    expect(await statusOf(sign(client, key, mechanism, data, parameter))).toBe(status)
    await stillServes(client)
  })

  it("is internal where the key itself fails, without its reason, and does not count for ever", async () => {
    await service.restart({ published: false })
    const client = await loggedIn("rsa", "p256")
    service.store.get("rsa")?.current.key.destroy()
    const data = digestInfo("SHA-256", hashOf("SHA-256"))
    for (let i = 0; i < 1_100; i++) {
      expect(await statusOf(sign(client, rsa, "RSA_PKCS", data))).toBe("internal")
    }
    await stillServes(client)
    expect(service.lines.some((line) => line.includes("key-destroyed"))).toBe(true)
  })

  it("answers for a key that is removed while it signs", async () => {
    const client = await loggedIn("rsa")
    const data = digestInfo("SHA-256", hashOf("SHA-256"))
    const pending = Array.from({ length: 20 }, () => sign(client, rsa, "RSA_PKCS", data))
    pending.push(client.ask("generation"))
    await pending.at(-1)
    const token = service.store.get("rsa")
    if (token !== undefined) service.store.remove(token)
    for (const [status] of await Promise.all(pending)) expect(status).toBe(0)
    expect(await statusOf(sign(client, rsa, "RSA_PKCS", data))).toBe("unknown-key")
  })
})
