/** The refusals of the simulated KMS, under the names that AWS gives them. */
import { CodedError } from "../../shared/errors.js"

/** HTTP status by exception name; AWS KMS API reference, "Common Errors" and each operation's. */
const STATUS = {
  AccessDeniedException: 400,
  DisabledException: 400,
  DryRunOperationException: 412,
  ExpiredTokenException: 400,
  IncompleteSignatureException: 400,
  IncorrectKeyException: 400,
  InvalidCiphertextException: 400,
  InvalidSignatureException: 400,
  KMSInternalException: 500,
  KMSInvalidStateException: 400,
  MalformedPolicyDocumentException: 400,
  MissingAuthenticationTokenException: 400,
  NotFoundException: 400,
  SerializationException: 400,
  ServiceUnavailableException: 503,
  ThrottlingException: 400,
  UnknownOperationException: 400,
  UnrecognizedClientException: 400,
  UnsupportedOperationException: 400,
  ValidationException: 400,
} as const

export type KmsErrorCode = keyof typeof STATUS

/** A refusal; `code` is the exception's name on the wire. */
export class KmsError extends CodedError<KmsErrorCode> {
  get httpStatus(): number {
    return STATUS[this.code]
  }
}
