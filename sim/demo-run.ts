/**
 * The demo's steps: the whole system on this machine, a page served with a key that only the enclave
 * holds, a search for that key everywhere else, and a refusal.
 */
import { X509Certificate } from "node:crypto"
import { readFile } from "node:fs/promises"
import { createServer } from "node:net"
import { execa } from "execa"
import { CodedError } from "../shared/errors.js"
import type { Apache } from "./testbed/apache.js"
import type { BackgroundProcess } from "./testbed/background-process.js"
import { CHECKOUT } from "./testbed/checkout.js"
import { enclaveOfStatus } from "./testbed/enclave-of-status.js"
import { needlesOf } from "./testbed/key-material.js"
import { searchFiles, searchMemory } from "./testbed/key-search.js"
import { readSnippet } from "./testbed/snippet.js"
import { Testbed } from "./testbed/testbed.js"

export const DEMO_LABEL = "demo"
export const DEMO_PORT = Number(process.env.TLSKEEP_DEMO_PORT ?? 8_443)
const HANDSHAKES = 50

/** What the demo leaves up. */
export interface RunningDemo {
  testbed: Testbed
  apache: Apache
  configFile: string
}

/** Says one line to whoever watches. */
export type Say = (line: string) => void

/**
 * Runs all steps; a step that fails ends it with everything stopped.
 *
 * @param onUp - is handed the testbed as soon as there is something to stop
 */
export async function runDemo(
  say: Say,
  onUp: (testbed: Testbed) => void = () => {},
): Promise<RunningDemo> {
  await requireFreePort()
  const step = stepper(say)
  const testbed = await step("local AWS up (KMS, S3, IMDS, vsock-proxy)", () => Testbed.up())
  onUp(testbed)
  try {
    const web = await testbed.issue("RSA-2048")
    const keyArn = await testbed.kmsKey()
    const uri = await step("fresh RSA-2048 key sealed under KMS into S3", () =>
      testbed.seal(web, keyArn, DEMO_LABEL),
    )
    const apache = await testbed.apache("httpd", { binding: "engine", port: DEMO_PORT })
    const configFile = await testbed.agentConfig("tlskeep", { label: DEMO_LABEL, uri, apache })
    const agent = testbed.startAgent(configFile)
    await followAgent(agent, step)
    await step("page fetched with curl --cacert", () => fetchPage(testbed, apache))
    await step(`${HANDSHAKES} full handshakes, none failed`, () => handshake(apache))
    await step("key searched for in files and memory", () => searchKey(testbed, apache, web, say))
    await report(testbed, apache, configFile, say)
    await step("an image that the key policy does not name is refused", () =>
      refusal(testbed, uri, apache, say),
    )
    return { testbed, apache, configFile }
  } catch (error) {
    await testbed.down()
    throw error
  }
}

/** @throws CodedError `port-in-use` */
function requireFreePort(): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", (cause) => {
      const advice = "stop what listens there (a demo: make demo-stop), or set TLSKEEP_DEMO_PORT"
      reject(new CodedError("port-in-use", `port ${DEMO_PORT} is in use: ${advice}`, { cause }))
    })
    server.listen(DEMO_PORT, "127.0.0.1", () => server.close(() => resolve()))
  })
}

type Step = <Result>(title: string, work: () => Promise<Result>) => Promise<Result>

function stepper(say: Say): Step {
  return async (title, work) => {
    const startedAt = performance.now()
    try {
      const result = await work()
      say(`  ok  ${title} (${((performance.now() - startedAt) / 1_000).toFixed(2)} s)`)
      return result
    } catch (error) {
      say(`  FAILED  ${title}`)
      throw error
    }
  }
}

async function followAgent(agent: BackgroundProcess, step: Step): Promise<void> {
  const events: [string, string][] = [
    ["enclave started by nitro-cli, measured and claimed", "enclave ready"],
    ["key decrypted by KMS for the attested enclave alone", "token provisioned"],
    ["module self-test: a signature verified against the certificate", "module self-test passed"],
    ["certificate and Apache snippet written, Apache started", "web server reloaded"],
  ]
  for (const [title, message] of events) {
    await step(title, async () => {
      const failed = '"level":50'
      const line = await agent.waitForLine(
        (text) => text.includes(`"msg":"${message}"`) || text.includes(failed),
      )
      if (line.includes(failed)) throw new CodedError("agent-failed", line)
    })
  }
}

async function fetchPage(testbed: Testbed, apache: Apache): Promise<void> {
  await apache.listening()
  const { stdout } = await execa("curl", ["-sS", "--cacert", testbed.caFile, apache.url])
  if (stdout.trim() !== apache.page.trim()) throw new CodedError("wrong-page", stdout)
}

async function handshake(apache: Apache): Promise<void> {
  const { stdout } = await execa("ab", ["-q", "-n", String(HANDSHAKES), "-c", "4", apache.url])
  // ab does not count a failed handshake as a failed request.
  const bytes = HANDSHAKES * Buffer.byteLength(apache.page)
  if (!new RegExp(`^HTML transferred:\\s+${bytes} bytes$`, "m").test(stdout))
    throw new CodedError("handshakes-failed", stdout)
}

async function searchKey(
  testbed: Testbed,
  apache: Apache,
  web: { privateKey: string },
  say: Say,
): Promise<void> {
  const needles = needlesOf(web.privateKey)
  const pids = await hostPids(testbed, apache)
  const inFiles = await searchFiles(testbed.dir, needles)
  const inMemory = pids.map((pid) => searchMemory(pid, needles))
  const findings = [inFiles, ...inMemory].flatMap((result) => result.findings)
  if (findings.length > 0) throw new CodedError("key-on-host", JSON.stringify(findings))
  const inEnclave = testbed.enclavePids.flatMap((pid) => searchMemory(pid, needles).findings)
  if (inEnclave.length === 0) throw new CodedError("search-blind", "not even in the enclave")
  const searched = inMemory.reduce((sum, { bytes }) => sum + bytes, inFiles.bytes)
  say(
    `      not in ${pids.length} host processes and all files (${(searched / 2 ** 20).toFixed(0)} MiB); in the enclave: ${inEnclave.length} places`,
  )
}

/** Every process on the host but the KMS, which stands for AWS and opens what it sealed. */
async function hostPids(testbed: Testbed, apache: Apache): Promise<number[]> {
  const { kms: _kms, ...services } = testbed.awsPids
  const agents = [...testbed.agentPids, ...testbed.vmmPids]
  return [...Object.values(services), ...agents, ...(await apache.pids())]
}

async function report(
  testbed: Testbed,
  apache: Apache,
  configFile: string,
  say: Say,
): Promise<void> {
  const { stdout } = await testbed.tlskeep(["status", "--json", "--config", configFile])
  const status = enclaveOfStatus(stdout) as DemoStatus
  const [token] = status.tokens
  const variables = await readSnippet(apache)
  const certificate = new X509Certificate(await readFile(variables.certificateFile))
  const signatures = Object.entries(token?.signatures ?? {}).map(([name, n]) => `${n} ${name}`)
  const rows = [
    ["page", apache.url],
    ["certificate", `${certificate.subject}, ${token?.keyType}, until ${certificate.validTo}`],
    ["", `issued by ${certificate.issuer}; ${variables.certificateFile}`],
    ["key", `in enclave ${status.moduleId} alone (process ${testbed.enclavePids.join()})`],
    ["", `Apache names it ${variables.keyUri}`],
    ["signatures", `${signatures.join(", ")}, counted by the enclave`],
    ["PCR0", status.pcrs["0"] ?? ""],
  ]
  say("")
  for (const [name = "", value = ""] of rows) say(`      ${name.padEnd(12)} ${value}`)
  say("")
}

/** What is used of `tlskeep status --json`. */
interface DemoStatus {
  moduleId: string
  pcrs: Record<string, string>
  tokens: { keyType: string; signatures: Record<string, number> }[]
}

async function refusal(testbed: Testbed, uri: string, apache: Apache, say: Say): Promise<void> {
  const config = await testbed.agentConfig("tlskeep-changed", {
    label: DEMO_LABEL,
    uri,
    apache,
    imagePath: CHECKOUT.changedImage,
    options: { run_dir: `${testbed.dir}/run-changed` },
  })
  const { exitCode, stdout } = await testbed.tlskeep(["agent", "--once", "--config", config])
  const status = await testbed.tlskeep(["status", "--json", "--config", config])
  await testbed.nitroCli("terminate-enclave", "--enclave-name", "tlskeep-changed")
  const refused = stdout.split("\n").find((line) => line.includes('"code":"kms-access-denied"'))
  if (exitCode !== 1 || refused === undefined) throw new CodedError("not-refused", stdout)
  const { tokens } = enclaveOfStatus(status.stdout) as { tokens: unknown[] }
  if (tokens.length > 0) throw new CodedError("not-refused", "the changed image holds a token")
  const { reason, advice } = JSON.parse(refused) as { reason: string; advice: string }
  say(`      agent: ${reason}`)
  say(`             ${advice}`)
}
