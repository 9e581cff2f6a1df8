/** `tlskeep agent`: reads the configuration and runs. */
import { pino } from "pino"
import { Agent } from "../agent/agent.js"
import { loadConfig } from "../config/load.js"

export interface AgentOptions {
  config: string
  once: boolean
}

/** Runs until SIGTERM or SIGINT, or once; returns the exit code. */
export async function agentCommand(options: AgentOptions): Promise<number> {
  const config = await loadConfig(options.config)
  const log = pino({
    name: "tlskeep",
    level: config.log.level,
    timestamp: config.log.enable_timestamp ? pino.stdTimeFunctions.isoTime : false,
  })
  for (const { where, text } of config.notices) log.warn({ where }, text)
  const agent = await Agent.create(config, log)
  if (options.once) return (await agent.once()) === 0 ? 0 : 1
  const stop = new AbortController()
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort())
  await agent.run(stop.signal)
  return 0
}
