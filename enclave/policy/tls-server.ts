/**
 * The usage policy `tls-server`: the signatures that TLS 1.2 and 1.3 servers make with SHA-2, and
 * nothing that could decrypt or sign a value of the caller's making.
 */
import type { SigningKey } from "../../native/addon/index.js"
import {
  decodePssParameter,
  HASH_BYTES,
  type MechanismName,
  SigningRefusal,
} from "../../shared/protocol/signing.js"
import { isDigestInfo } from "./digest-info.js"
import type { AdmittedUse, RequestedUse, UsagePolicy } from "./usage-policy.js"

const RSA_MECHANISMS: readonly MechanismName[] = ["RSA_PKCS", "RSA_PKCS_PSS"]
const EC_MECHANISMS: readonly MechanismName[] = ["ECDSA"]
const MIN_ECDSA_BYTES = 32
const MAX_ECDSA_BYTES = 64

export const TLS_SERVER_POLICY: UsagePolicy = {
  name: "tls-server",
  mechanismsFor,
  admit(key, use) {
    const mechanism = mechanismsFor(key).find((name) => name === use.mechanism)
    switch (mechanism) {
      case "RSA_PKCS":
        return admitPkcs1(use)
      case "RSA_PKCS_PSS":
        return admitPss(key, use)
      case "ECDSA":
        return admitEcdsa(use)
      case undefined:
        throw new SigningRefusal("mechanism-refused", "the policy does not admit the mechanism")
    }
  },
}

function mechanismsFor(key: SigningKey): readonly MechanismName[] {
  return key.keyType === "RSA" ? RSA_MECHANISMS : EC_MECHANISMS
}

function admitPkcs1({ data, parameter }: RequestedUse): AdmittedUse {
  expectNoParameter(parameter)
  if (!isDigestInfo(data)) {
    throw new SigningRefusal("data-refused", "not a DigestInfo of SHA-256, SHA-384 or SHA-512")
  }
  return { mechanism: "RSA_PKCS", data, pss: null }
}

function admitPss(key: SigningKey, { data, parameter }: RequestedUse): AdmittedUse {
  const pss = decodePssParameter(parameter)
  // RFC 8017, 8.1.1 and 9.1.1: the encoded message has one bit less than the modulus, and
  // emLen >= hLen + sLen + 2.
  const encodedBytes = Math.ceil((key.bits - 1) / 8)
  if (pss === undefined || pss.saltLength > encodedBytes - HASH_BYTES[pss.hash] - 2) {
    throw new SigningRefusal("mechanism-param-refused", "not a PSS parameter of the policy")
  }
  if (data.length !== HASH_BYTES[pss.hash]) {
    throw new SigningRefusal("data-len-range", "the data is not a value of the hash function")
  }
  return { mechanism: "RSA_PKCS_PSS", data, pss }
}

function admitEcdsa({ data, parameter }: RequestedUse): AdmittedUse {
  expectNoParameter(parameter)
  if (data.length < MIN_ECDSA_BYTES || data.length > MAX_ECDSA_BYTES) {
    throw new SigningRefusal("data-len-range", "a hash value has 32 to 64 bytes")
  }
  return { mechanism: "ECDSA", data, pss: null }
}

function expectNoParameter(parameter: RequestedUse["parameter"]): void {
  if (parameter !== null) {
    throw new SigningRefusal("mechanism-param-refused", "the mechanism takes no parameter")
  }
}
