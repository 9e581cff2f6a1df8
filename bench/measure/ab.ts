/** Full TLS handshakes by `ab`, with everything checked that it passes over. */
import { readFile, rm } from "node:fs/promises"
import { execa } from "execa"
import { z } from "zod"
import { CodedError } from "../../shared/errors.js"

export interface AbLoad {
  port: number
  /** What the page has to hold. */
  page: string
  protocol: "TLS1.2" | "TLS1.3"
  clients: number
  requests: number
  /** A file that may be written, and is removed. */
  scratchFile: string
}

export interface AbResult {
  seconds: number
  perSecond: number
  /** Of connect, handshake and page. */
  p50Us: number
  p95Us: number
  p99Us: number
}

/**
 * One connection, one full handshake, one small page for each request: ab keeps no sessions.
 *
 * @throws CodedError `load-failed` unless every request got the whole page: what ab calls a failed
 *   request leaves out handshakes that failed, and it exits with 0 then.
 */
export async function runAb(load: AbLoad): Promise<AbResult> {
  const { port, page, protocol, clients, requests, scratchFile } = load
  const { stdout } = await execa("ab", [
    ...["-q", "-n", String(requests), "-c", String(clients), "-f", protocol, "-e", scratchFile],
    `https://localhost:${port}/`,
  ])
  const csv = await readFile(scratchFile, "utf8")
  await rm(scratchFile)
  return parseAb({ stdout, csv, requests, protocol, pageBytes: Buffer.byteLength(page) })
}

const figuresSchema = z.object({ seconds: z.number().positive(), perSecond: z.number().positive() })

/** @throws CodedError `load-failed` */
export function parseAb(run: {
  stdout: string
  /** Of `-e`: `percentage,milliseconds`. */
  csv: string
  requests: number
  protocol: string
  pageBytes: number
}): AbResult {
  const { stdout, csv, requests, protocol, pageBytes } = run
  const number = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+([0-9.]+)`, "m").exec(stdout)?.[1] ?? Number.NaN)
  const good =
    number("Complete requests") === requests &&
    number("Failed requests") === 0 &&
    number("HTML transferred") === requests * pageBytes &&
    stdout.includes(`SSL/TLS Protocol:       ${protocol.replace("TLS", "TLSv")},`)
  if (!good) throw new CodedError("load-failed", stdout)
  const percentile = (share: number): number => {
    const text = new RegExp(`^${share},([0-9.]+)$`, "m").exec(csv)?.[1]
    if (text === undefined) throw new CodedError("load-failed", `ab names no percentile ${share}`)
    return Number(text) * 1_000
  }
  return {
    ...figuresSchema.parse({
      seconds: number("Time taken for tests"),
      perSecond: number("Requests per second"),
    }),
    ...{ p50Us: percentile(50), p95Us: percentile(95), p99Us: percentile(99) },
  }
}
