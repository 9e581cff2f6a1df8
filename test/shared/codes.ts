/** What a refusal is told apart by. */
import { CodedError, systemErrorCode } from "../../shared/errors.js"

/** The code of the CodedError that `work` throws; any other error is the test's to see. */
export function codeOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    if (error instanceof CodedError) return error.code
    throw error
  }
  return "no error"
}

/** As {@link codeOf}, of a promise. */
export async function rejectionCode(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    if (error instanceof CodedError) return error.code
    return systemErrorCode(error) ?? String(error)
  }
  return "no error"
}
