/** Runs something that must be refused and returns its error code. */
import { isCodedError } from "../../shared/errors.js"

/** The code of the CodedError that `action` throws; "accepted" if it throws none. */
export function refusalCode(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (isCodedError(error)) return error.code
    throw error
  }
  return "accepted"
}
