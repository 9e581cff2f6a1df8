/** RSA_X_509: the bare RSA private operation, against node:crypto's public one. */
import { constants, publicDecrypt, randomBytes } from "node:crypto"
import { describe, expect, it } from "vitest"
import { makeKey, signingKey } from "../enclave/keys.js"
import { codeOf, rejectionCode } from "../shared/codes.js"
import { decrypt, sign } from "./keys.js"

const NO_PADDING = { padding: constants.RSA_NO_PADDING }

describe.each(["RSA-2048", "RSA-2049"] as const)("RSA_X_509 with %s", (name) => {
  const pair = makeKey(name)
  const key = signingKey(pair)
  const bytes = Math.ceil(key.bits / 8)
  const { n = "" } = pair.publicKey.export({ format: "jwk" })
  const modulus = Buffer.from(n, "base64url")
  /** The modulus plus a small number. */
  const nearModulus = (by: number) => {
    const number = BigInt(`0x${modulus.toString("hex")}`) + BigInt(by)
    return Buffer.from(number.toString(16).padStart(2 * bytes, "0"), "hex")
  }

  it.each<[string, Buffer]>([
    ["any number", Buffer.concat([Buffer.alloc(bytes - 255), randomBytes(255)])],
    ["0", Buffer.alloc(bytes)],
    ["1", Buffer.concat([Buffer.alloc(bytes - 1), Buffer.of(1)])],
    ["the modulus less 1", nearModulus(-1)],
  ])("signs %s", async (_name, block) => {
    for (const signature of [
      Buffer.from(key.signSync("RSA_X_509", block, null)),
      await sign(key, "RSA_X_509", block),
    ]) {
      expect(signature).toHaveLength(bytes)
      expect(publicDecrypt({ key: pair.publicKey, ...NO_PADDING }, signature)).toEqual(block)
    }
  })

  it("signs and decrypts by the same operation", async () => {
    const block = Buffer.concat([Buffer.alloc(bytes - 255), randomBytes(255)])
    expect(await decrypt(key, "RSA_X_509", block)).toEqual(await sign(key, "RSA_X_509", block))
  })

  it("refuses the modulus and more", async () => {
    for (const block of [nearModulus(0), nearModulus(1), Buffer.alloc(bytes, 0xff)]) {
      expect(codeOf(() => key.signSync("RSA_X_509", block, null))).toBe("data-invalid")
      expect(await rejectionCode(sign(key, "RSA_X_509", block))).toBe("data-invalid")
      expect(await rejectionCode(decrypt(key, "RSA_X_509", block))).toBe("encrypted-data-invalid")
    }
  })

  it("refuses other lengths", async () => {
    for (const length of [0, 1, 20, bytes - 1, bytes + 1, 65_000]) {
      const block = Buffer.alloc(length)
      expect(codeOf(() => key.signSync("RSA_X_509", block, null))).toBe("data-len-range")
      expect(await rejectionCode(decrypt(key, "RSA_X_509", block))).toBe("encrypted-data-len-range")
    }
  })
})
