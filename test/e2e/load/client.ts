/**
 * Load client, a process of its own: `node client.js '<LoadOptions as JSON>'`. It writes its progress,
 * a line of JSON ten times a second, and on SIGTERM lets what it has begun end and writes its report.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { createSecureContext } from "node:tls"
import { AttemptError, attempt } from "./attempt.js"
import type { LoadOptions, Protocol } from "./report.js"
import { Tally } from "./tally.js"

const PROGRESS_MS = 100

const options = JSON.parse(process.argv[2] ?? "{}") as LoadOptions
const tally = new Tally()
let stopping = false
process.once("SIGTERM", () => {
  stopping = true
})
// Whoever reads the report has gone: there is nobody left to work for.
process.stdout.once("error", () => process.exit(1))

const progress = setInterval(() => say({ progress: tally.progress() }), PROGRESS_MS)
await Promise.all(Array.from({ length: options.clients }, (_, index) => work(index)))
clearInterval(progress)
say({ report: tally.report() })

/** Attempts, failed ones included: a server that is away must be seen to be. */
async function work(index: number): Promise<void> {
  const { port, timeoutMs, protocols, serverNames, pauseMs } = options
  const secureContext = contextFor(protocols[index % protocols.length] ?? "TLSv1.3")
  for (let next = index; !stopping; next++) {
    const serverName = serverNames[next % serverNames.length] ?? "localhost"
    try {
      tally.succeeded(await attempt({ port, serverName, secureContext, timeoutMs }))
    } catch (error) {
      if (!(error instanceof AttemptError)) throw error
      tally.failed({ stage: error.stage, reason: error.reason })
    }
    if (pauseMs > 0) await sleep(pauseMs)
  }
}

function contextFor(protocol: Protocol) {
  return createSecureContext({ ca: options.ca, minVersion: protocol, maxVersion: protocol })
}

function say(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
