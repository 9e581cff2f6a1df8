/** What a refusal is told apart by. */
import { systemErrorCode } from "../../shared/errors.js"

/** The code of the error that `work` throws; one without a code is the test's to see. */
export function codeOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    return codeOrThrow(error)
  }
  return "no error"
}

/** As {@link codeOf}, of a promise. */
export async function rejectionCode(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    return codeOrThrow(error)
  }
  return "no error"
}

function codeOrThrow(error: unknown): string {
  const code = systemErrorCode(error)
  if (code === undefined) throw error
  return code
}
