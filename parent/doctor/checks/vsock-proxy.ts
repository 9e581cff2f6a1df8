/** The relay between the enclave and KMS: running, to the right host, and allowed to. */
import { readFile } from "node:fs/promises"
import { basename } from "node:path"
import { parse } from "yaml"
import { z } from "zod"
import { KMS_RELAY_PORT } from "../../../shared/protocol/limits.js"
import { type DoctorContext, reasonOf } from "../context.js"
import { type Finding, Reporter } from "../finding.js"
import { listProcesses } from "../processes.js"
import { kmsHost, regionOf } from "../region.js"
import type { HostCheck } from "../run.js"

const report = new Reporter("vsock-proxy")
const KMS_PORT = 443
const SERVICE = "nitro-enclaves-vsock-proxy.service"

/** What a running vsock-proxy was started with. */
interface Relay {
  localPort: number
  host: string
  port: number
  allowlist: string | undefined
}

const allowlistSchema = z.looseObject({
  allowlist: z.array(z.looseObject({ address: z.string(), port: z.int() })),
})

export const vsockProxy: HostCheck = {
  name: "vsock-proxy",
  run: async (context) => {
    const region = await context.once(regionOf)
    const wanted = region === undefined ? undefined : kmsHost(region)
    const relays = (await context.once(listProcesses)).flatMap(({ argv }) => relayOf(argv))
    const relay = relays.find(({ localPort }) => localPort === KMS_RELAY_PORT)
    const findings = [
      ...relayFindings(relay, wanted),
      ...(await allowlistFindings(context, relay, wanted)),
    ]
    if (findings.length > 0) return findings
    return [report.ok(`relays port ${KMS_RELAY_PORT} to ${relay?.host}`)]
  },
}

function relayFindings(relay: Relay | undefined, wanted: string | undefined): Finding[] {
  const start = `systemctl enable --now ${SERVICE}`
  if (relay === undefined) {
    const by = `vsock-proxy ${KMS_RELAY_PORT} ${wanted ?? "kms.<region>.amazonaws.com"} ${KMS_PORT}`
    return [
      report.problem(
        "vsock-proxy-not-running",
        `no vsock-proxy serves port ${KMS_RELAY_PORT}`,
        "The enclave reaches KMS through it, and nothing else.",
        `${start}, which runs ${by}.`,
      ),
    ]
  }
  if (wanted === undefined || (relay.host === wanted && relay.port === KMS_PORT)) return []
  return [
    report.problem(
      "vsock-proxy-elsewhere",
      "vsock-proxy relays to another host than KMS of this region",
      `It relays to ${relay.host}:${relay.port}, the enclave wants ${wanted}:${KMS_PORT}.`,
      `Have ${SERVICE} run vsock-proxy ${KMS_RELAY_PORT} ${wanted} ${KMS_PORT}, or set aws.region.`,
    ),
  ]
}

async function allowlistFindings(
  context: DoctorContext,
  relay: Relay | undefined,
  wanted: string | undefined,
): Promise<Finding[]> {
  const file = relay?.allowlist ?? context.paths.vsockProxyFile
  let allowed: z.output<typeof allowlistSchema>["allowlist"]
  try {
    allowed = allowlistSchema.parse(parse(await readFile(file, "utf8"))).allowlist
  } catch (error) {
    return [
      report.problem(
        "vsock-proxy-allowlist-unreadable",
        "vsock-proxy's allowlist cannot be read",
        `${file}: ${reasonOf(error)}`,
        "It is YAML, allowlist: [{address: …, port: 443}]; the package brings one with every region.",
      ),
    ]
  }
  const lists = allowed.some(({ address, port }) => address === wanted && port === KMS_PORT)
  if (wanted === undefined || lists) return []
  return [
    report.problem(
      "vsock-proxy-not-allowed",
      "vsock-proxy's allowlist leaves KMS of this region out",
      `${file} does not name ${wanted}:${KMS_PORT}.`,
      `Add - {address: ${wanted}, port: ${KMS_PORT}} and restart ${SERVICE}.`,
    ),
  ]
}

/** The words after `vsock-proxy`, which may itself be run by an interpreter. */
function relayOf(argv: readonly string[]): Relay[] {
  const at = argv.findIndex((word) => basename(word) === "vsock-proxy")
  if (at < 0) return []
  const words: string[] = []
  let allowlist: string | undefined
  for (let index = at + 1; index < argv.length; index++) {
    const word = argv[index] ?? ""
    if (word === "--config") allowlist = argv[++index]
    else if (word.startsWith("--config=")) allowlist = word.slice("--config=".length)
    else if (word === "-w" || word === "--num_workers") index++
    else if (!word.startsWith("-")) words.push(word)
  }
  // The last three, since a wrapper may have options of its own.
  const [localPort, host = "", port] = words.slice(-3)
  if (words.length < 3 || !isPort(localPort) || !isPort(port)) return []
  return [{ localPort: Number(localPort), host, port: Number(port), allowlist }]
}

function isPort(word: string | undefined): boolean {
  return word !== undefined && /^\d{1,5}$/.test(word)
}
