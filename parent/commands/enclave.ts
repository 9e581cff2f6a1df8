/** `tlskeep enclave replace`: has the agent bring up another enclave and move everything there. */
import { join, resolve } from "node:path"
import { AgentClient } from "../agent-api/client.js"
import { AGENT_SOCKET } from "../agent-api/messages.js"
import { loadConfig } from "../config/load.js"
import { printable } from "../status/text.js"

export interface ReplaceOptions {
  config: string
  /** Image file; that of the agent's configuration where absent. */
  image?: string
}

/**
 * Replaces, and tells each step as it is taken.
 *
 * @param progress - takes a line
 * @returns what runs now
 * @throws AgentError `agent-not-running`, `enclave-replace-running`, and the agent's own
 */
export async function replaceCommand(
  options: ReplaceOptions,
  progress: (line: string) => void,
): Promise<string> {
  const { options: configured } = await loadConfig(options.config)
  const client = new AgentClient(join(configured.run_dir, AGENT_SOCKET))
  // The agent has a working directory of its own.
  const image = options.image === undefined ? {} : { imagePath: resolve(options.image) }
  const { enclaveId, pcr0 } = await client.replaceEnclave(image, (step) => {
    progress(printable(step))
  })
  return `enclave ${printable(enclaveId)} serves, PCR0 ${printable(pcr0)}`
}
