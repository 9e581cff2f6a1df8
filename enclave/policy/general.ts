/**
 * The usage policy `general`: whatever a PKCS #11 consumer may want of a key that only the token
 * holds, older hash functions, raw RSA and decryption among it. Whoever has the PIN can have a
 * signature over any value and read what is encrypted to the key; the key itself stays here.
 */
import type { SigningKey } from "../../native/addon/index.js"
import {
  DECRYPT_MECHANISMS,
  type DecryptMechanismName,
  decodeOaepParameter,
  HASH_BYTES,
  type HashName,
  SigningRefusal,
} from "../../shared/protocol/signing.js"
import { admitSignature, expectNoParameter, type SignatureRules } from "./signatures.js"
import type { AdmittedDecryption, RequestedUse, UsagePolicy } from "./usage-policy.js"

const RULES: SignatureRules = {
  mechanisms: {
    RSA: ["RSA_PKCS", "RSA_PKCS_PSS", "RSA_X_509"],
    EC: ["ECDSA"],
    Ed25519: ["EDDSA"],
  },
  hashes: Object.keys(HASH_BYTES) as HashName[],
  ecdsaBytes: { min: HASH_BYTES["SHA-1"], max: HASH_BYTES["SHA-512"] },
}

export const GENERAL_POLICY: UsagePolicy = {
  name: "general",
  mechanismsFor: (key) => RULES.mechanisms[key.keyType],
  hashesFor: (key) => (key.keyType === "Ed25519" ? [] : RULES.hashes),
  ecdsaBytes: RULES.ecdsaBytes,
  decryptMechanismsFor,
  admit: (key, use) => admitSignature(RULES, key, use),
  admitDecrypt,
}

function decryptMechanismsFor(key: SigningKey): readonly DecryptMechanismName[] {
  return key.keyType === "RSA" ? DECRYPT_MECHANISMS : []
}

function admitDecrypt(key: SigningKey, use: RequestedUse): AdmittedDecryption {
  const { data, parameter } = use
  const mechanism = decryptMechanismsFor(key).find((name) => name === use.mechanism)
  if (mechanism === undefined) {
    throw new SigningRefusal("mechanism-refused", "the policy does not admit the mechanism")
  }
  const oaep = mechanism === "RSA_PKCS_OAEP" ? decodeOaepParameter(parameter) : null
  if (oaep === undefined) {
    throw new SigningRefusal("mechanism-param-refused", "not an OAEP parameter")
  }
  if (oaep === null) expectNoParameter(parameter)
  if (data.length !== Math.ceil(key.bits / 8)) {
    throw new SigningRefusal("encrypted-data-len-range", "the data is not as long as the modulus")
  }
  return { mechanism, data, oaep }
}
