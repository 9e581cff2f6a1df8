/** A token as text: in full, or as a row of a table. */
import type { TokenDescription } from "../../shared/protocol/control.js"
import type { CertificateStatus, TokenStatus } from "../agent/agent-status.js"
import {
  ago,
  ahead,
  type Colour,
  column,
  counted,
  errorLines,
  field,
  moment,
  paint,
  printable,
  span,
  type TextOptions,
  total,
} from "./text.js"

const COLOURS: Readonly<Record<TokenStatus["state"], Colour>> = {
  pending: "yellow",
  serving: "green",
  degraded: "yellow",
  failed: "red",
  released: "red",
}
/** Renewals come weeks before the end: a certificate this near to it is one that was not renewed. */
const ENDS_SOON_MS = 14 * 86_400_000
const INDENT = 2
const SHOWN_NAMES = 6
/** Columns of the table: 78 with the gaps. Label, state, end, signatures, last sync, attestation. */
const WIDTHS = [24, 8, 9, 11, 8, 8]
const GAP = "  "

export function tokenLines(token: TokenStatus, now: number, options: TextOptions): string[] {
  const { label, state, certificate, enclave, error } = token
  const heading = `${paint(printable(label), "bold", options)}: ${paint(state, COLOURS[state], options)}`
  return [
    heading,
    ...(certificate === undefined ? [] : certificateLines(certificate, now, options)),
    ...field("source", printable(sourceText(token, now)), INDENT, options),
    ...field("target", printable(targetText(token, now)), INDENT, options),
    ...(enclave === undefined
      ? []
      : [
          ...field("attested", attestedText(enclave, now, token.nextRefreshAt), INDENT, options),
          ...field("served", servedText(enclave), INDENT, options),
        ]),
    ...(error === undefined
      ? []
      : [
          ...errorLines(error, INDENT, options),
          ...field("seen", seenText(token.failures, error.at, now), INDENT, options),
        ]),
    ...(token.nextRetryAt === undefined
      ? []
      : field("next try", ahead(token.nextRetryAt, now), INDENT, options)),
  ]
}

/** A token as its enclave alone knows it; `now` is the enclave's. */
export function describedTokenLines(
  token: TokenDescription,
  now: number,
  options: TextOptions,
): string[] {
  return [
    paint(printable(token.label), "bold", options),
    ...field("attested", attestedText(token, now), INDENT, options),
    ...field("served", servedText(token), INDENT, options),
  ]
}

export function tokenTableHead(options: TextOptions): string {
  const head = ["LABEL", "STATE", "ENDS IN", "SIGNATURES", "SYNCED", "ATTESTED"]
  return paint(row(head).join(GAP).trimEnd(), "dim", options)
}

export function tokenRow(token: TokenStatus, now: number, options: TextOptions): string {
  const { label, state, certificate, enclave, syncedAt } = token
  const line = row([
    printable(label),
    state,
    certificate === undefined ? "-" : remaining(certificate.notAfter, now),
    enclave === undefined ? "-" : String(total(enclave.signatures)),
    syncedAt === undefined ? "-" : span(now - syncedAt),
    enclave === undefined ? "-" : span(now - enclave.attestedAt),
  ])
  return line
    .map((cell, index) => (index === 1 ? paint(cell, COLOURS[state], options) : cell))
    .join(GAP)
    .trimEnd()
}

/** The cells, filled to their columns' widths: colour comes after, since it has no width. */
function row(cells: readonly string[]): string[] {
  return cells.map((cell, index) => column(cell, WIDTHS[index] ?? 0))
}

function certificateLines(
  { names, subject, notAfter, serialNumber }: CertificateStatus,
  now: number,
  options: TextOptions,
): string[] {
  const shown = names.length === 0 ? [subject] : names.slice(0, SHOWN_NAMES)
  const more = names.length > SHOWN_NAMES ? [`and ${names.length - SHOWN_NAMES} more`] : []
  const soon = notAfter - now < ENDS_SOON_MS
  const ends =
    notAfter <= now ? `ENDED ${span(now - notAfter)} ago` : `${remaining(notAfter, now)} left`
  const lines = field("certificate", `${ends}, until ${moment(notAfter)}`, INDENT, options)
  const serial = field("serial", printable(serialNumber), INDENT, options)
  return [
    ...field("names", printable([...shown, ...more].join(", ")), INDENT, options),
    ...(soon
      ? lines.map((line) => paint(line, notAfter <= now ? "red" : "yellow", options))
      : lines),
    ...serial,
  ]
}

/** Whole days, as certificates are counted; less than two in hours. */
function remaining(until: number, now: number): string {
  if (until <= now) return "ended"
  const days = Math.floor((until - now) / 86_400_000)
  return days < 2 ? span(until - now) : counted(days, "day")
}

function sourceText({ source, syncedAt, nextSyncAt }: TokenStatus, now: number): string {
  return [
    source,
    syncedAt === undefined ? "never read" : `read ${ago(syncedAt, now)}`,
    ...(nextSyncAt === undefined ? [] : [`next ${ahead(nextSyncAt, now)}`]),
  ].join(", ")
}

function targetText({ target, publishedAt }: TokenStatus, now: number): string {
  return `${target}, ${publishedAt === undefined ? "not written yet" : `written ${ago(publishedAt, now)}`}`
}

function attestedText(token: TokenDescription, now: number, nextRefreshAt?: number): string {
  return [
    ago(token.attestedAt, now),
    ...(nextRefreshAt === undefined ? [] : [`next ${ahead(nextRefreshAt, now)}`]),
    `key ends ${ahead(token.expiresAt, now)} unless renewed`,
  ].join(", ")
}

function servedText(token: TokenDescription): string {
  const { keyType, signatures, decryptions = {}, refusals, failures } = token
  const former = token.retiringFingerprints.length
  const made = total(signatures)
  const by = Object.entries(signatures).map(([mechanism, count]) => `${mechanism} ${count}`)
  return printable(
    [
      keyType,
      `${counted(made, "signature")}${by.length > 1 ? ` (${by.join(", ")})` : ""}`,
      ...(total(decryptions) === 0 ? [] : [counted(total(decryptions), "decryption")]),
      counted(refusals, "refusal"),
      ...(failures === 0 ? [] : [counted(failures, "failure")]),
      ...(former === 0 ? [] : [counted(former, "former key")]),
      ...(token.nextFingerprint === null ? [] : ["next key staged"]),
    ].join(", "),
  )
}

function seenText(failures: number, at: number, now: number): string {
  return `${ago(at, now)}, ${counted(failures, "failed round")} since the last good one`
}
