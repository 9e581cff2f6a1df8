/** The usage policy `general`, and both policies side by side over everything that can be asked. */
import { createHash } from "node:crypto"
import { describe, expect, it } from "vitest"
import { GENERAL_POLICY } from "../../enclave/policy/general.js"
import { TLS_SERVER_POLICY } from "../../enclave/policy/tls-server.js"
import type { RequestedUse } from "../../enclave/policy/usage-policy.js"
import type { CborValue } from "../../shared/cbor.js"
import {
  DECRYPT_MECHANISMS,
  HASH_BYTES,
  type HashName,
  MECHANISMS,
} from "../../shared/protocol/signing.js"
import { codeOf } from "../shared/codes.js"
import { digestInfo, makeKey, signingKey } from "./keys.js"

const POLICIES = [TLS_SERVER_POLICY, GENERAL_POLICY]
const NAMES = ["RSA-2048", "RSA-2049", "P-256", "P-384", "Ed25519"] as const
type Name = (typeof NAMES)[number]
const keys = new Map(NAMES.map((name) => [name, signingKey(makeKey(name))]))
function key(name: Name) {
  const found = keys.get(name)
  if (found === undefined) throw new Error(name)
  return found
}
const HASHES = Object.keys(HASH_BYTES) as HashName[]
const OLD_HASHES: readonly HashName[] = ["SHA-1", "SHA-224"]
const hashOf = (name: HashName) => createHash(name.replace("-", "")).update("x").digest()
const modulusBytes = (name: Name) => Math.ceil(key(name).bits / 8)

function admission(name: Name, use: Partial<RequestedUse>): string {
  const whole = { mechanism: "ECDSA", data: hashOf("SHA-256"), parameter: null, ...use }
  return codeOf(() => GENERAL_POLICY.admit(key(name), whole))
}
function decryption(name: Name, use: Partial<RequestedUse>): string {
  const data = Buffer.alloc(modulusBytes(name))
  const whole = { mechanism: "RSA_PKCS", data, parameter: null, ...use }
  return codeOf(() => GENERAL_POLICY.admitDecrypt(key(name), whole))
}

/** The two policies' answers to a well-formed signature, from what PROTOCOL.md says of them. */
function expectedAdmission(policy: string, name: Name, mechanism: string, hash: HashName): string {
  const kind = name.startsWith("RSA") ? "RSA" : name.startsWith("P-") ? "ECDSA" : "EDDSA"
  if (!mechanism.startsWith(kind)) return "mechanism-refused"
  const old = policy === "tls-server" && OLD_HASHES.includes(hash)
  switch (mechanism) {
    case "RSA_PKCS":
      return old ? "data-refused" : "no error"
    case "RSA_PKCS_PSS":
      return old ? "mechanism-param-refused" : "no error"
    case "ECDSA":
      return old ? "data-len-range" : "no error"
    case "RSA_X_509":
      return policy === "tls-server" ? "mechanism-refused" : "no error"
    default:
      return "no error"
  }
}

function wellFormed(name: Name, mechanism: string, hash: HashName): RequestedUse {
  const value = hashOf(hash)
  switch (mechanism) {
    case "RSA_PKCS":
      return { mechanism, data: digestInfo(hash, value), parameter: null }
    case "RSA_PKCS_PSS":
      return { mechanism, data: value, parameter: [hash, value.length] }
    case "RSA_X_509":
      return { mechanism, data: Buffer.alloc(modulusBytes(name)), parameter: null }
    default:
      return { mechanism, data: value, parameter: null }
  }
}

describe.each(POLICIES)("$name", (policy) => {
  it.each(NAMES)("answers every mechanism and hash for %s as the page says", (name) => {
    for (const mechanism of MECHANISMS) {
      for (const hash of HASHES) {
        const use = wellFormed(name, mechanism, hash)
        const code = codeOf(() => policy.admit(key(name), use))
        const expected = expectedAdmission(policy.name, name, mechanism, hash)
        expect(code, `${mechanism}, ${hash}`).toBe(expected)
      }
    }
  })

  it.each(NAMES)("lists for %s what it admits, and nothing else", (name) => {
    const admits = (mechanism: string, hash: HashName) =>
      codeOf(() => policy.admit(key(name), wellFormed(name, mechanism, hash))) === "no error"
    const mechanisms = MECHANISMS.filter((mechanism) => admits(mechanism, "SHA-256"))
    expect([...policy.mechanismsFor(key(name))].sort()).toEqual([...mechanisms].sort())
    const prehashed = ["RSA_PKCS", "RSA_PKCS_PSS", "ECDSA"] as const
    const hashes = HASHES.filter((hash) => prehashed.some((mechanism) => admits(mechanism, hash)))
    expect(policy.hashesFor(key(name))).toEqual(hashes)
    const decrypts = DECRYPT_MECHANISMS.filter((mechanism) => {
      const parameter =
        mechanism === "RSA_PKCS_OAEP" ? ["SHA-256", "SHA-256", Buffer.alloc(0)] : null
      const use = { mechanism, data: Buffer.alloc(modulusBytes(name)), parameter }
      return codeOf(() => policy.admitDecrypt(key(name), use)) === "no error"
    })
    expect(policy.decryptMechanismsFor(key(name))).toEqual(decrypts)
  })

  it.each(["", "rsa_pkcs", "CKM_RSA_PKCS", "RSA_PKCS_OAEP", "ECDH1_DERIVE", "toString"])(
    "signs with no key by %j",
    (mechanism) => {
      for (const name of NAMES) {
        const use = { mechanism, data: Buffer.alloc(32), parameter: null }
        expect(codeOf(() => policy.admit(key(name), use))).toBe("mechanism-refused")
      }
    },
  )
})

describe("general", () => {
  it("has the mechanisms of each kind of key", () => {
    expect(GENERAL_POLICY.name).toBe("general")
    const rsa = ["RSA_PKCS", "RSA_PKCS_PSS", "RSA_X_509"]
    expect(GENERAL_POLICY.mechanismsFor(key("RSA-2048"))).toEqual(rsa)
    expect(GENERAL_POLICY.mechanismsFor(key("P-384"))).toEqual(["ECDSA"])
    expect(GENERAL_POLICY.mechanismsFor(key("Ed25519"))).toEqual(["EDDSA"])
    expect(GENERAL_POLICY.decryptMechanismsFor(key("RSA-2048"))).toEqual(DECRYPT_MECHANISMS)
    expect(GENERAL_POLICY.decryptMechanismsFor(key("P-256"))).toEqual([])
    expect(GENERAL_POLICY.decryptMechanismsFor(key("Ed25519"))).toEqual([])
  })

  it("still signs nothing by RSA_PKCS but a DigestInfo", () => {
    const mechanism = "RSA_PKCS"
    for (const data of [
      Buffer.alloc(0),
      Buffer.alloc(36),
      hashOf("SHA-1"),
      digestInfo("MD5", Buffer.alloc(16)),
      digestInfo("SHA-1", Buffer.alloc(21)),
      digestInfo("SHA-224", Buffer.alloc(20)),
      Buffer.concat([digestInfo("SHA-1", hashOf("SHA-1")), Buffer.of(0)]),
    ]) {
      expect(admission("RSA-2048", { mechanism, data }), data.toString("hex")).toBe("data-refused")
    }
    const data = digestInfo("SHA-1", hashOf("SHA-1"))
    for (let at = 0; at < 15; at++) {
      const changed = Buffer.from(data)
      changed[at] = (changed[at] ?? 0) ^ 1
      expect(admission("RSA-2048", { mechanism, data: changed }), `${at}`).toBe("data-refused")
    }
    expect(admission("RSA-2048", { mechanism, data, parameter: [] })).toBe(
      "mechanism-param-refused",
    )
  })

  it.each(HASHES)("takes salts of PSS with %s as far as the key does", (hash) => {
    for (const name of ["RSA-2048", "RSA-2049"] as const) {
      const data = hashOf(hash)
      const longest = 256 - data.length - 2
      for (const saltLength of [0, longest, longest + 1]) {
        const use = { mechanism: "RSA_PKCS_PSS", data, parameter: [hash, saltLength] }
        const sign = () => key(name).signSync("RSA_PKCS_PSS", data, { hash, saltLength })
        const fits = codeOf(sign) === "no error"
        expect(fits).toBe(saltLength <= longest)
        expect(admission(name, use)).toBe(fits ? "no error" : "mechanism-param-refused")
      }
      const short = { mechanism: "RSA_PKCS_PSS", data: data.subarray(1), parameter: [hash, 0] }
      expect(admission(name, short)).toBe("data-len-range")
    }
  })

  it.each(["P-256", "P-384"] as const)("takes 20 to 64 bytes of ECDSA with %s", (name) => {
    for (const [length, code] of [
      [0, "data-len-range"],
      [19, "data-len-range"],
      [20, "no error"],
      [64, "no error"],
      [65, "data-len-range"],
    ] as const) {
      expect(admission(name, { data: Buffer.alloc(length, 1) }), `${length}`).toBe(code)
    }
    expect(admission(name, { parameter: ["SHA-1", 20] })).toBe("mechanism-param-refused")
  })

  it.each(["RSA-2048", "RSA-2049"] as const)("takes blocks of RSA_X_509 with %s", (name) => {
    const mechanism = "RSA_X_509"
    const bytes = modulusBytes(name)
    for (const length of [0, 1, bytes - 1, bytes, bytes + 1, 60_000]) {
      const code = admission(name, { mechanism, data: Buffer.alloc(length) })
      expect(code, `${length}`).toBe(length === bytes ? "no error" : "data-len-range")
    }
    const block = { mechanism, data: Buffer.alloc(bytes), parameter: 0 }
    expect(admission(name, block)).toBe("mechanism-param-refused")
  })
})

describe("decryption under general", () => {
  const label = Buffer.from("label")
  it.each(HASHES.flatMap((hash) => HASHES.map((mgfHash) => [hash, mgfHash] as const)))(
    "hands OAEP with %s and %s on unchanged",
    (hash, mgfHash) => {
      const data = Buffer.alloc(256, 1)
      const use = { mechanism: "RSA_PKCS_OAEP", data, parameter: [hash, mgfHash, label] }
      expect(GENERAL_POLICY.admitDecrypt(key("RSA-2048"), use)).toEqual({
        mechanism: "RSA_PKCS_OAEP",
        data,
        oaep: { hash, mgfHash, label },
      })
    },
  )

  it.each<[string, CborValue]>([
    ["RSA_PKCS", 0],
    ["RSA_PKCS", ["SHA-256", "SHA-256", label]],
    ["RSA_X_509", []],
    ["RSA_PKCS_OAEP", null],
    ["RSA_PKCS_OAEP", ["SHA-256", "SHA-256"]],
    ["RSA_PKCS_OAEP", ["MD5", "SHA-256", label]],
    ["RSA_PKCS_OAEP", ["SHA-256", "MD5", label]],
    ["RSA_PKCS_OAEP", ["SHA-256", "SHA-256", "label"]],
  ])("%s refuses the parameter %j", (mechanism, parameter) => {
    expect(decryption("RSA-2048", { mechanism, parameter })).toBe("mechanism-param-refused")
  })

  it.each(DECRYPT_MECHANISMS)("%s takes data as long as the modulus alone", (mechanism) => {
    const parameter = mechanism === "RSA_PKCS_OAEP" ? ["SHA-1", "SHA-1", label] : null
    for (const name of ["RSA-2048", "RSA-2049"] as const) {
      const bytes = modulusBytes(name)
      for (const length of [0, 1, bytes - 1, bytes, bytes + 1, 60_000]) {
        const code = decryption(name, { mechanism, parameter, data: Buffer.alloc(length) })
        expect(code, `${length}`).toBe(length === bytes ? "no error" : "encrypted-data-len-range")
      }
    }
  })

  it.each(["P-256", "P-384", "Ed25519"] as const)("is not what %s is for", (name) => {
    for (const mechanism of DECRYPT_MECHANISMS) {
      expect(decryption(name, { mechanism, data: Buffer.alloc(256) })).toBe("mechanism-refused")
    }
  })

  it.each(["", "RSA_PKCS_PSS", "rsa_pkcs", "CKM_RSA_PKCS", "ECDH1_DERIVE", "toString"])(
    "has no mechanism %j",
    (mechanism) => {
      expect(decryption("RSA-2048", { mechanism })).toBe("mechanism-refused")
    },
  )
})
