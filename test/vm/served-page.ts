/** A page served by Apache on the host with a key that an enclave in a virtual machine holds. */
import { join } from "node:path"
import { releaseKeyPolicy, seedKmsKey } from "../../sim/seed.js"
import { Apache } from "../../sim/testbed/apache.js"
import type { BackgroundProcess } from "../../sim/testbed/background-process.js"
import { freePort } from "../../sim/testbed/free-port.js"
import type { Testbed } from "../../sim/testbed/testbed.js"
import type { KeyType } from "../../sim/testbed/web-certificates.js"
import type { VmHost, VmImage } from "./lane.js"

export interface ServedPage {
  apache: Apache
  agent: BackgroundProcess
  configFile: string
}

/** An emulated processor on a machine that others use too: everything takes its time. */
export const STEP_TIMEOUT_MS = 240_000

/** PCRs that nothing extends. Only locked ones are in a document, and so can meet a condition. */
const LOCKED_AT_BOOT = [16, 31]
const ZERO = "00".repeat(48)

/**
 * A KMS key that is released to an image whose PCR0, PCR1 and PCR2 are all those given, once it has
 * locked the PCRs that it could extend.
 */
export async function keyReleasedTo(testbed: Testbed, { pcrs }: VmImage): Promise<string> {
  const policy = JSON.parse(releaseKeyPolicy({ pcr0: pcrs.PCR0 }))
  const release = policy.Statement.find(({ Sid }: { Sid: string }) => Sid === "ReleaseToTheEnclave")
  Object.assign(release.Condition.StringEqualsIgnoreCase, {
    "kms:RecipientAttestation:PCR0": pcrs.PCR0,
    "kms:RecipientAttestation:PCR1": pcrs.PCR1,
    "kms:RecipientAttestation:PCR2": pcrs.PCR2,
    ...Object.fromEntries(LOCKED_AT_BOOT.map((n) => [`kms:RecipientAttestation:PCR${n}`, ZERO])),
  })
  return seedKmsKey({ dir: testbed.info.dir, policy: JSON.stringify(policy) })
}

/**
 * Seals a key under `keyArn`, and starts an agent that is to serve it from an enclave of `image`.
 * Nothing is waited for: what comes of it is the test's matter.
 */
export async function startServing(
  testbed: Testbed,
  options: { name: string; host: VmHost; image: VmImage; keyArn: string; keyType: KeyType },
): Promise<ServedPage> {
  const { name, host, image, keyArn, keyType } = options
  const runDir = join(testbed.dir, `${name}-run`)
  const uri = await testbed.seal(await testbed.issue(keyType), keyArn, name)
  const apache = await Apache.prepare({
    dir: join(testbed.dir, `${name}-httpd`),
    port: await freePort(),
    binding: "engine",
    snippet: join(testbed.dir, `${name}-httpd`, "tlskeep.conf"),
    endpointFile: join(runDir, "endpoint"),
    env: { TLSKEEP_DEADLINE_MS: String(STEP_TIMEOUT_MS) },
  })
  const configFile = await testbed.agentConfig(name, {
    label: name,
    uri,
    imagePath: image.path,
    apache,
    enclave: host.enclave,
    options: { run_dir: runDir },
  })
  return { apache, agent: testbed.startAgent(configFile), configFile }
}

/** Waits for a log message of the agent, from its `from`th line on. */
export function waitForEvent({ agent }: ServedPage, message: string, from = 0): Promise<string> {
  const matches = (line: string) => line.includes(`"msg":"${message}"`)
  return agent.waitForLine(matches, { timeoutMs: STEP_TIMEOUT_MS, from })
}
