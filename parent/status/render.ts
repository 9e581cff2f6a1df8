/**
 * An agent's status as text for people: the enclave, then the tokens. A few tokens are told in full;
 * many of them in a line each, and in full those that are not in order.
 */
import type { EnclaveDescription } from "../../shared/protocol/control.js"
import type { AgentStatus, EnclaveStatus } from "../agent/agent-status.js"
import { byHostClock } from "./host-clock.js"
import { describedTokenLines, tokenLines, tokenRow, tokenTableHead } from "./render-token.js"
import {
  ahead,
  counted,
  errorLines,
  field,
  paint,
  printable,
  span,
  type TextOptions,
} from "./text.js"

export interface RenderOptions extends TextOptions {
  /** What is not in order comes before the table, for a screen whose end is cut off. */
  troubleFirst?: boolean
}

/** More are told in a line each. */
const TOKENS_IN_FULL = 8
/** Of the image: all, kernel and boot, application, and its signing certificate. */
const SHOWN_PCRS = ["0", "1", "2", "8"]

export function renderStatus(status: AgentStatus, options: RenderOptions): string {
  const { version, pid, startedAt, now, configFile, enclave } = status
  const { tokens } = byHostClock(status)
  const agent = `${version}, up ${span(now - startedAt)}, pid ${pid}, ${configFile}`
  const lines = [
    ...field("agent", printable(agent), 0, options),
    ...enclaveLines(enclave, now, options),
    ...field("tokens", summary(tokens), 0, options),
  ]
  const inFull = (shown: typeof tokens) =>
    shown.flatMap((token) => ["", ...tokenLines(token, now, options)])
  if (tokens.length <= TOKENS_IN_FULL) return [...lines, ...inFull(tokens)].join("\n")
  const table = [
    "",
    tokenTableHead(options),
    ...tokens.map((token) => tokenRow(token, now, options)),
  ]
  const trouble = inFull(tokens.filter(({ state }) => state !== "serving"))
  const parts = options.troubleFirst ? [trouble, table] : [table, trouble]
  return [...lines, ...parts.flat()].join("\n")
}

/** What an enclave says of itself, for want of an agent. */
export function renderDescription(description: EnclaveDescription, options: TextOptions): string {
  const { tokens, now } = description
  return [
    paint("No agent runs. This is what the enclave says of itself.", "yellow", options),
    ...field("enclave", printable(description.moduleId), 0, options),
    ...imageLines(description, options),
    ...tokens.flatMap((token) => ["", ...describedTokenLines(token, now, options)]),
  ].join("\n")
}

function enclaveLines(enclave: EnclaveStatus, now: number, options: TextOptions): string[] {
  const { state, since, enclaveId, cid, adopted, reconnects, description, error } = enclave
  const facts = [
    `${state} for ${span(now - since)}`,
    ...(enclaveId === undefined ? [] : [enclaveId]),
    ...(cid === undefined ? [] : [`CID ${cid}`]),
    ...(adopted ? ["adopted"] : []),
    ...(reconnects === 0 ? [] : [counted(reconnects, "reconnect")]),
    ...(description?.draining ? ["draining"] : []),
  ]
  const colour = state === "up" ? "green" : state === "down" ? "red" : "yellow"
  const [first = "", ...rest] = field("enclave", printable(facts.join(", ")), 0, options)
  return [
    first.replace(state, paint(state, colour, options)),
    ...rest,
    ...(description === undefined ? [] : imageLines(description, options, enclave.imagePath)),
    ...(description === undefined ? [] : servedLines(description, options)),
    ...(error === undefined ? [] : errorLines(error, 0, options)),
    ...(enclave.nextTryAt === undefined
      ? []
      : field("next try", ahead(enclave.nextTryAt, now), 0, options)),
  ]
}

function imageLines(
  { version, policy, debug, pcrs }: Omit<EnclaveDescription, "tokens">,
  options: TextOptions,
  path?: string,
): string[] {
  const facts = [version, `policy ${policy}`, ...(path === undefined ? [] : [path])]
  const measured = SHOWN_PCRS.flatMap((index) => {
    const value = pcrs[index]
    // PCR8 is zero in an image that is not signed.
    if (value === undefined || (index === "8" && /^0*$/.test(value))) return []
    return pcrLines(index, value, options)
  })
  const warning = "DEBUG MODE: PCRs are zero, and KMS will not trust it"
  return [
    ...field("image", printable(facts.join(", ")), 0, options),
    ...(debug ? [paint(warning, "red", options)] : []),
    ...measured,
  ]
}

/** A terminal that is too narrow gets two halves, not a break anywhere. */
function pcrLines(index: string, value: string, options: TextOptions): string[] {
  const text = printable(value)
  const half = text.length / 2
  const room = options.width - 13 >= text.length
  return field(
    `PCR${index}`,
    room ? text : `${text.slice(0, half)} ${text.slice(half)}`,
    0,
    options,
  )
}

function servedLines(
  { connections, latency }: Omit<EnclaveDescription, "tokens">,
  options: TextOptions,
): string[] {
  const mean = latency.count === 0 ? "" : `, ${milliseconds(latency.sum / latency.count)} each`
  const text = `${counted(connections.open, "connection")} open (${connections.accepted} since boot), ${counted(latency.count, "answer")}${mean}`
  return field("modules", text, 0, options)
}

function milliseconds(us: number): string {
  return `${(us / 1_000).toFixed(us < 10_000 ? 2 : 0)} ms`
}

function summary(tokens: AgentStatus["tokens"]): string {
  const counts = new Map<string, number>()
  for (const { state } of tokens) counts.set(state, (counts.get(state) ?? 0) + 1)
  if (counts.size === 1) return `${tokens.length}, all ${[...counts.keys()].join()}`
  return `${tokens.length}: ${[...counts].map(([state, count]) => `${count} ${state}`).join(", ")}`
}
