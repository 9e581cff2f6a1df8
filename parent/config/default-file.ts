/** The configuration file that commands read unless they are told of another. */
import { stat } from "node:fs/promises"
import { systemErrorCode } from "../../shared/errors.js"

/** Ours, then that of AWS's agent, which ours takes the place of. */
export const CONFIG_FILES = ["/etc/tlskeep/tlskeep.yaml", "/etc/nitro_enclaves/acm.yaml"] as const

/** The first of the files that exists; where none does, the first, for the message to name. */
export async function defaultConfigFile(
  files: readonly [string, ...string[]] = CONFIG_FILES,
): Promise<string> {
  for (const file of files) if (await exists(file)) return file
  return files[0]
}

/** One that cannot be looked at is there: reading it tells why. */
async function exists(file: string): Promise<boolean> {
  try {
    await stat(file)
    return true
  } catch (error) {
    return !["ENOENT", "ENOTDIR"].includes(systemErrorCode(error) ?? "")
  }
}
