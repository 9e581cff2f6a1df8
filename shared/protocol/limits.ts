/** Limits of both services, each stated once. PROTOCOL.md gives them to readers. */

export const PROTOCOL_VERSION = 1
export const SIGNING_PORT = 9_999
export const CONTROL_PORT = 10_000
/** Port on the parent whose connections vsock-proxy relays to KMS (AWS's packaged default). */
export const KMS_RELAY_PORT = 8_000
/** CID of the parent instance as an enclave sees it (AWS Nitro Enclaves User Guide). */
export const PARENT_CID = 3

/** Requests in flight on one connection; a service reads no further beyond it. */
export const MAX_IN_FLIGHT = 1_024
/** Time for a new connection to say hello. */
export const HELLO_TIMEOUT_MS = 5_000
/** Failed logins after which a signing connection is closed. */
export const MAX_LOGIN_FAILURES = 5

/** Token label, bytes of UTF-8: the label field of CK_TOKEN_INFO (PKCS #11 v2.40, 3.2). */
export const MAX_LABEL_BYTES = 32
/** PIN length in characters, as AWS's agent has it. */
export const MIN_PIN_LENGTH = 4
export const MAX_PIN_LENGTH = 64
export const MAX_CERTIFICATE_BYTES = 8_192
export const MAX_CHAIN_BYTES = 32_768
/** What one KMS key can encrypt to: ciphertexts of symmetric keys are at most 6144 bytes. */
export const MAX_ENCRYPTED_KEY_BYTES = 6_144
/** SHA-256 of a DER SubjectPublicKeyInfo. */
export const FINGERPRINT_BYTES = 32
export const CONTROL_SECRET_BYTES = 32
/** Message of EDDSA, which is signed whole: a frame has room for it and what stands around it. */
export const MAX_EDDSA_BYTES = 60_000
/** Bytes that one `random` gives. */
export const MAX_RANDOM_BYTES = 1_024
