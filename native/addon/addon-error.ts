/**
 * The addon's error type. Its own codes are lower-case words declared beside the code that throws
 * them; errors of the operating system carry the errno's name (`ENOENT`, `ECONNRESET`).
 */

/** An error with a machine-readable code. `message` never holds key material. */
export class AddonError<Code extends string = string> extends Error {
  readonly code: Code

  constructor(code: Code, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = "AddonError"
    this.code = code
  }
}

/** True for an {@link AddonError}, of any code or of the one given. */
export function isAddonError<Code extends string>(
  error: unknown,
  code?: Code,
): error is AddonError<Code> {
  return error instanceof AddonError && (code === undefined || error.code === code)
}
