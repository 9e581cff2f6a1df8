/** Files of the run directory, without making it: a doctor only looks. */
import { join } from "node:path"
import type { Config, TokenConfig } from "../config/config.js"

export interface RunFiles {
  dir: string
  endpoint: string
  controlSecret: string
  pins: string
  agentSocket: string
}

export function runFiles({ options: { run_dir: dir } }: Config): RunFiles {
  return {
    dir,
    endpoint: join(dir, "endpoint"),
    controlSecret: join(dir, "control-secret"),
    pins: join(dir, "pins"),
    agentSocket: join(dir, "agent.sock"),
  }
}

/** The certificate and chain that the agent wrote for the server. */
export function certificateFile(config: Config, token: TokenConfig): string {
  return served(config, config.options.service, token)
}

/** Where the key's URI stands for a server that reads it from a file only. */
export function keyFile(config: Config, token: TokenConfig): string {
  return served(config, `${config.options.service}-key`, token)
}

function served({ options }: Config, kind: string, { label }: TokenConfig): string {
  const hex = Buffer.from(label).toString("hex")
  return join(options.run_dir, "certificates", `${kind}-${hex}.pem`)
}
