/** Ed25519 keys of SigningKey: RFC 8032's vectors, node:crypto as the verifier, refusals. */
import { createPrivateKey, createPublicKey, randomBytes, verify } from "node:crypto"
import { describe, expect, it } from "vitest"
import { SigningKey } from "../../native/addon/index.js"
import { makeKey, signingKey } from "../enclave/keys.js"
import { codeOf, rejectionCode } from "../shared/codes.js"
import { decrypt, sign } from "./keys.js"

const pair = makeKey("Ed25519")
const key = signingKey(pair)

/** PKCS #8 of a seed (RFC 8410, 7), in PEM. */
function pemOfSeed(seed: string): Buffer {
  const der = Buffer.from(`302e020100300506032b657004220420${seed}`, "hex")
  const pem = createPrivateKey({ key: der, format: "der", type: "pkcs8" }).export({
    format: "pem",
    type: "pkcs8",
  })
  return Buffer.from(pem)
}

describe("an Ed25519 key", () => {
  it("says what it is", () => {
    expect([key.keyType, key.bits, key.curve]).toEqual(["Ed25519", 255, undefined])
    expect(Buffer.from(key.publicKey)).toEqual(pair.spki)
  })

  // RFC 8032, 7.1: TEST 1, 2, 3.
  it.each([
    [
      "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
      "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
      "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
      "72",
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
      "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
      "af82",
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
  ])("signs as RFC 8032's vector of %s", async (seed, message, signature) => {
    const data = Buffer.from(message, "hex")
    const ours = SigningKey.fromPem(pemOfSeed(seed))
    expect(Buffer.from(ours.signSync("EDDSA", data, null)).toString("hex")).toBe(signature)
    expect((await sign(ours, "EDDSA", data)).toString("hex")).toBe(signature)
  })

  it.each([0, 1, 130, 4_096, 60_000])("signs a message of %i bytes", async (length) => {
    const message = randomBytes(length)
    for (const signature of [
      key.signSync("EDDSA", message, null),
      await sign(key, "EDDSA", message),
    ]) {
      expect(signature).toHaveLength(64)
      expect(verify(null, message, pair.publicKey, signature)).toBe(true)
    }
  })

  it("keeps the caller's message apart, and finishes after destroy()", async () => {
    const message = randomBytes(60_000)
    const copy = Buffer.from(message)
    const mine = signingKey(pair)
    const pending = sign(mine, "EDDSA", message)
    message.fill(0)
    mine.destroy()
    expect(verify(null, copy, pair.publicKey, await pending)).toBe(true)
    expect(codeOf(() => mine.signSync("EDDSA", copy, null))).toBe("key-destroyed")
  })

  it.each(["RSA_PKCS", "RSA_X_509", "ECDSA"] as const)("does not sign by %s", (mechanism) => {
    expect(codeOf(() => key.signSync(mechanism, randomBytes(32), null))).toBe("mechanism-mismatch")
  })

  it("refuses 60,001 bytes, PSS parameters, and EDDSA with other keys", () => {
    expect(codeOf(() => key.signSync("EDDSA", Buffer.alloc(60_001), null))).toBe("data-len-range")
    const pss = { hash: "SHA-256", saltLength: 32 } as const
    expect(codeOf(() => key.signSync("EDDSA", Buffer.alloc(1), pss))).toBe("invalid-argument")
    for (const name of ["RSA-2048", "P-256"] as const) {
      const other = signingKey(makeKey(name))
      expect(codeOf(() => other.signSync("EDDSA", Buffer.alloc(32), null))).toBe(
        "mechanism-mismatch",
      )
    }
  })

  it("does not decrypt", async () => {
    for (const mechanism of ["RSA_PKCS", "RSA_X_509"] as const) {
      expect(await rejectionCode(decrypt(key, mechanism, Buffer.alloc(256)))).toBe(
        "mechanism-mismatch",
      )
    }
  })

  it("is not read with another key's public part beside it (RFC 5958)", () => {
    const seed = (pair.privateKey.export({ format: "der", type: "pkcs8" }) as Buffer).subarray(16)
    const other = makeKey("Ed25519").spki.subarray(12)
    const der = Buffer.concat([
      Buffer.from("3051020101300506032b657004220420", "hex"),
      seed,
      Buffer.from("812100", "hex"),
      other,
    ])
    const pem = `-----BEGIN PRIVATE KEY-----\n${der.toString("base64")}\n-----END PRIVATE KEY-----\n`
    let read: SigningKey | undefined
    const code = codeOf(() => {
      read = SigningKey.fromPem(Buffer.from(pem))
    })
    // Refused, or the other part left out of account: never believed.
    if (read === undefined) expect(code).toBe("malformed-private-key")
    else expect(Buffer.from(read.publicKey)).toEqual(pair.spki)
    expect(createPublicKey(pair.privateKey).equals(pair.publicKey)).toBe(true)
  })
})
