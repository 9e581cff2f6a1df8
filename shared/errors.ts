/**
 * The error type of both sides: a code that programs and tests act on, a sentence for people, a
 * cause for the log. Codes are literal unions declared beside the code that throws them.
 */

/** An error with a machine-readable code. `message` never holds a key, PIN, credential or URI. */
export class CodedError<Code extends string = string> extends Error {
  readonly code: Code

  constructor(code: Code, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/** True for a {@link CodedError}, of any code or of the one given. */
export function isCodedError<Code extends string>(
  error: unknown,
  code?: Code,
): error is CodedError<Code> {
  return error instanceof CodedError && (code === undefined || error.code === code)
}

/** The `code` of a Node system error such as `ECONNREFUSED`, or undefined. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined
  return typeof error.code === "string" ? error.code : undefined
}
