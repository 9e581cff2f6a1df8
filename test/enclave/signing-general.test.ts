/** The signing service under the policy `general`: decryption, raw RSA, older hash functions. */
import { constants, publicDecrypt, publicEncrypt, randomBytes } from "node:crypto"
import { describe, expect, it } from "vitest"
import { GENERAL_POLICY } from "../../enclave/policy/general.js"
import type { CborValue } from "../../shared/cbor.js"
import type { HashName } from "../../shared/protocol/signing.js"
import type { SigningStatusName } from "../../shared/protocol/signing-status.js"
import type { Client } from "./client.js"
import { encryptOaep } from "./encrypt.js"
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

const service = useSigningService(GENERAL_POLICY)
const { greeted, loggedIn, stillServes } = service

const BYTES = 256
const ALL: readonly HashName[] = ["SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"]
const RAW = { key: rsa.publicKey, padding: constants.RSA_NO_PADDING }
const encryptPkcs1 = (plaintext: Uint8Array) =>
  publicEncrypt({ key: rsa.publicKey, padding: constants.RSA_PKCS1_PADDING }, plaintext)

function decrypt(
  client: Client,
  key: TestKey,
  mechanism: string,
  data: Uint8Array,
  parameter: CborValue = null,
): Promise<[number | string, unknown]> {
  return client.ask("decrypt", key.fingerprint, mechanism, data, parameter)
}

it("lists what the policy admits", async () => {
  const client = await greeted()
  const [, page] = await client.ask("list", 0)
  const [, , tokens] = page as [number, number, { label: string }[]]
  expect(tokens.find(({ label }) => label === "rsa")).toMatchObject({
    mechanisms: ["RSA_PKCS", "RSA_PKCS_PSS", "RSA_X_509"],
    hashes: ALL,
    decryptMechanisms: ["RSA_PKCS", "RSA_PKCS_OAEP", "RSA_X_509"],
  })
  expect(tokens.find(({ label }) => label === "p256")).toMatchObject({
    mechanisms: ["ECDSA"],
    hashes: ALL,
    decryptMechanisms: [],
  })
})

describe("decrypt", () => {
  it.each([0, 1, 48, 245])("RSA_PKCS: %i bytes", async (length) => {
    const client = await loggedIn("rsa")
    const plaintext = randomBytes(length)
    expect(await decrypt(client, rsa, "RSA_PKCS", encryptPkcs1(plaintext))).toEqual([0, plaintext])
  })

  it.each(ALL)("RSA_PKCS_OAEP with %s", async (hash) => {
    const client = await loggedIn("rsa")
    const plaintext = randomBytes(32)
    for (const label of [Buffer.alloc(0), Buffer.from("label")]) {
      for (const mgfHash of [hash, "SHA-1"] as const) {
        const ciphertext = encryptOaep(rsa.publicKey, plaintext, { hash, mgfHash, label })
        const parameter = [hash, mgfHash, label]
        const answer = await decrypt(client, rsa, "RSA_PKCS_OAEP", ciphertext, parameter)
        expect(answer).toEqual([0, plaintext])
      }
    }
  })

  it("RSA_X_509", async () => {
    const client = await loggedIn("rsa")
    const block = Buffer.concat([Buffer.of(0), randomBytes(BYTES - 1)])
    expect(await decrypt(client, rsa, "RSA_X_509", publicEncrypt(RAW, block))).toEqual([0, block])
  })

  it("answers many in flight, each its own", async () => {
    const client = await loggedIn("rsa")
    const plaintexts = Array.from({ length: 50 }, () => randomBytes(20))
    const answers = plaintexts.map((plaintext) =>
      decrypt(client, rsa, "RSA_PKCS", encryptPkcs1(plaintext)),
    )
    expect(await Promise.all(answers)).toEqual(plaintexts.map((plaintext) => [0, plaintext]))
  })

  it("needs a login to the token", async () => {
    const ciphertext = encryptPkcs1(Buffer.from("secret"))
    const stranger = await greeted()
    expect(await statusOf(decrypt(stranger, rsa, "RSA_PKCS", ciphertext))).toBe("login-required")
    expect(await statusOf(decrypt(stranger, rsa, "no such", ciphertext))).toBe("login-required")
    const other = await loggedIn("p256")
    expect(await statusOf(decrypt(other, rsa, "RSA_PKCS", ciphertext))).toBe("login-required")
  })

  const oaep = ["SHA-256", "SHA-256", Buffer.alloc(0)]
  const notOaep = publicEncrypt(RAW, Buffer.alloc(BYTES, 1))
  it.each<[SigningStatusName, TestKey, string, Uint8Array, CborValue]>([
    ["unknown-key", makeKey("RSA-2048"), "RSA_PKCS", Buffer.alloc(BYTES), null],
    ["mechanism-refused", rsa, "RSA_PKCS_PSS", Buffer.alloc(BYTES), null],
    ["mechanism-refused", rsa, "", Buffer.alloc(BYTES), null],
    ["mechanism-refused", p256, "RSA_PKCS", Buffer.alloc(BYTES), null],
    ["mechanism-refused", p384, "ECDSA", Buffer.alloc(BYTES), null],
    ["mechanism-param-refused", rsa, "RSA_PKCS", Buffer.alloc(BYTES), oaep],
    ["mechanism-param-refused", rsa, "RSA_PKCS_OAEP", Buffer.alloc(BYTES), null],
    ["mechanism-param-refused", rsa, "RSA_PKCS_OAEP", Buffer.alloc(BYTES), ["MD5", "MD5", "x"]],
    ["encrypted-data-len-range", rsa, "RSA_PKCS", Buffer.alloc(0), null],
    ["encrypted-data-len-range", rsa, "RSA_PKCS", Buffer.alloc(BYTES - 1), null],
    ["encrypted-data-len-range", rsa, "RSA_PKCS_OAEP", Buffer.alloc(BYTES + 1), oaep],
    ["encrypted-data-len-range", rsa, "RSA_X_509", Buffer.alloc(60_000), null],
    ["encrypted-data-invalid", rsa, "RSA_PKCS", Buffer.alloc(BYTES, 0xff), null],
    ["encrypted-data-invalid", rsa, "RSA_X_509", Buffer.alloc(BYTES, 0xff), null],
    ["encrypted-data-invalid", rsa, "RSA_PKCS_OAEP", Buffer.alloc(BYTES, 0xff), oaep],
    ["encrypted-data-invalid", rsa, "RSA_PKCS_OAEP", notOaep, oaep],
  ])("%s", async (status, key, mechanism, data, parameter) => {
    const client = await loggedIn("rsa", "p256", "p384")
    expect(await statusOf(decrypt(client, key, mechanism, data, parameter))).toBe(status)
    await stillServes(client)
  })

  it("answers a wrong PKCS #1 padding as PROTOCOL.md says", async () => {
    const client = await loggedIn("rsa")
    const [status, result] = await decrypt(client, rsa, "RSA_PKCS", notOaep)
    // Made-up plaintext where libcrypto has implicit rejection.
    if (status === 0) expect(result).toBeInstanceOf(Uint8Array)
    else expect([status, result]).toEqual([16, undefined])
  })

  it("counts decryptions by mechanism, and refusals wherever they are made", async () => {
    const client = await loggedIn("rsa")
    await decrypt(client, rsa, "RSA_PKCS", encryptPkcs1(Buffer.alloc(1)))
    await decrypt(client, rsa, "RSA_X_509", Buffer.alloc(BYTES))
    await decrypt(client, rsa, "RSA_X_509", Buffer.alloc(BYTES))
    const token = service.store.get("rsa")
    expect(Object.fromEntries(token?.decryptions ?? [])).toEqual({ RSA_PKCS: 1, RSA_X_509: 2 })
    expect(token?.signatures.size).toBe(0)
    expect(token?.refusals).toBe(0)
    await decrypt(client, rsa, "RSA_X_509", Buffer.alloc(1)) // by the policy
    await decrypt(client, rsa, "RSA_X_509", Buffer.alloc(BYTES, 0xff)) // by the key at once
    await decrypt(client, rsa, "RSA_PKCS_OAEP", notOaep, oaep) // by the key on the thread pool
    await sign(client, rsa, "RSA_X_509", Buffer.alloc(BYTES, 0xff))
    expect(token?.refusals).toBe(4)
  })

  it("reaches a key that is retiring", async () => {
    const client = await loggedIn("rsa")
    service.store.put(tokenContent("rsa", makeKey("RSA-2048"), { pin: PIN }))
    const ciphertext = encryptPkcs1(Buffer.from("old"))
    expect(await decrypt(client, rsa, "RSA_PKCS", ciphertext)).toEqual([0, Buffer.from("old")])
  })

  it("is internal where the key itself fails, without its reason", async () => {
    const client = await loggedIn("rsa")
    service.store.get("rsa")?.current.key.destroy()
    const ciphertext = encryptPkcs1(Buffer.alloc(1))
    expect(await statusOf(decrypt(client, rsa, "RSA_PKCS", ciphertext))).toBe("internal")
    await stillServes(client)
  })
})

describe("signatures that tls-server does not make", () => {
  it.each(["SHA-1", "SHA-224"] as const)("over %s", async (hash) => {
    const client = await loggedIn("rsa", "p256", "p384")
    const value = hashOf(hash)
    const [, pkcs1] = await sign(client, rsa, "RSA_PKCS", digestInfo(hash, value))
    expect(verifiesRsa(rsa.publicKey, hash, pkcs1)).toBe(true)
    for (const saltLength of [0, value.length, BYTES - value.length - 2]) {
      const [, pss] = await sign(client, rsa, "RSA_PKCS_PSS", value, [hash, saltLength])
      const options = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }
      expect(verifiesRsa(rsa.publicKey, hash, pss, options)).toBe(true)
    }
    for (const key of [p256, p384]) {
      const [, ecdsa] = await sign(client, key, "ECDSA", value)
      expect(verifiesEcdsa(key.publicKey, hash, ecdsa)).toBe(true)
    }
  })

  it("over a whole block", async () => {
    const client = await loggedIn("rsa")
    const block = Buffer.concat([Buffer.of(0), randomBytes(BYTES - 1)])
    const [status, signature] = await sign(client, rsa, "RSA_X_509", block)
    expect(status).toBe(0)
    expect(publicDecrypt(RAW, Buffer.from(signature as Uint8Array))).toEqual(block)
  })

  it.each<[SigningStatusName, TestKey, string, Uint8Array, CborValue]>([
    ["mechanism-refused", p256, "RSA_X_509", Buffer.alloc(BYTES), null],
    ["mechanism-refused", rsa, "RSA_PKCS_OAEP", Buffer.alloc(BYTES), null],
    ["mechanism-param-refused", rsa, "RSA_X_509", Buffer.alloc(BYTES), ["SHA-1", 20]],
    ["mechanism-param-refused", rsa, "RSA_PKCS_PSS", Buffer.alloc(16), ["MD5", 16]],
    ["data-refused", rsa, "RSA_X_509", Buffer.alloc(BYTES, 0xff), null],
    ["data-refused", rsa, "RSA_PKCS", digestInfo("MD5", Buffer.alloc(16)), null],
    ["data-len-range", rsa, "RSA_X_509", Buffer.alloc(BYTES - 1), null],
    ["data-len-range", p256, "ECDSA", Buffer.alloc(19), null],
  ])("%s", async (status, key, mechanism, data, parameter) => {
    const client = await loggedIn("rsa", "p256", "p384")
    expect(await statusOf(sign(client, key, mechanism, data, parameter))).toBe(status)
    await stillServes(client)
  })
})
