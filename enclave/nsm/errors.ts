/** The error of the NSM client, and its codes. */
import { CodedError } from "../../shared/errors.js"

/** The device's own codes, as it writes them, and ours. `Success` never comes as an error. */
export const DEVICE_ERROR_CODES = {
  InvalidArgument: "invalid-argument",
  InvalidIndex: "invalid-index",
  InvalidResponse: "invalid-response",
  ReadOnlyIndex: "read-only-index",
  InvalidOperation: "invalid-operation",
  BufferTooSmall: "buffer-too-small",
  InputTooLarge: "input-too-large",
  InternalError: "internal-error",
} as const

/** A code of the NSM itself (aws-nitro-enclaves-nsm-api, `ErrorCode`), spelled our way. */
export type NsmDeviceErrorCode = (typeof DEVICE_ERROR_CODES)[keyof typeof DEVICE_ERROR_CODES]

/**
 * Why an NSM request failed: a device code (also used, before anything is sent, for a request that
 * the device would refuse so), `malformed-response` for an answer that is none to the request, or
 * `device-failed` when the transaction itself failed (its cause is the system error).
 */
export type NsmErrorCode = NsmDeviceErrorCode | "malformed-response" | "device-failed"

/** A failed NSM request. Nothing is retried. */
export class NsmError extends CodedError<NsmErrorCode> {
  constructor(code: NsmErrorCode, message: string, options?: { cause?: unknown }) {
    super(code, message, options)
    this.name = "NsmError"
  }
}
