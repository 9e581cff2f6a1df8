/**
 * The checks of one signature, mechanism by mechanism, that policies are put together from: what
 * PROTOCOL.md says of its data and parameter.
 */
import type { SigningKey } from "../../native/addon/index.js"
import { MAX_EDDSA_BYTES } from "../../shared/protocol/limits.js"
import {
  decodePssParameter,
  HASH_BYTES,
  type HashName,
  type MechanismName,
  SigningRefusal,
} from "../../shared/protocol/signing.js"
import { isDigestInfo } from "./digest-info.js"
import type { AdmittedUse, RequestedUse } from "./usage-policy.js"

/** What of a key's signatures a policy admits. */
export interface SignatureRules {
  mechanisms: Readonly<Record<SigningKey["keyType"], readonly MechanismName[]>>
  /** Of RSA_PKCS and RSA_PKCS_PSS. */
  hashes: readonly HashName[]
  /** Hash values that ECDSA takes, in bytes: those of `hashes` and what lies between. */
  ecdsaBytes: { min: number; max: number }
}

/**
 * Checks one signature against a policy's rules.
 *
 * @throws SigningRefusal `mechanism-refused`, `mechanism-param-refused`, `data-refused` or
 *   `data-len-range`
 */
export function admitSignature(
  rules: SignatureRules,
  key: SigningKey,
  use: RequestedUse,
): AdmittedUse {
  const mechanism = rules.mechanisms[key.keyType].find((name) => name === use.mechanism)
  switch (mechanism) {
    case "RSA_PKCS":
      return admitPkcs1(rules, use)
    case "RSA_PKCS_PSS":
      return admitPss(rules, key, use)
    case "ECDSA":
      return admitLength("ECDSA", rules.ecdsaBytes, use)
    case "EDDSA":
      return admitLength("EDDSA", { min: 0, max: MAX_EDDSA_BYTES }, use)
    case "RSA_X_509": {
      // The key itself compares the number with its modulus.
      const bytes = Math.ceil(key.bits / 8)
      return admitLength("RSA_X_509", { min: bytes, max: bytes }, use)
    }
    case undefined:
      throw new SigningRefusal("mechanism-refused", "the policy does not admit the mechanism")
  }
}

function admitPkcs1(rules: SignatureRules, { data, parameter }: RequestedUse): AdmittedUse {
  expectNoParameter(parameter)
  if (!isDigestInfo(data, rules.hashes)) {
    throw new SigningRefusal("data-refused", `not a DigestInfo of ${rules.hashes.join(", ")}`)
  }
  return { mechanism: "RSA_PKCS", data, pss: null }
}

function admitPss(
  rules: SignatureRules,
  key: SigningKey,
  { data, parameter }: RequestedUse,
): AdmittedUse {
  const pss = decodePssParameter(parameter)
  // RFC 8017, 8.1.1 and 9.1.1: the encoded message has one bit less than the modulus, and
  // emLen >= hLen + sLen + 2.
  const encodedBytes = Math.ceil((key.bits - 1) / 8)
  if (
    pss === undefined ||
    !rules.hashes.includes(pss.hash) ||
    pss.saltLength > encodedBytes - HASH_BYTES[pss.hash] - 2
  ) {
    throw new SigningRefusal("mechanism-param-refused", "not a PSS parameter of the policy")
  }
  if (data.length !== HASH_BYTES[pss.hash]) {
    throw new SigningRefusal("data-len-range", "the data is not a value of the hash function")
  }
  return { mechanism: "RSA_PKCS_PSS", data, pss }
}

function admitLength(
  mechanism: MechanismName,
  { min, max }: { min: number; max: number },
  { data, parameter }: RequestedUse,
): AdmittedUse {
  expectNoParameter(parameter)
  if (data.length < min || data.length > max) {
    throw new SigningRefusal("data-len-range", `${mechanism} takes ${min} to ${max} bytes here`)
  }
  return { mechanism, data, pss: null }
}

/** @throws SigningRefusal `mechanism-param-refused` */
export function expectNoParameter(parameter: RequestedUse["parameter"]): void {
  if (parameter !== null) {
    throw new SigningRefusal("mechanism-param-refused", "the mechanism takes no parameter")
  }
}
