/** `tlskeep agent`: reads the configuration and runs, until it is told to stop. */
import { type Logger, pino } from "pino"
import { KMS_RELAY_PORT } from "../../shared/protocol/limits.js"
import { type CreatedAgent, createAgent } from "../agent/create-agent.js"
import { startAgentApi } from "../agent-api/server.js"
import type { Config } from "../config/config.js"
import { loadConfig } from "../config/load.js"
import { checkVsockProxy } from "../enclave-host/vsock-proxy.js"
import { type Notifier, startNotifier } from "../notify/notifier.js"

export interface AgentOptions {
  config: string
  once: boolean
}

/** A service manager is told that the agent is up by then, whether or not every token could be had. */
const READY_AT_THE_LATEST_MS = 120_000
const STATUS_INTERVAL_MS = 10_000

/** Runs until SIGTERM or SIGINT, or once; returns the exit code. */
export async function agentCommand(options: AgentOptions): Promise<number> {
  const config = await loadConfig(options.config)
  const log = pino({
    name: "tlskeep",
    level: config.log.level,
    timestamp: config.log.enable_timestamp ? pino.stdTimeFunctions.isoTime : false,
  })
  for (const { where, text } of config.notices) log.warn({ where }, text)
  const created = await createAgent(config, { configFile: options.config, log })
  try {
    await warnOfMissingRelay(config, created, log)
    if (options.once) return (await created.agent.once()) === 0 ? 0 : 1
    await serve(config, created, log)
    return 0
  } finally {
    created.close()
  }
}

async function serve(config: Config, { agent, runDir }: CreatedAgent, log: Logger): Promise<void> {
  const stop = new AbortController()
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort())
  const alive = () => agent.isAlive
  const notifier = startNotifier({ environment: process.env, pid: process.pid, log, alive })
  const api = await startAgentApi({
    control: agent,
    socketPath: runDir.agentSocket,
    ...(config.metrics === undefined ? {} : { metricsListen: config.metrics.listen }),
    log,
  })
  const ready = setTimeout(() => notifier.ready(), READY_AT_THE_LATEST_MS)
  const reporting = setInterval(() => void report(agent, notifier), STATUS_INTERVAL_MS)
  try {
    await agent.run(stop.signal, () => {
      clearTimeout(ready)
      notifier.ready()
      void report(agent, notifier)
    })
  } finally {
    clearTimeout(ready)
    clearInterval(reporting)
    notifier.stopping()
    await api.close()
  }
}

/** One line for `systemctl status`. */
async function report(agent: CreatedAgent["agent"], notifier: Notifier): Promise<void> {
  const { enclave, tokens } = await agent.status()
  const serving = tokens.filter(({ state }) => state === "serving").length
  notifier.status(`enclave ${enclave.state}, ${serving} of ${tokens.length} tokens in order`)
}

/** A relay may come up later, so that its absence is no reason not to run. */
async function warnOfMissingRelay(
  { enclave }: Config,
  { kmsHost }: CreatedAgent,
  log: Logger,
): Promise<void> {
  // Where enclaves are not reached by AF_VSOCK, the relay is another thing, too.
  if (!enclave.address_pattern.startsWith("vsock:")) return
  const finding = await checkVsockProxy({ port: KMS_RELAY_PORT, remoteHost: kmsHost })
  if (finding.state === "running") return
  const { state, reason, advice } = finding
  log.warn({ code: `vsock-proxy-${state}`, reason, advice }, "no relay to KMS was found")
}
