/** The audit trail of the simulated KMS, as CloudTrail keeps one: a JSON line for every request. */
import { appendFileSync, mkdirSync } from "node:fs"
import { join } from "node:path"

/** One request and what became of it. Never holds plaintext, ciphertext or credentials. */
export interface AuditRecord {
  /** As the answer's header x-amzn-RequestId names it. */
  requestId: string
  /** ISO 8601. */
  time: string
  /** Such as `kms:Decrypt`. */
  action: string
  /** ARN; null if the signature was refused. */
  principal: string | null
  /** Key ARN; null if the request named none that exists. */
  key: string | null
  decision: "allowed" | "refused"
  /** For a refusal its exception and sentence, else the kind of policy that allowed it. */
  reason: string
  /** PCR0 of a verified attestation document, lower-case hex; null without one. */
  recipientPcr0: string | null
  /** Names (not values) of the encryption context. */
  encryptionContextKeys: string[]
}

export function auditFile(kmsDir: string): string {
  return join(kmsDir, "audit.jsonl")
}

/** Appends one record; synchronous, so that the line is there before the answer is. */
export function appendAudit(kmsDir: string, record: AuditRecord): void {
  mkdirSync(kmsDir, { recursive: true })
  appendFileSync(auditFile(kmsDir), `${JSON.stringify(record)}\n`)
}
