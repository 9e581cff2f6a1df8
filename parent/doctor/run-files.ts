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
export function certificateFile({ options }: Config, { label }: TokenConfig): string {
  const hex = Buffer.from(label).toString("hex")
  return join(options.run_dir, "certificates", `${options.service}-${hex}.pem`)
}
