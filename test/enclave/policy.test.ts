/** The usage policy `tls-server`: every mechanism with every kind of key and input. */
import { createHash } from "node:crypto"
import { describe, expect, it } from "vitest"
import { DIGEST_INFO_PREFIX, isDigestInfo } from "../../enclave/policy/digest-info.js"
import { TLS_SERVER_POLICY } from "../../enclave/policy/tls-server.js"
import type { RequestedUse } from "../../enclave/policy/usage-policy.js"
import { DECRYPT_MECHANISMS, type HashName, MECHANISMS } from "../../shared/protocol/signing.js"
import { codeOf } from "../shared/codes.js"
import { digestInfo, makeKey, signingKey } from "./keys.js"

const keys = {
  "RSA-2048": signingKey(makeKey("RSA-2048")),
  "RSA-2049": signingKey(makeKey("RSA-2049")),
  "P-256": signingKey(makeKey("P-256")),
  "P-384": signingKey(makeKey("P-384")),
  Ed25519: signingKey(makeKey("Ed25519")),
}
type Key = keyof typeof keys
const HASHES = ["SHA-256", "SHA-384", "SHA-512"] as const
const hashOf = (name: HashName) => createHash(name.replace("-", "")).update("x").digest()

function admission(key: Key, use: Partial<RequestedUse>): string {
  const whole = { mechanism: "ECDSA", data: hashOf("SHA-256"), parameter: null, ...use }
  return codeOf(() => TLS_SERVER_POLICY.admit(keys[key], whole))
}

describe("isDigestInfo", () => {
  it.each(HASHES)("takes what openssl signs for %s", (hash) => {
    expect(isDigestInfo(digestInfo(hash, hashOf(hash)), HASHES)).toBe(true)
    expect(DIGEST_INFO_PREFIX[hash]).toHaveLength(19)
  })

  const sha256 = digestInfo("SHA-256", hashOf("SHA-256"))
  it.each<[string, Buffer]>([
    ["nothing", Buffer.alloc(0)],
    ["a bare hash value", hashOf("SHA-256")],
    ["MD5", digestInfo("MD5", Buffer.alloc(16))],
    ["SHA-1", digestInfo("SHA-1", Buffer.alloc(20))],
    ["SHA-224", digestInfo("SHA-224", Buffer.alloc(28))],
    ["MD5 and SHA-1 of TLS 1.1", Buffer.alloc(36)],
    ["a trailing byte", Buffer.concat([sha256, Buffer.of(0)])],
    ["a byte missing", sha256.subarray(0, -1)],
    [
      "no NULL",
      Buffer.concat([
        Buffer.from("302f300b0609608648016503040201", "hex"),
        Buffer.from("0420", "hex"),
        hashOf("SHA-256"),
      ]),
    ],
    [
      "no NULL, as long as with it",
      Buffer.concat([Buffer.from("302f300b06096086480165030402010420", "hex"), Buffer.alloc(34)]),
    ],
    ["SHA-384 over 32 bytes", digestInfo("SHA-384", hashOf("SHA-256"))],
    ["SHA-256's prefix over 48 bytes", digestInfo("SHA-256", hashOf("SHA-384"))],
    [
      "SHA-512/256's name",
      Buffer.concat([
        Buffer.from("3031300d060960864801650304020605000420", "hex"),
        Buffer.alloc(32),
      ]),
    ],
    [
      "a length in long form",
      Buffer.concat([
        Buffer.from("308131300d060960864801650304020105000420", "hex"),
        Buffer.alloc(32),
      ]),
    ],
    [
      "a whole padded block",
      Buffer.concat([Buffer.from("0001", "hex"), Buffer.alloc(202, 0xff), Buffer.of(0), sha256]),
    ],
  ])("refuses %s", (_name, data) => {
    expect(isDigestInfo(data, HASHES)).toBe(false)
  })

  it("refuses a change of any prefix byte", () => {
    for (const hash of HASHES) {
      for (let at = 0; at < 19; at++) {
        const changed = digestInfo(hash, hashOf(hash))
        changed[at] = (changed[at] ?? 0) ^ 1
        expect(isDigestInfo(changed, HASHES), `${hash}, byte ${at}`).toBe(false)
      }
    }
  })
})

describe("mechanisms", () => {
  it("are those of the key's kind", () => {
    expect(TLS_SERVER_POLICY.name).toBe("tls-server")
    expect(TLS_SERVER_POLICY.mechanismsFor(keys["RSA-2048"])).toEqual(["RSA_PKCS", "RSA_PKCS_PSS"])
    expect(TLS_SERVER_POLICY.mechanismsFor(keys["P-256"])).toEqual(["ECDSA"])
    expect(TLS_SERVER_POLICY.mechanismsFor(keys["P-384"])).toEqual(["ECDSA"])
    expect(TLS_SERVER_POLICY.mechanismsFor(keys.Ed25519)).toEqual(["EDDSA"])
  })

  it("hash by SHA-2 from 256 bits on, and decrypt nothing", () => {
    for (const key of Object.keys(keys) as Key[]) {
      expect(TLS_SERVER_POLICY.hashesFor(keys[key])).toEqual(key === "Ed25519" ? [] : HASHES)
      expect(TLS_SERVER_POLICY.decryptMechanismsFor(keys[key])).toEqual([])
    }
  })

  const uses: Record<string, Partial<RequestedUse>> = {
    RSA_PKCS: { data: digestInfo("SHA-256", hashOf("SHA-256")) },
    RSA_PKCS_PSS: { parameter: ["SHA-256", 32] },
    ECDSA: {},
    EDDSA: {},
    RSA_X_509: { data: Buffer.alloc(256) },
  }
  const kinds: Record<string, string> = {
    RSA_PKCS: "RSA",
    RSA_PKCS_PSS: "RSA",
    ECDSA: "P-",
    EDDSA: "Ed25519",
  }
  const table = (Object.keys(keys) as Key[]).flatMap((key) =>
    MECHANISMS.map((mechanism): [Key, string, string] => [
      key,
      mechanism,
      key.startsWith(kinds[mechanism] ?? "none") ? "no error" : "mechanism-refused",
    ]),
  )
  it.each(table)("%s with %s: %s", (key, mechanism, expected) => {
    expect(admission(key, { mechanism, ...uses[mechanism] })).toBe(expected)
  })

  it.each([
    "",
    "RSA_X_509",
    "RSA_PKCS_OAEP",
    "rsa_pkcs",
    "CKM_RSA_PKCS",
    "ECDSA_SHA256",
    "ECDH1_DERIVE",
    "toString",
    "__proto__",
  ])("no key has %j", (mechanism) => {
    for (const key of Object.keys(keys) as Key[]) {
      expect(admission(key, { mechanism })).toBe("mechanism-refused")
    }
  })
})

describe("RSA_PKCS", () => {
  const use = (more: Partial<RequestedUse>) => ({ mechanism: "RSA_PKCS", ...more })

  it("hands the DigestInfo on unchanged", () => {
    for (const hash of HASHES) {
      const data = digestInfo(hash, hashOf(hash))
      const request = { mechanism: "RSA_PKCS", data, parameter: null }
      const admitted = TLS_SERVER_POLICY.admit(keys["RSA-2048"], request)
      expect(admitted).toEqual({ mechanism: "RSA_PKCS", data, pss: null })
    }
  })

  it("refuses anything else, and any parameter", () => {
    expect(admission("RSA-2048", use({ data: hashOf("SHA-256") }))).toBe("data-refused")
    expect(admission("RSA-2048", use({ data: Buffer.alloc(0) }))).toBe("data-refused")
    expect(admission("RSA-2048", use({ data: Buffer.alloc(245) }))).toBe("data-refused")
    const md5 = digestInfo("MD5", Buffer.alloc(16))
    expect(admission("RSA-2048", use({ data: md5 }))).toBe("data-refused")
    const good = digestInfo("SHA-256", hashOf("SHA-256"))
    for (const parameter of [0, "", [], {}, false, ["SHA-256", 32]]) {
      const code = admission("RSA-2048", use({ data: good, parameter }))
      expect(code, JSON.stringify(parameter)).toBe("mechanism-param-refused")
    }
  })
})

describe("RSA_PKCS_PSS", () => {
  const use = (more: Partial<RequestedUse>) => ({ mechanism: "RSA_PKCS_PSS", ...more })

  it.each(HASHES)("takes %s with a salt of any length that fits", (hash) => {
    const data = hashOf(hash)
    const longest = 256 - data.length - 2
    for (const saltLength of [0, 1, data.length, longest]) {
      const parameter = [hash, saltLength]
      const request = { mechanism: "RSA_PKCS_PSS", data, parameter }
      expect(TLS_SERVER_POLICY.admit(keys["RSA-2048"], request)).toEqual({
        mechanism: "RSA_PKCS_PSS",
        data,
        pss: { hash, saltLength },
      })
    }
    const code = admission("RSA-2048", use({ data, parameter: [hash, longest + 1] }))
    expect(code).toBe("mechanism-param-refused")
  })

  it("admits the salts that the key can sign with, and no other, for odd moduli too", () => {
    expect(keys["RSA-2049"].bits).toBe(2049)
    for (const key of ["RSA-2048", "RSA-2049"] as const) {
      for (let saltLength = 215; saltLength < 230; saltLength++) {
        const data = hashOf("SHA-256")
        const sign = () => keys[key].signSync("RSA_PKCS_PSS", data, { hash: "SHA-256", saltLength })
        const code = admission(key, use({ data, parameter: ["SHA-256", saltLength] }))
        expect(code === "no error", `${key}, ${saltLength}`).toBe(codeOf(sign) === "no error")
      }
    }
  })

  it("refuses other parameters and data of another length", () => {
    for (const parameter of [null, [], ["SHA-1", 20], ["MD5", 16], ["SHA-256", -1], "SHA-256"]) {
      const code = admission("RSA-2048", use({ parameter }))
      expect(code, JSON.stringify(parameter)).toBe("mechanism-param-refused")
    }
    for (const length of [0, 20, 31, 33, 48, 64]) {
      const data = Buffer.alloc(length)
      const code = admission("RSA-2048", use({ data, parameter: ["SHA-256", 32] }))
      expect(code, `${length}`).toBe("data-len-range")
    }
    const info = digestInfo("SHA-256", hashOf("SHA-256"))
    const code = admission("RSA-2048", use({ data: info, parameter: ["SHA-256", 32] }))
    expect(code).toBe("data-len-range")
  })
})

describe("EDDSA", () => {
  it("takes messages of up to 60,000 bytes", () => {
    for (const [length, code] of [
      [0, "no error"],
      [130, "no error"],
      [60_000, "no error"],
      [60_001, "data-len-range"],
    ] as const) {
      const use = { mechanism: "EDDSA", data: Buffer.alloc(length) }
      expect(admission("Ed25519", use), `${length}`).toBe(code)
    }
  })

  it("takes no parameter: neither Ed25519ph nor a context", () => {
    for (const parameter of [true, Buffer.alloc(0), [false, Buffer.alloc(1)]]) {
      const code = admission("Ed25519", { mechanism: "EDDSA", parameter })
      expect(code).toBe("mechanism-param-refused")
    }
  })
})

describe("decryption", () => {
  it.each([...DECRYPT_MECHANISMS, "", "ECDH1_DERIVE"])("by %j is refused to every key", (name) => {
    const oaep = ["SHA-256", "SHA-256", Buffer.alloc(0)]
    for (const key of Object.values(keys)) {
      for (const parameter of [null, oaep, "x"]) {
        for (const length of [0, 256, 257]) {
          const use = { mechanism: name, data: Buffer.alloc(length), parameter }
          const code = codeOf(() => TLS_SERVER_POLICY.admitDecrypt(key, use))
          expect(code).toBe("mechanism-refused")
        }
      }
    }
  })
})

describe.each(["P-256", "P-384"] as const)("ECDSA with %s", (key) => {
  it("takes 32 to 64 bytes", () => {
    for (const length of [32, 48, 63, 64]) {
      expect(admission(key, { data: Buffer.alloc(length, 1) })).toBe("no error")
    }
    for (const length of [0, 1, 20, 31, 65, 66, 1000]) {
      expect(admission(key, { data: Buffer.alloc(length, 1) })).toBe("data-len-range")
    }
  })

  it("takes no parameter", () => {
    expect(admission(key, { parameter: ["SHA-256", 32] })).toBe("mechanism-param-refused")
  })
})
