/**
 * The usage policy `tls-server`: the signatures that TLS 1.2 and 1.3 servers make with SHA-2 and
 * Ed25519, and nothing that could decrypt or sign a value of the caller's making.
 */
import { SigningRefusal } from "../../shared/protocol/signing.js"
import { admitSignature, type SignatureRules } from "./signatures.js"
import type { UsagePolicy } from "./usage-policy.js"

const RULES: SignatureRules = {
  mechanisms: { RSA: ["RSA_PKCS", "RSA_PKCS_PSS"], EC: ["ECDSA"], Ed25519: ["EDDSA"] },
  hashes: ["SHA-256", "SHA-384", "SHA-512"],
  ecdsaBytes: { min: 32, max: 64 },
}

export const TLS_SERVER_POLICY: UsagePolicy = {
  name: "tls-server",
  mechanismsFor: (key) => RULES.mechanisms[key.keyType],
  hashesFor: (key) => (key.keyType === "Ed25519" ? [] : RULES.hashes),
  ecdsaBytes: RULES.ecdsaBytes,
  decryptMechanismsFor: () => [],
  admit: (key, use) => admitSignature(RULES, key, use),
  admitDecrypt: () => {
    throw new SigningRefusal("mechanism-refused", "the policy admits no decryption")
  },
}
