/**
 * One authenticated request to the simulated KMS: its parsed input, and the authorization that
 * every operation asks for, noted for the audit trail as it goes.
 */
import { z } from "zod"
import { conditionContext } from "../iam/conditions.js"
import { type Decision, evaluateAccess, refusalMessage } from "../iam/evaluate.js"
import type { Principal } from "../iam/principals.js"
import type { AuditRecord } from "./audit.js"
import type { EncryptionContext } from "./ciphertext.js"
import { KmsError } from "./errors.js"
import { type KeyStore, type KmsKey, keyArn, parseKeyPolicy } from "./key-store.js"
import { type recipientSchema, type VerifiedRecipient, verifyRecipient } from "./recipient.js"
import type { CmsShaper, KmsSettings } from "./settings.js"

/** What the service gives to every operation. */
export interface KmsDeps {
  store: KeyStore
  settings: KmsSettings
  shaper: CmsShaper
  /** Read when a Recipient comes, so that the root may be made after the service started. */
  rootFingerprint: () => string
}

/** Particulars of a request that conditions may ask for. */
export interface CallParticulars {
  recipient?: VerifiedRecipient | undefined
  encryptionContext?: EncryptionContext
}

/** The decision on every request while the setting `denyAll` holds. */
const DENY_ALL: Decision = { allowed: false, why: "explicit-deny", kind: "resource-based" }

export class KmsCall {
  constructor(
    /** Such as `Decrypt`. */
    readonly operation: string,
    readonly principal: Principal,
    readonly body: unknown,
    readonly audit: AuditRecord,
    readonly deps: KmsDeps,
  ) {}

  /** @throws KmsError `ValidationException` when the body is not what `schema` says. */
  parse<T>(schema: z.ZodType<T>): T {
    const parsed = schema.safeParse(this.body)
    if (parsed.success) return parsed.data
    throw new KmsError("ValidationException", z.prettifyError(parsed.error))
  }

  /** Finds the key named by the request, for the audit trail too. */
  key(idOrArn: string): KmsKey {
    return this.noteKey(this.deps.store.get(idOrArn))
  }

  noteKey(key: KmsKey): KmsKey {
    this.audit.key = keyArn(key)
    return key
  }

  /** @throws KmsError `ValidationException` if the attestation document is refused. */
  verifyRecipient(recipient: z.infer<typeof recipientSchema>): VerifiedRecipient {
    const verified = verifyRecipient(recipient, this.deps.rootFingerprint(), new Date())
    this.audit.recipientPcr0 = verified.pcr0 ?? null
    return verified
  }

  /**
   * Decides under the key's policy and the caller's own.
   *
   * @param operation - asked about, if not the one called.
   * @throws KmsError `AccessDeniedException`.
   */
  authorize(
    key: KmsKey,
    particulars: CallParticulars = {},
    operation: string = this.operation,
  ): void {
    this.#decide(operation, keyArn(key), particulars, key.policy)
  }

  /** Decides an operation that acts on no key, by the caller's own policy. */
  authorizeWithoutKey(particulars: CallParticulars = {}): void {
    this.#decide(this.operation, "*", particulars, undefined)
  }

  #decide(
    operation: string,
    resource: string,
    particulars: CallParticulars,
    policy: string | undefined,
  ): void {
    const { recipient, encryptionContext = {} } = particulars
    const names = Object.keys(encryptionContext)
    this.audit.encryptionContextKeys = names
    const request = {
      principal: this.principal,
      action: `kms:${operation}`,
      resource,
      context: conditionContext([
        ...(recipient?.conditionKeys ?? []),
        ...Object.entries(encryptionContext).map(
          ([name, value]) => [`kms:EncryptionContext:${name}`, value] as const,
        ),
        ["kms:EncryptionContextKeys", names],
      ]),
    }
    const decision = this.deps.settings.denyAll
      ? DENY_ALL
      : policy === undefined
        ? evaluateAccess(request, undefined, "may-allow")
        : evaluateAccess(request, parseKeyPolicy(policy), "must-allow-or-delegate")
    if (!decision.allowed) {
      throw new KmsError("AccessDeniedException", refusalMessage(request, decision))
    }
    this.audit.reason = `${decision.by} policy`
  }
}
