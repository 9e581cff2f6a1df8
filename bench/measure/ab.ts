/** Full TLS handshakes by `ab`, with everything checked that it passes over. */
import { readFile, rm } from "node:fs/promises"
import { availableParallelism } from "node:os"
import { execa } from "execa"
import { CodedError } from "../../shared/errors.js"
import { quantile } from "../report/statistics.js"

export interface AbLoad {
  port: number
  /** What the page has to hold. */
  page: string
  protocol: "TLS1.2" | "TLS1.3"
  clients: number
  requests: number
  /** Files of this name with a number behind it may be written, and are removed. */
  scratchFile: string
}

export interface AbResult {
  /** As many as were asked for, give or take one for each process. */
  requests: number
  perSecond: number
  /** Of connect, handshake and page. */
  p50Us: number
  p95Us: number
  p99Us: number
}

/**
 * One connection, one full handshake, one small page for each request: ab keeps no sessions.
 *
 * As many processes as cores share the clients: ab has one thread, and where all its clients wait for
 * that, cores are idle however fast the server is.
 *
 * @throws CodedError `load-failed` unless every request got the whole page: what ab calls a failed
 *   request leaves out handshakes that failed, and it exits with 0 then.
 */
export async function runAb(load: AbLoad): Promise<AbResult> {
  const { requests, clients } = load
  const shares = shareOut(clients, Math.min(clients, availableParallelism()))
  const runs = await Promise.all(
    shares.map((share, number) =>
      runProcess({
        ...{ ...load, clients: share, scratchFile: `${load.scratchFile}.${number}` },
        requests: Math.max(share, Math.round((requests * share) / clients)),
      }),
    ),
  )
  const made = runs.reduce((sum, run) => sum + run.requests, 0)
  const latenciesUs = runs.flatMap((run) => run.latenciesUs)
  return {
    requests: made,
    perSecond: made / Math.max(...runs.map(({ seconds }) => seconds)),
    p50Us: quantile(latenciesUs, 0.5),
    p95Us: quantile(latenciesUs, 0.95),
    p99Us: quantile(latenciesUs, 0.99),
  }
}

/** Parts of `total` that differ by one at most. */
export function shareOut(total: number, parts: number): number[] {
  return Array.from({ length: parts }, (_, part) => Math.floor((total + part) / parts))
}

async function runProcess(load: AbLoad): Promise<AbRun & { requests: number }> {
  const { port, page, protocol, clients, requests, scratchFile } = load
  const { stdout } = await execa("ab", [
    ...["-q", "-n", String(requests), "-c", String(clients), "-f", protocol, "-e", scratchFile],
    `https://localhost:${port}/`,
  ])
  const csv = await readFile(scratchFile, "utf8")
  await rm(scratchFile)
  return {
    ...{ requests },
    ...parseAb({ stdout, csv, requests, protocol, pageBytes: Buffer.byteLength(page) }),
  }
}

export interface AbRun {
  seconds: number
  /** The percentiles from 0 to 99: a hundred values that stand for all. */
  latenciesUs: number[]
}

/** @throws CodedError `load-failed` */
export function parseAb(run: {
  stdout: string
  /** Of `-e`: `percentage,milliseconds`. */
  csv: string
  requests: number
  protocol: string
  pageBytes: number
}): AbRun {
  const { stdout, csv, requests, protocol, pageBytes } = run
  const number = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+([0-9.]+)`, "m").exec(stdout)?.[1] ?? Number.NaN)
  const seconds = number("Time taken for tests")
  const good =
    seconds > 0 &&
    number("Complete requests") === requests &&
    number("Failed requests") === 0 &&
    number("HTML transferred") === requests * pageBytes &&
    stdout.includes(`SSL/TLS Protocol:       ${protocol.replace("TLS", "TLSv")},`)
  if (!good) throw new CodedError("load-failed", stdout)
  const latenciesUs = [...csv.matchAll(/^(\d{1,2}),([0-9.]+)$/gm)].map(
    ([, , ms]) => Number(ms) * 1_000,
  )
  if (latenciesUs.length !== 100) {
    throw new CodedError("load-failed", `ab names ${latenciesUs.length} percentiles, not 100`)
  }
  return { seconds, latenciesUs }
}
