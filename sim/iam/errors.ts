/** The refusals of the simulated IAM, as XML under the names that AWS gives them. */
import { CodedError } from "../../shared/errors.js"
import { escapeXml } from "../xml.js"

/** HTTP status by code; AWS IAM API reference, "Common errors" and GetRole. */
const STATUS = {
  AccessDenied: 403,
  ExpiredToken: 403,
  IncompleteSignature: 400,
  InvalidAction: 400,
  InvalidClientTokenId: 403,
  MissingAuthenticationToken: 403,
  NoSuchEntity: 404,
  ServiceFailure: 500,
  SignatureDoesNotMatch: 403,
  ValidationError: 400,
} as const

export type IamErrorCode = keyof typeof STATUS

/** A refusal; `code` is the error's name on the wire. */
export class IamError extends CodedError<IamErrorCode> {
  get httpStatus(): number {
    return STATUS[this.code]
  }

  /** The body of the answer. */
  toXml(requestId: string): string {
    const type = this.httpStatus < 500 ? "Sender" : "Receiver"
    return (
      '<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">' +
      `<Error><Type>${type}</Type><Code>${this.code}</Code>` +
      `<Message>${escapeXml(this.message)}</Message></Error>` +
      `<RequestId>${requestId}</RequestId></ErrorResponse>`
    )
  }
}
