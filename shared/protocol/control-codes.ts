/** Refusals of the control service: the code travels, the sentence is made where a person reads it. */

export const CONTROL_CODES = {
  "malformed-request": "the enclave could not read the request",
  "frame-too-large": "the request is larger than a frame may be",
  "hello-required": "the connection has not said hello",
  "unsupported-version": "the enclave speaks no common version of the control protocol",
  "unknown-op": "the enclave does not know this operation",
  "not-owner": "the enclave is owned by another agent: its control secret differs",
  "unknown-token": "the enclave has no token with this label",
  "unknown-key": "the token holds no such staged key",
  "too-many-tokens": "the enclave holds as many tokens as it can",
  "malformed-label": "a token label has 1 to 32 bytes of UTF-8",
  "malformed-pin": "a PIN has 4 to 64 characters",
  "malformed-certificate": "the certificate or its chain cannot be read",
  "malformed-key-id": "the KMS key must be given by its ARN, in the region of the request",
  "malformed-private-key": "what KMS decrypted is not a private key in PEM",
  "unsupported-key-type": "the private key is not RSA (2048 to 4096 bits), P-256, P-384 or Ed25519",
  "certificate-key-mismatch": "the private key does not belong to the certificate",
  "encryption-context-mismatch": "the encryption context names another certificate's public key",
  "attestation-failed": "the Nitro Secure Module gave no attestation document",
  "kms-access-denied": "KMS refused to decrypt: no policy allows it to this image and role",
  "kms-explicit-deny": "KMS refused to decrypt: a policy denies it",
  "kms-credentials-refused": "KMS refused the credentials",
  "kms-invalid-ciphertext": "KMS cannot decrypt the object's private key",
  "kms-key-id-mismatch": "KMS decrypted with another key than the one asked for",
  "kms-key-unavailable": "the KMS key is disabled, being deleted or does not exist",
  "kms-throttled": "KMS throttled the request",
  "kms-unreachable": "KMS could not be reached through the parent's relay",
  "kms-tls-untrusted": "what answered for KMS has no certificate of an Amazon root",
  "kms-malformed-response": "KMS answered with something that is no key for this enclave",
  "kms-failed": "KMS failed",
  busy: "the enclave is doing this already for the token",
  internal: "the enclave failed inside",
} as const

export type ControlCode = keyof typeof CONTROL_CODES

/** True for a code of the table above. */
export function isControlCode(code: unknown): code is ControlCode {
  return typeof code === "string" && Object.hasOwn(CONTROL_CODES, code)
}

/** Failures that may pass by themselves; all others need a person or another request. */
export const PASSING_CONTROL_CODES: ReadonlySet<ControlCode> = new Set([
  "attestation-failed",
  "kms-throttled",
  "kms-unreachable",
  "kms-failed",
  "busy",
])

/** Answers of KMS that say "not you": a token refused so is released. */
export const DENIAL_CONTROL_CODES: ReadonlySet<ControlCode> = new Set([
  "kms-access-denied",
  "kms-explicit-deny",
])
