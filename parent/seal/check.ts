/**
 * Whether an enclave could open a key object, as far as that can be known without being one: what the
 * KMS key's policy asks for, what the enclave of this host measures, and what KMS says of a decryption
 * that is not carried out. Each finding says what was checked; what was not is a finding, too.
 */
import { join } from "node:path"
import { DecryptCommand, GetKeyPolicyCommand, KMSClient } from "@aws-sdk/client-kms"
import { AgentClient } from "../agent-api/client.js"
import { AGENT_SOCKET } from "../agent-api/messages.js"
import { AgentError } from "../errors.js"
import { type ReleasePolicy, readReleasePolicy, satisfies } from "../policy/release.js"
import type { KeyObjectJson } from "../source/key-object.js"
import { printable } from "../status/text.js"

export interface Finding {
  /** `wrong`: no enclave can open it. `warning`: others may. `unchecked`: nobody knows. */
  outcome: "ok" | "wrong" | "warning" | "unchecked"
  text: string
}

export interface CheckRequest {
  object: KeyObjectJson
  region: string
  /** Run directory of the agent whose enclave is compared with the policy. */
  runDir: string
}

/** Checks; failures to look are findings. */
export async function checkOpenable(request: CheckRequest): Promise<Finding[]> {
  const client = new KMSClient({ region: request.region })
  try {
    const [policy, pcrs] = await Promise.all([
      keyPolicy(client, request.object.encryptionKmsKeyId ?? ""),
      runningPcrs(request.runDir),
    ])
    return [
      ...("finding" in policy ? [policy.finding] : policyFindings(policy.policy, pcrs)),
      await dryRun(client, request.object),
      {
        outcome: "unchecked",
        text: "whether the enclave's instance has the role that the policy names, and what service control policies and endpoint policies add",
      },
    ]
  } finally {
    client.destroy()
  }
}

const WORDS: Readonly<Record<Finding["outcome"], string>> = {
  ok: "checked",
  wrong: "WRONG",
  warning: "WARNING",
  unchecked: "not checked",
}

/** A line for each. */
export function findingLines(findings: readonly Finding[]): string[] {
  return findings.map(({ outcome, text }) => `${WORDS[outcome]}: ${printable(text)}`)
}

type Pcrs = { pcrs: Readonly<Record<string, string>> } | { none: string }

function policyFindings({ releasing, denying }: ReleasePolicy, running: Pcrs): Finding[] {
  const attested = releasing.filter(({ pcrs }) => pcrs.length > 0)
  const open = releasing.filter(({ pcrs }) => pcrs.length === 0)
  const warnings = open.map(
    ({ sid, principals }): Finding => ({
      outcome: "warning",
      text: `the key policy (${sid}) lets ${principals} decrypt without attestation${principals.includes(":root") ? ", by any IAM policy of the account" : ""}`,
    }),
  )
  const denials = denying.map(
    (sid): Finding => ({
      outcome: "unchecked",
      text: `whether ${sid} of the key policy denies the enclave`,
    }),
  )
  const conditions = attested
    .filter(({ others }) => others)
    .map(
      ({ sid }): Finding => ({
        outcome: "unchecked",
        text: `whether the enclave meets the other conditions of ${sid}`,
      }),
    )
  if (attested.length === 0 && open.length === 0) {
    return [{ outcome: "wrong", text: "the key policy lets nobody decrypt" }, ...denials]
  }
  const released: Finding =
    attested.length === 0
      ? { outcome: "warning", text: "the key policy asks for no attestation at all" }
      : {
          outcome: "ok",
          text: `the key policy releases by attestation: ${attested.map(describe).join("; ")}`,
        }
  return [released, ...enclaveFindings(releasing, running), ...conditions, ...warnings, ...denials]
}

function describe({ sid, principals, pcrs }: ReleasePolicy["releasing"][number]): string {
  const required = pcrs.map(({ index, values }) => `PCR${index} ${values.map(short).join(" or ")}`)
  return `${sid} to ${principals} with ${required.join(", ")}`
}

function enclaveFindings(releasing: ReleasePolicy["releasing"], running: Pcrs): Finding[] {
  if ("none" in running) {
    const text = `whether an enclave satisfies the key policy: ${running.none}`
    return [{ outcome: "unchecked", text }]
  }
  const image = short(running.pcrs["0"] ?? "")
  const by = releasing.find((statement) => satisfies(running.pcrs, statement))
  if (by === undefined) {
    const text = `the running enclave (PCR0 ${image}) satisfies no statement of the key policy`
    return [{ outcome: "wrong", text }]
  }
  return [{ outcome: "ok", text: `the running enclave (PCR0 ${image}) satisfies ${by.sid}` }]
}

function short(hex: string): string {
  return hex.length > 16 ? `${hex.slice(0, 16)}…` : hex
}

async function keyPolicy(
  client: KMSClient,
  keyId: string,
): Promise<{ policy: ReleasePolicy } | { finding: Finding }> {
  try {
    const { Policy = "" } = await client.send(new GetKeyPolicyCommand({ KeyId: keyId }))
    return { policy: readReleasePolicy(Policy) }
  } catch (error) {
    const text = `what the key policy asks for: ${reasonOf(error)} (the caller needs kms:GetKeyPolicy)`
    return { finding: { outcome: "unchecked", text } }
  }
}

async function runningPcrs(runDir: string): Promise<Pcrs> {
  try {
    const { enclave } = await new AgentClient(join(runDir, AGENT_SOCKET)).status()
    if (enclave.description === undefined) return { none: "the agent's enclave does not answer" }
    return { pcrs: enclave.description.pcrs }
  } catch (error) {
    if (!(error instanceof AgentError)) throw error
    return { none: error.message }
  }
}

/** Asks KMS whether the caller himself could decrypt, without being an enclave: he should not. */
async function dryRun(client: KMSClient, object: KeyObjectJson): Promise<Finding> {
  try {
    await client.send(
      new DecryptCommand({
        KeyId: object.encryptionKmsKeyId,
        CiphertextBlob: Buffer.from(object.encryptedPrivateKey, "base64"),
        EncryptionContext: object.encryptionContext,
        DryRun: true,
      }),
    )
  } catch (error) {
    const name = error instanceof Error ? error.name : ""
    if (name === "AccessDeniedException") {
      return { outcome: "ok", text: "KMS refuses the caller to decrypt without attestation" }
    }
    if (name !== "DryRunOperationException") {
      const text = `whether the caller could decrypt without attestation: ${reasonOf(error)}`
      return { outcome: "unchecked", text }
    }
  }
  const text =
    "KMS would let the caller decrypt without attestation, so the key is no enclave's alone"
  return { outcome: "warning", text }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.name : "failed"
}
