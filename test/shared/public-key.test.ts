/** Names of keys, against openssl's. */
import { execFileSync } from "node:child_process"
import { createHash, createPublicKey, X509Certificate } from "node:crypto"
import { describe, expect, it } from "vitest"
import {
  encryptionContextFor,
  exportSpki,
  fingerprintOf,
  publicKeyOf,
} from "../../shared/public-key.js"

const openssl = (args: string[], input?: Uint8Array) => execFileSync("openssl", args, { input })

describe.each(["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-384"])("a key of %s", (newkey) => {
  const pem = openssl(
    `req -x509 -newkey ${newkey} -nodes -keyout /dev/null -subj /CN=x -days 1`.split(" "),
  )
  const certificate = new X509Certificate(pem)
  const spki = openssl(
    ["pkey", "-pubin", "-outform", "DER"],
    openssl(["x509", "-pubkey", "-noout"], pem),
  )

  it("is named by the SHA-256 of its SubjectPublicKeyInfo", () => {
    expect(publicKeyOf(certificate).equals(spki)).toBe(true)
    expect(exportSpki(createPublicKey(pem)).equals(spki)).toBe(true)
    const digest = createHash("sha256").update(spki).digest()
    expect(fingerprintOf(spki).equals(digest)).toBe(true)
    expect(encryptionContextFor(certificate)).toEqual({
      "tlskeep:spki-sha256": digest.toString("hex"),
    })
  })
})
