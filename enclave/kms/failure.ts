/** Turns what the AWS SDK throws into the code that the agent acts on. */
import { KMSServiceException } from "@aws-sdk/client-kms"
import { CodedError, systemErrorCode } from "../../shared/errors.js"
import { ControlError } from "../../shared/protocol/control.js"
import type { ControlCode } from "../../shared/protocol/control-codes.js"

/** AWS KMS API reference, Decrypt: errors, and the common errors of AWS services. */
const BY_EXCEPTION: Readonly<Record<string, ControlCode>> = {
  AccessDeniedException: "kms-access-denied",
  InvalidCiphertextException: "kms-invalid-ciphertext",
  IncorrectKeyException: "kms-key-id-mismatch",
  InvalidKeyUsageException: "kms-key-unavailable",
  DisabledException: "kms-key-unavailable",
  KMSInvalidStateException: "kms-key-unavailable",
  NotFoundException: "kms-key-unavailable",
  UnrecognizedClientException: "kms-credentials-refused",
  InvalidClientTokenId: "kms-credentials-refused",
  InvalidSignatureException: "kms-credentials-refused",
  ExpiredTokenException: "kms-credentials-refused",
  IncompleteSignature: "kms-credentials-refused",
  IncompleteSignatureException: "kms-credentials-refused",
  ThrottlingException: "kms-throttled",
  LimitExceededException: "kms-throttled",
}

/**
 * Error codes of Node's TLS when a chain does not end in a root of ours or names another host: not
 * a passing fault, something else answered for KMS.
 */
const UNTRUSTED = new Set([
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "CERT_UNTRUSTED",
  "ERR_TLS_CERT_ALTNAME_INVALID",
])

/** The control error for a failed request to KMS. Its detail names the exception, no more. */
export function kmsFailure(error: unknown): ControlError {
  if (error instanceof KMSServiceException) {
    const code = deniedExplicitly(error)
      ? "kms-explicit-deny"
      : (BY_EXCEPTION[error.name] ?? "kms-failed")
    const requestId = error.$metadata.requestId
    return new ControlError(code, `KMS answered ${error.name}`, {
      detail: { exception: error.name, ...(requestId === undefined ? {} : { requestId }) },
      cause: error,
    })
  }
  const system = systemErrorCode(error)
  if (system !== undefined && UNTRUSTED.has(system)) {
    return new ControlError("kms-tls-untrusted", `TLS to KMS failed: ${system}`, {
      detail: { reason: system },
      cause: error,
    })
  }
  const detail: Record<string, string> = system === undefined ? {} : { reason: system }
  const code: ControlCode =
    system !== undefined || error instanceof CodedError || isTimeout(error)
      ? "kms-unreachable"
      : "kms-failed"
  return new ControlError(code, "the request to KMS failed", { detail, cause: error })
}

/** KMS names both kinds of refusal AccessDeniedException; only the sentence tells them apart. */
function deniedExplicitly(error: KMSServiceException): boolean {
  return error.name === "AccessDeniedException" && /with an explicit deny/.test(error.message)
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && (error.name === "TimeoutError" || error.name === "AbortError")
}
