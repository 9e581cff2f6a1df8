/** What the tests of a token's life share: the load, what the agent says, and what was left untouched. */
import { createHash } from "node:crypto"
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { expect } from "vitest"
import type { AgentStatus, TokenStatus } from "../../../parent/agent/agent-status.js"
import { AgentClient } from "../../../parent/agent-api/client.js"
import type { Site, SiteToken } from "../../../sim/testbed/site.js"
import { Load, summaryOf } from "../load/load.js"
import type { LoadOptions, LoadReport } from "../load/report.js"

/** `make test-long` sets it: more rounds, longer loads. */
export const LONG = process.env.TLSKEEP_TEST_LONG === "1"

/** Handshakes between one event and the next. */
export const BETWEEN = LONG ? 400 : 40

/** Between two attempts of a client, ms. Two of these tests share a machine with two cores. */
const PAUSE_MS = LONG ? 0 : 30

/** Puts a site under load. */
export function loadOn(site: Site, options: Partial<LoadOptions> = {}): Load {
  const { dir, authority } = site.testbed
  const target = { port: site.server.port, ca: authority.rootPem, serverNames: site.serverNames }
  const pauseMs = PAUSE_MS
  return Load.start({ ...target, pauseMs, ...options }, join(dir, "log", `load-${site.name}.log`))
}

/** Ends a load, says what it did, and expects that nothing failed. */
export async function expectUnharmed(load: Load, what: string): Promise<LoadReport> {
  const report = await load.stop()
  process.stdout.write(`      ${what}: ${summaryOf(report)}\n`)
  expect(report.reasons).toEqual({})
  expect(report.failed).toBe(0)
  expect(report.succeeded).toBeGreaterThan(0)
  expect(Object.keys(report.protocols).sort()).toEqual(["TLSv1.2", "TLSv1.3"])
  return report
}

/** What `tlskeep status` asks, without a process for each of many looks. */
export function statusOf(site: Site): Promise<AgentStatus> {
  return new AgentClient(join(site.runDir, "agent.sock")).status()
}

export async function tokenStatusOf(
  site: Site,
  { label }: SiteToken = site.token,
): Promise<TokenStatus> {
  const { tokens } = await statusOf(site)
  const token = tokens.find((one) => one.label === label)
  if (token === undefined) throw new RangeError(`the status names no token ${label}`)
  return token
}

/**
 * Waits until the agent says of a token what is wanted.
 *
 * @throws the last unfulfilled expectation after `timeoutMs`
 */
export async function untilStatus(
  site: Site,
  wanted: (token: TokenStatus, status: AgentStatus) => void,
  timeoutMs = 30_000,
): Promise<TokenStatus> {
  for (const deadline = Date.now() + timeoutMs; ; ) {
    try {
      const status = await statusOf(site)
      const token = status.tokens.find(({ label }) => label === site.token.label)
      if (token === undefined) throw new RangeError("the status does not name the token")
      wanted(token, status)
      return token
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

/** What a file was at one moment: written anew, it is another. */
interface FileState {
  inode: number
  mtimeMs: number
  mode: number
  sha256: string
}

/** Everything that is of concern to a web server: its processes, and the files that it reads. */
export interface Untouched {
  pid: number | undefined
  generations: number
  files: Record<string, FileState>
}

export async function untouched(site: Site): Promise<Untouched> {
  const below = (dir: string) =>
    readdirSync(dir, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
  const targets = site.tokens.map(({ targetFile }) => targetFile)
  const served = ["certificates", "pins"].flatMap((name) => below(join(site.runDir, name)))
  const files = [...targets, ...served, join(site.runDir, "endpoint")]
  return {
    pid: await site.server.pid(),
    generations: await site.server.generations(),
    files: Object.fromEntries(files.map((path) => [path, stateOf(path)])),
  }
}

function stateOf(path: string): FileState {
  const { ino, mtimeMs, mode } = statSync(path)
  const sha256 = createHash("sha256").update(readFileSync(path)).digest("hex")
  return { inode: ino, mtimeMs, mode, sha256 }
}
