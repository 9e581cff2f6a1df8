/** SigningKey against node:crypto as the independent verifier, and against keys made to be refused. */

import { execFileSync } from "node:child_process"
import {
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  verify,
} from "node:crypto"
import { describe, expect, it } from "vitest"
import {
  type KeyHash,
  type PssParameters,
  SigningKey,
  type SigningMechanism,
} from "../../native/addon/index.js"

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 })
const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" })
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" })

// DER of everything in a DigestInfo before the hash value (RFC 8017, 9.2, note 1).
const DIGEST_INFO_PREFIXES: Record<KeyHash, string> = {
  "SHA-1": "3021300906052b0e03021a05000414",
  "SHA-224": "302d300d06096086480165030402040500041c",
  "SHA-256": "3031300d060960864801650304020105000420",
  "SHA-384": "3041300d060960864801650304020205000430",
  "SHA-512": "3051300d060960864801650304020305000440",
}
const HASHES = ["SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"] as const

const message = Buffer.from("a ClientHello and a ServerHello")
const nodeHash = (hash: KeyHash) => hash.replace("-", "").toLowerCase()
const digest = (hash: KeyHash) => createHash(nodeHash(hash)).update(message).digest()
const digestInfo = (hash: KeyHash) =>
  Buffer.concat([Buffer.from(DIGEST_INFO_PREFIXES[hash], "hex"), digest(hash)])

function pem(key: KeyObject, type: "pkcs8" | "pkcs1" | "sec1" = "pkcs8"): Buffer {
  return Buffer.from(key.export({ format: "pem", type } as { format: "pem"; type: "pkcs8" }))
}

function sign(
  key: SigningKey,
  mechanism: SigningMechanism,
  data: Uint8Array,
  pss: PssParameters | null = null,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    key.sign(mechanism, data, pss, (error, signature) =>
      error ? reject(error) : resolve(signature),
    )
  })
}

function codeOf(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return (error as { code?: unknown }).code
  }
  return "no error"
}

function openssl(args: string[], input?: Uint8Array): Buffer {
  return execFileSync("openssl", args, { input, stdio: ["pipe", "pipe", "ignore"] })
}

function spki(key: KeyObject): Buffer {
  return key.export({ format: "der", type: "spki" })
}

describe("SigningKey.fromPem", () => {
  it.each([
    ["PKCS #8 RSA", pem(rsa.privateKey), rsa.publicKey, "RSA", 2048, undefined],
    ["PKCS #1", pem(rsa.privateKey, "pkcs1"), rsa.publicKey, "RSA", 2048, undefined],
    ["PKCS #8 P-256", pem(p256.privateKey), p256.publicKey, "EC", 256, "P-256"],
    ["SEC 1 P-256", pem(p256.privateKey, "sec1"), p256.publicKey, "EC", 256, "P-256"],
    ["SEC 1 P-384", pem(p384.privateKey, "sec1"), p384.publicKey, "EC", 384, "P-384"],
  ])("reads %s", (_, bytes, publicKey, keyType, bits, curve) => {
    const key = SigningKey.fromPem(bytes)
    expect([key.keyType, key.bits, key.curve]).toEqual([keyType, bits, curve])
    expect(Buffer.from(key.publicKey)).toEqual(spki(publicKey))
  })

  it.each(["rsa:3072", "rsa:4096"])("reads %s", (spec) => {
    const bits = Number(spec.slice(4))
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: bits })
    const key = SigningKey.fromPem(pem(privateKey))
    expect(key.bits).toBe(bits)
    expect(key.signSync("RSA_PKCS", digestInfo("SHA-256"), null).length).toBe(bits / 8)
  })

  it("skips an EC PARAMETERS block before the key", () => {
    const bytes = openssl(["ecparam", "-name", "prime256v1", "-genkey"])
    expect(bytes.toString()).toContain("BEGIN EC PARAMETERS")
    expect(SigningKey.fromPem(bytes).curve).toBe("P-256")
  })

  it("reads a key after other blocks, with text around, from a view into a larger buffer", () => {
    const inner = Buffer.concat([
      Buffer.from("# our key\n"),
      Buffer.from(p256.publicKey.export({ format: "pem", type: "spki" })),
      Buffer.from("\n"),
      pem(p256.privateKey),
      Buffer.from("trailing text\n"),
    ])
    const outer = Buffer.concat([randomBytes(32), inner, randomBytes(32)])
    const key = SigningKey.fromPem(outer.subarray(32, 32 + inner.length))
    expect(Buffer.from(key.publicKey)).toEqual(spki(p256.publicKey))
  })

  it("gives a named curve and an uncompressed point whatever the file says", () => {
    const key = openssl(
      ["ec", "-conv_form", "compressed", "-param_enc", "explicit"],
      pem(p256.privateKey),
    )
    expect(Buffer.from(SigningKey.fromPem(key).publicKey)).toEqual(spki(p256.publicKey))
  })

  it("reads a SEC 1 key that leaves its public key out", () => {
    const key = openssl(["ec", "-no_public"], pem(p256.privateKey))
    expect(Buffer.from(SigningKey.fromPem(key).publicKey)).toEqual(spki(p256.publicKey))
  })

  it("leaves the caller's bytes as they were", () => {
    const bytes = pem(rsa.privateKey)
    const before = Buffer.from(bytes)
    SigningKey.fromPem(bytes)
    expect(bytes).toEqual(before)
  })

  it.each([
    ["nothing", Buffer.alloc(0)],
    ["text", Buffer.from("not a key")],
    ["random bytes", randomBytes(2000)],
    ["a public key", Buffer.from(rsa.publicKey.export({ format: "pem", type: "spki" }))],
    ["a truncated key", pem(rsa.privateKey).subarray(0, 900)],
    ["a bare label", Buffer.from("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n")],
    ["DER", p256.privateKey.export({ format: "der", type: "pkcs8" })],
  ])("refuses %s as malformed", (_, bytes) => {
    expect(codeOf(() => SigningKey.fromPem(bytes))).toBe("malformed-private-key")
  })

  it.each(["pkcs8", "pkcs1"] as const)("refuses an encrypted %s key", (type) => {
    const encrypted = rsa.privateKey.export({
      type,
      format: "pem",
      cipher: "aes-256-cbc",
      passphrase: "secret",
    } as { type: "pkcs8"; format: "pem"; cipher: string; passphrase: string })
    expect(codeOf(() => SigningKey.fromPem(Buffer.from(encrypted)))).toBe("encrypted-private-key")
  })

  it.each([
    ["RSA-1024", generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey],
    ["RSA-4104", generateKeyPairSync("rsa", { modulusLength: 4104 }).privateKey],
    ["RSASSA-PSS", generateKeyPairSync("rsa-pss", { modulusLength: 2048 }).privateKey],
    ["P-521", generateKeyPairSync("ec", { namedCurve: "P-521" }).privateKey],
    ["secp256k1", generateKeyPairSync("ec", { namedCurve: "secp256k1" }).privateKey],
    ["Ed448", generateKeyPairSync("ed448").privateKey],
    ["X25519", generateKeyPairSync("x25519").privateKey],
  ])("refuses %s as unsupported", (_, key) => {
    expect(codeOf(() => SigningKey.fromPem(pem(key)))).toBe("unsupported-key-type")
  })

  it("refuses an RSA key whose CRT part is wrong", () => {
    for (const part of ["p", "q", "d", "dp", "dq", "qi"] as const) {
      const jwk = rsa.privateKey.export({ format: "jwk" })
      const bytes = Buffer.from(jwk[part] as string, "base64url")
      const middle = bytes.length >> 1
      bytes[middle] = (bytes[middle] ?? 0) ^ 0x10
      const broken = createPrivateKey({
        key: { ...jwk, [part]: bytes.toString("base64url") },
        format: "jwk",
      })
      expect(
        codeOf(() => SigningKey.fromPem(pem(broken))),
        part,
      ).toBe("inconsistent-private-key")
    }
  })

  it("refuses an EC key that carries another key's public point", () => {
    const other = generateKeyPairSync("ec", { namedCurve: "P-256" })
    const der = p256.privateKey.export({ format: "der", type: "sec1" })
    const point = spki(other.publicKey).subarray(-65)
    point.copy(der, der.length - 65)
    const forged = `-----BEGIN EC PRIVATE KEY-----\n${der.toString("base64")}\n-----END EC PRIVATE KEY-----\n`
    expect(codeOf(() => SigningKey.fromPem(Buffer.from(forged)))).toBe("inconsistent-private-key")
  })

  it("refuses what is not a Uint8Array", () => {
    for (const value of [
      "-----BEGIN",
      null,
      undefined,
      1,
      {},
      new Uint16Array(4),
      new DataView(new ArrayBuffer(8)),
    ]) {
      expect(codeOf(() => SigningKey.fromPem(value as unknown as Uint8Array))).toBe(
        "invalid-argument",
      )
    }
  })
})

describe("signatures", () => {
  const rsaKey = SigningKey.fromPem(pem(rsa.privateKey))
  const p256Key = SigningKey.fromPem(pem(p256.privateKey))
  const p384Key = SigningKey.fromPem(pem(p384.privateKey))

  it.each(HASHES)("RSA_PKCS over a %s DigestInfo verifies", async (hash) => {
    const signatures = [
      rsaKey.signSync("RSA_PKCS", digestInfo(hash), null),
      await sign(rsaKey, "RSA_PKCS", digestInfo(hash)),
    ]
    for (const signature of signatures) {
      expect(signature.length).toBe(256)
      expect(verify(nodeHash(hash), message, rsa.publicKey, signature)).toBe(true)
    }
  })

  it.each(
    HASHES.flatMap((hash) =>
      [0, digest(hash).length, 256 - digest(hash).length - 2].map((salt) => [hash, salt] as const),
    ),
  )("RSA_PKCS_PSS with %s and a salt of %i bytes verifies", async (hash, saltLength) => {
    const pss = { hash, saltLength }
    const signatures = [
      rsaKey.signSync("RSA_PKCS_PSS", digest(hash), pss),
      await sign(rsaKey, "RSA_PKCS_PSS", digest(hash), pss),
    ]
    const key = { key: rsa.publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }
    for (const signature of signatures) {
      expect(verify(nodeHash(hash), message, key, signature)).toBe(true)
    }
  })

  it.each(HASHES.flatMap((hash) => [["P-256", hash] as const, ["P-384", hash] as const]))(
    "ECDSA on %s over %s is raw r and s, and verifies",
    async (curve, hash) => {
      const [key, publicKey, length] =
        curve === "P-256" ? [p256Key, p256.publicKey, 64] : [p384Key, p384.publicKey, 96]
      for (let round = 0; round < 300; round++) {
        const signature =
          round % 3 === 0
            ? await sign(key, "ECDSA", digest(hash))
            : key.signSync("ECDSA", digest(hash), null)
        expect(signature.length).toBe(length) // short r or s is padded: one round in 128 has one
        const verifier = { key: publicKey, dsaEncoding: "ieee-p1363" as const }
        expect(verify(nodeHash(hash), message, verifier, signature)).toBe(true)
      }
    },
  )

  it("handles a modulus whose length is no multiple of 8 bits", () => {
    for (const modulusLength of [2050, 2054, 2058]) {
      const pair = generateKeyPairSync("rsa", { modulusLength })
      const key = SigningKey.fromPem(pem(pair.privateKey))
      const { bits } = key
      expect(bits % 8).not.toBe(0)
      const max = Math.ceil((bits - 1) / 8) - 32 - 2
      const pss = { hash: "SHA-256", saltLength: max } as const
      const signature = key.signSync("RSA_PKCS_PSS", digest("SHA-256"), pss)
      expect(signature.length).toBe(Math.ceil(bits / 8))
      const verifier = {
        key: pair.publicKey,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: max,
      }
      expect(verify("sha256", message, verifier, signature)).toBe(true)
      expect(
        codeOf(() =>
          key.signSync("RSA_PKCS_PSS", digest("SHA-256"), { ...pss, saltLength: max + 1 }),
        ),
      ).toBe("salt-len-range")
    }
  })

  it("keeps the caller's data apart: changing it after sign() changes nothing", async () => {
    const data = digestInfo("SHA-256")
    const pending = sign(rsaKey, "RSA_PKCS", data)
    data.fill(0)
    expect(verify("sha256", message, rsa.publicKey, await pending)).toBe(true)
  })

  const pss = { hash: "SHA-256", saltLength: 32 } as const
  it.each([
    ["ECDSA with an RSA key", rsaKey, "ECDSA", digest("SHA-256"), null, "mechanism-mismatch"],
    [
      "RSA_PKCS with an EC key",
      p256Key,
      "RSA_PKCS",
      digestInfo("SHA-256"),
      null,
      "mechanism-mismatch",
    ],
    ["PSS with an EC key", p256Key, "RSA_PKCS_PSS", digest("SHA-256"), pss, "mechanism-mismatch"],
    ["no data", rsaKey, "RSA_PKCS", new Uint8Array(0), null, "data-len-range"],
    ["246 bytes of RSA_PKCS", rsaKey, "RSA_PKCS", randomBytes(246), null, "data-len-range"],
    ["far too much data", rsaKey, "RSA_PKCS", randomBytes(65536), null, "data-len-range"],
    ["19 bytes of ECDSA", p256Key, "ECDSA", randomBytes(19), null, "data-len-range"],
    ["65 bytes of ECDSA", p256Key, "ECDSA", randomBytes(65), null, "data-len-range"],
    [
      "a PSS value of another hash",
      rsaKey,
      "RSA_PKCS_PSS",
      digest("SHA-384"),
      pss,
      "data-len-range",
    ],
    [
      "a salt too long",
      rsaKey,
      "RSA_PKCS_PSS",
      digest("SHA-256"),
      { ...pss, saltLength: 223 },
      "salt-len-range",
    ],
    [
      "a huge salt",
      rsaKey,
      "RSA_PKCS_PSS",
      digest("SHA-256"),
      { ...pss, saltLength: 2 ** 32 - 1 },
      "salt-len-range",
    ],
    [
      "a negative salt",
      rsaKey,
      "RSA_PKCS_PSS",
      digest("SHA-256"),
      { ...pss, saltLength: -1 },
      "invalid-argument",
    ],
    [
      "half a salt",
      rsaKey,
      "RSA_PKCS_PSS",
      digest("SHA-256"),
      { ...pss, saltLength: 0.5 },
      "invalid-argument",
    ],
    ["PSS without parameters", rsaKey, "RSA_PKCS_PSS", digest("SHA-256"), null, "invalid-argument"],
    [
      "RSA_PKCS with parameters",
      rsaKey,
      "RSA_PKCS",
      digestInfo("SHA-256"),
      pss,
      "invalid-argument",
    ],
    [
      "an unknown hash",
      rsaKey,
      "RSA_PKCS_PSS",
      digest("SHA-256"),
      { hash: "MD5", saltLength: 0 },
      "invalid-argument",
    ],
    ["an unknown mechanism", rsaKey, "DSA", digest("SHA-256"), null, "invalid-argument"],
    ["data that is a string", p256Key, "ECDSA", "x".repeat(32), null, "invalid-argument"],
  ])("refuses %s", (_, key, mechanism, data, parameters, code) => {
    const args = [mechanism, data, parameters] as unknown as ["ECDSA", Uint8Array, null]
    expect(codeOf(() => key.signSync(...args))).toBe(code)
    expect(
      codeOf(() =>
        key.sign(...args, () => {
          throw new Error("called back after a refusal")
        }),
      ),
    ).toBe(code)
  })

  it("accepts the longest data and salt that fit", () => {
    expect(rsaKey.signSync("RSA_PKCS", randomBytes(245), null).length).toBe(256)
    const longest = { hash: "SHA-256", saltLength: 222 } as const
    expect(rsaKey.signSync("RSA_PKCS_PSS", digest("SHA-256"), longest).length).toBe(256)
  })

  it("signs with blinding: equal inputs take no equal path but give the one right signature", () => {
    const first = Buffer.from(rsaKey.signSync("RSA_PKCS", digestInfo("SHA-256"), null))
    for (let round = 0; round < 100; round++) {
      expect(Buffer.from(rsaKey.signSync("RSA_PKCS", digestInfo("SHA-256"), null))).toEqual(first)
    }
  })
})

describe("lifetime", () => {
  it("finishes what is in flight when the key is destroyed, and refuses what comes later", async () => {
    const key = SigningKey.fromPem(pem(rsa.privateKey))
    const pending = Array.from({ length: 64 }, () => sign(key, "RSA_PKCS", digestInfo("SHA-256")))
    key.destroy()
    key.destroy()
    expect(codeOf(() => key.signSync("RSA_PKCS", digestInfo("SHA-256"), null))).toBe(
      "key-destroyed",
    )
    await expect(sign(key, "RSA_PKCS", digestInfo("SHA-256"))).rejects.toMatchObject({
      code: "key-destroyed",
    })
    for (const signature of await Promise.all(pending)) {
      expect(verify("sha256", message, rsa.publicKey, signature)).toBe(true)
    }
    expect(key.bits).toBe(2048) // what is public stays readable
    expect(
      createPublicKey({ key: Buffer.from(key.publicKey), format: "der", type: "spki" }).type,
    ).toBe("public")
  })

  it("signs from many callers at once with many keys, each its own", async () => {
    const pairs = Array.from({ length: 8 }, () =>
      generateKeyPairSync("ec", { namedCurve: "P-256" }),
    )
    const keys = pairs.map((pair) => SigningKey.fromPem(pem(pair.privateKey)))
    const results = await Promise.all(
      Array.from({ length: 800 }, async (_, i) => {
        const signature = await sign(keys[i % 8] as SigningKey, "ECDSA", digest("SHA-256"))
        const key = pairs[i % 8]?.publicKey as KeyObject
        return verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature)
      }),
    )
    expect(results.every(Boolean)).toBe(true)
  })
})
