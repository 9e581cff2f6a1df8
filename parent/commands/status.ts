/** `tlskeep status`: what the agent knows, or, without one, what the enclave says of itself. */
import { join } from "node:path"
import type { EnclaveDescription } from "../../shared/protocol/control.js"
import type { AgentStatus } from "../agent/agent-status.js"
import { AgentClient } from "../agent-api/client.js"
import { AGENT_SOCKET } from "../agent-api/messages.js"
import { loadConfig } from "../config/load.js"
import { AgentError } from "../errors.js"
import { renderDescription, renderStatus } from "../status/render.js"
import { errorLines, type TextOptions } from "../status/text.js"
import { type WatchedStream, watch } from "../status/watch.js"

export interface StatusOptions {
  config: string
  json: boolean
  watch: boolean
}

const WATCH_INTERVAL_MS = 2_000

/**
 * Writes the status to `stream`, once or until SIGINT or SIGTERM.
 *
 * @throws AgentError `agent-not-running` if there is neither agent nor enclave, and what either
 *   refuses; watching, these are shown and tried again
 */
export async function statusCommand(options: StatusOptions, stream: WatchedStream): Promise<void> {
  const config = await loadConfig(options.config)
  const ask = () => currentStatus(config)
  if (!options.watch) {
    const known = await ask()
    stream.write(`${options.json ? JSON.stringify(known, null, 2) : render(known, stream)}\n`)
    return
  }
  const stop = new AbortController()
  // Not `once`: the cursor's keeper ends the process by a signal that nobody else listens to any more.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort())
  const next = async () => {
    try {
      const known = await ask()
      if (options.json) return JSON.stringify(known)
      return stream.isTTY ? render(known, stream, true) : `${render(known, stream)}\n`
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      return renderError(error, options.json, stream)
    }
  }
  await watch({ stream, intervalMs: WATCH_INTERVAL_MS, signal: stop.signal, next })
}

type Known = AgentStatus | EnclaveDescription

async function currentStatus(config: Awaited<ReturnType<typeof loadConfig>>): Promise<Known> {
  const { run_dir } = config.options
  try {
    return await new AgentClient(join(run_dir, AGENT_SOCKET)).status()
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== "agent-not-running") throw error
    // Loads the addon, which who has an agent to ask can do without.
    const { describeWithoutAgent } = await import("../status/fallback.js")
    return describeWithoutAgent(config.enclave, run_dir)
  }
}

function render(known: Known, stream: WatchedStream, troubleFirst = false): string {
  const options = textOptions(stream)
  return "configFile" in known
    ? renderStatus(known, { ...options, troubleFirst })
    : renderDescription(known, options)
}

function renderError(error: AgentError, json: boolean, stream: WatchedStream): string {
  const { code, message: reason, advice } = error
  if (json) return JSON.stringify({ error: { code, reason, advice } })
  return errorLines({ code, reason, advice }, 0, textOptions(stream)).join("\n")
}

/** Lines are broken, and coloured, for a terminal only. See no-color.org for NO_COLOR. */
export function textOptions(
  { isTTY = false, columns }: WatchedStream,
  environment: NodeJS.ProcessEnv = process.env,
): TextOptions {
  const { NO_COLOR = "", TERM } = environment
  const colour = isTTY && NO_COLOR === "" && TERM !== "dumb"
  return { width: isTTY ? Math.max(40, columns || 80) : Number.POSITIVE_INFINITY, colour }
}
