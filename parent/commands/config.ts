/** `tlskeep config check`: what a configuration file comes to, or what is wrong with it. */
import { defaultConfigFile } from "../config/default-file.js"
import { loadConfig } from "../config/load.js"
import { summaryOf, withoutPins } from "../config/summary.js"

export interface ConfigCheckOptions {
  json: boolean
}

/**
 * Checks a file, the default one unless named.
 *
 * @returns a summary, or with `json` the configuration, PINs hidden
 * @throws AgentError as {@link loadConfig}
 */
export async function configCheckCommand(
  file: string | undefined,
  { json }: ConfigCheckOptions,
): Promise<string> {
  const checked = file ?? (await defaultConfigFile())
  const config = await loadConfig(checked)
  return json ? JSON.stringify(withoutPins(config), null, 2) : summaryOf(config, checked)
}
