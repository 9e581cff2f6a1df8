/** Decryption by SigningKey of what node:crypto encrypts, and of what nobody did. */
import { constants, publicEncrypt, randomBytes } from "node:crypto"
import { describe, expect, it } from "vitest"
import type { KeyHash, OaepParameters } from "../../native/addon/index.js"
import { encryptOaep } from "../enclave/encrypt.js"
import { makeKey, signingKey } from "../enclave/keys.js"
import { codeOf, rejectionCode } from "../shared/codes.js"
import { decrypt } from "./keys.js"

const pair = makeKey("RSA-2048")
const key = signingKey(pair)
const BYTES = 256
const HASHES: Record<KeyHash, number> = {
  "SHA-1": 20,
  "SHA-224": 28,
  "SHA-256": 32,
  "SHA-384": 48,
  "SHA-512": 64,
}
const NAMES = Object.keys(HASHES) as KeyHash[]
const NONE = Buffer.alloc(0)

/** Encrypts a block of the test's own making. */
const raw = (block: Uint8Array, to = pair.publicKey) =>
  publicEncrypt({ key: to, padding: constants.RSA_NO_PADDING }, block)
const pkcs1 = (plaintext: Uint8Array) =>
  publicEncrypt({ key: pair.publicKey, padding: constants.RSA_PKCS1_PADDING }, plaintext)

describe("RSA_PKCS", () => {
  it.each([0, 1, 48, 245])("decrypts %i bytes", async (length) => {
    const plaintext = randomBytes(length)
    expect(await decrypt(key, "RSA_PKCS", pkcs1(plaintext))).toEqual(plaintext)
  })

  const filled = (head: number[], zeroAt: number) => {
    const block = Buffer.alloc(BYTES, 0x5a)
    block.set(head)
    if (zeroAt >= 0) block[zeroAt] = 0
    return block
  }
  it.each<[string, Buffer]>([
    ["a first byte that is not 0", filled([1, 2], 100)],
    ["block type 1", filled([0, 1], 100)],
    ["block type 0", filled([0, 0], 100)],
    ["no end of the padding", filled([0, 2], -1)],
    ["seven bytes of padding", filled([0, 2], 9)],
    ["no padding", filled([0, 2], 2)],
  ])("refuses %s, or makes a plaintext up", async (_name, block) => {
    const ciphertext = raw(block)
    const outcome = await decrypt(key, "RSA_PKCS", ciphertext).catch((error) => error.code)
    // Implicit rejection (OpenSSL 3.2 and later) answers the same made-up plaintext every time.
    if (typeof outcome === "string") expect(outcome).toBe("encrypted-data-invalid")
    else expect(await decrypt(key, "RSA_PKCS", ciphertext)).toEqual(outcome)
  })

  it("takes eight bytes of padding, the fewest there may be", async () => {
    expect(await decrypt(key, "RSA_PKCS", raw(filled([0, 2], 10)))).toEqual(Buffer.alloc(245, 0x5a))
  })
})

describe("RSA_PKCS_OAEP", () => {
  const pairs = NAMES.flatMap((hash) => NAMES.map((mgfHash) => [hash, mgfHash] as const))
  it.each(pairs)("decrypts with %s and MGF1 of %s", async (hash, mgfHash) => {
    for (const label of [NONE, Buffer.from("a label"), randomBytes(10_000)]) {
      for (const length of [0, 16, BYTES - 2 * HASHES[hash] - 2]) {
        const plaintext = randomBytes(length)
        const oaep = { hash, mgfHash, label }
        const ciphertext = encryptOaep(pair.publicKey, plaintext, oaep)
        expect(await decrypt(key, "RSA_PKCS_OAEP", ciphertext, oaep)).toEqual(plaintext)
      }
    }
  })

  it.each(NAMES)("decrypts what node:crypto encrypts with %s", async (hash) => {
    const oaepHash = hash.replace("-", "").toLowerCase()
    const label = Buffer.from("label")
    const options = { key: pair.publicKey, oaepHash, oaepLabel: label }
    const ciphertext = publicEncrypt(options, Buffer.from("secret"))
    const oaep = { hash, mgfHash: hash, label }
    expect((await decrypt(key, "RSA_PKCS_OAEP", ciphertext, oaep)).toString()).toBe("secret")
  })

  const right: OaepParameters = { hash: "SHA-256", mgfHash: "SHA-256", label: Buffer.from("label") }
  const good = encryptOaep(pair.publicKey, Buffer.from("secret"), right)
  it.each<[string, Uint8Array, OaepParameters]>([
    ["another hash", good, { ...right, hash: "SHA-1" }],
    ["another MGF1", good, { ...right, mgfHash: "SHA-1" }],
    ["another label", good, { ...right, label: Buffer.from("Label") }],
    ["no label", good, { ...right, label: NONE }],
    ["PKCS #1 v1.5", pkcs1(Buffer.from("secret")), right],
    ["a block of zeros", raw(Buffer.alloc(BYTES)), right],
    ["a first byte that is not 0", raw(Buffer.alloc(BYTES, 1)), right],
    ["another key's", encryptOaep(makeKey("RSA-2048").publicKey, NONE, right), right],
  ])("refuses %s", async (_name, ciphertext, oaep) => {
    // A number of another key may lie beyond this one's modulus, which is the same refusal.
    expect(await rejectionCode(decrypt(key, "RSA_PKCS_OAEP", ciphertext, oaep))).toBe(
      "encrypted-data-invalid",
    )
  })

  it("keeps what it was given apart from what the caller does with it, and outlives destroy()", async () => {
    const mine = signingKey(pair)
    const ciphertext = Buffer.from(good)
    const label = Buffer.from("label")
    const pending = decrypt(mine, "RSA_PKCS_OAEP", ciphertext, { ...right, label })
    ciphertext.fill(0)
    label.fill(0)
    mine.destroy()
    expect((await pending).toString()).toBe("secret")
    expect(await rejectionCode(decrypt(mine, "RSA_PKCS_OAEP", good, right))).toBe("key-destroyed")
  })
})

describe("any mechanism", () => {
  const oaep = { hash: "SHA-256", mgfHash: "SHA-256", label: NONE } as const
  it.each([
    ["RSA_PKCS", null],
    ["RSA_PKCS_OAEP", oaep],
    ["RSA_X_509", null],
  ] as const)("%s refuses other lengths, the modulus and more, other keys", async (name, oaep) => {
    const outcome = (data: Uint8Array, by = key) => rejectionCode(decrypt(by, name, data, oaep))
    for (const length of [0, 1, BYTES - 1, BYTES + 1, 60_000]) {
      expect(await outcome(Buffer.alloc(length))).toBe("encrypted-data-len-range")
    }
    expect(await outcome(Buffer.alloc(BYTES, 0xff))).toBe("encrypted-data-invalid")
    expect(await outcome(Buffer.alloc(BYTES), signingKey(makeKey("P-256")))).toBe(
      "mechanism-mismatch",
    )
  })

  it.each<[string, unknown[]]>([
    ["OAEP without parameters", ["RSA_PKCS_OAEP", Buffer.alloc(BYTES), null]],
    ["RSA_PKCS with parameters", ["RSA_PKCS", Buffer.alloc(BYTES), oaep]],
    ["an unknown mechanism", ["RSA_PKCS_PSS", Buffer.alloc(BYTES), null]],
    ["an unknown hash", ["RSA_PKCS_OAEP", Buffer.alloc(BYTES), { ...oaep, hash: "MD5" }]],
    ["an unknown MGF1 hash", ["RSA_PKCS_OAEP", Buffer.alloc(BYTES), { ...oaep, mgfHash: "" }]],
    ["a label of text", ["RSA_PKCS_OAEP", Buffer.alloc(BYTES), { ...oaep, label: "label" }]],
    ["data of text", ["RSA_PKCS", "x".repeat(BYTES), null]],
  ])("%s is no request", (_name, args) => {
    const call = key.decrypt.bind(key) as (...args: unknown[]) => void
    const code = codeOf(() =>
      call(...args, () => {
        throw new Error("called back after a refusal")
      }),
    )
    expect(code).toBe("invalid-argument")
  })

  it("decrypts many at once", async () => {
    const plaintexts = Array.from({ length: 64 }, () => randomBytes(32))
    const decrypted = await Promise.all(
      plaintexts.map((plaintext) => decrypt(key, "RSA_PKCS", pkcs1(plaintext))),
    )
    expect(decrypted).toEqual(plaintexts)
  })
})
