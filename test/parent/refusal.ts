/** What a failing call was refused with. */
import { AgentError } from "../../parent/errors.js"

/** The AgentError that `work` rejects with; anything else is the test's failure. */
export async function refusalOf(work: Promise<unknown> | (() => unknown)): Promise<AgentError> {
  try {
    await (typeof work === "function" ? work() : work)
  } catch (error) {
    if (error instanceof AgentError) return error
    throw error
  }
  throw new Error("nothing was refused")
}
