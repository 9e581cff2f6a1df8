/** Nitro Enclaves attestation documents: decoding, verification, and what they say. */
export { AWS_NITRO_ROOT_FINGERPRINT } from "./chain.js"
export { MAX_DOCUMENT_BYTES } from "./cose.js"
export {
  type AttestationDocument,
  isDebugDocument,
  MAX_CERTIFICATE_BYTES,
  MAX_NONCE_BYTES,
  MAX_PUBLIC_KEY_BYTES,
  MAX_USER_DATA_BYTES,
  PCR_COUNT,
} from "./document.js"
export { AttestationError, type AttestationErrorCode } from "./errors.js"
export {
  DEFAULT_MAX_SKEW_MS,
  decodeUnverifiedAttestationDocument,
  type VerifyOptions,
  verifyAttestationDocument,
} from "./verify.js"
