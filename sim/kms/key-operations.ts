/** The KMS operations on keys themselves: their creation, state and policy. */
import { z } from "zod"
import { ACCOUNT_ID } from "../paths.js"
import type { KmsCall } from "./call.js"
import { KmsError } from "./errors.js"
import { DEFAULT_KEY_POLICY, type KmsKey, keyArn, makeKey, parseKeyPolicy } from "./key-store.js"

const keyIdSchema = z.object({ KeyId: z.string().min(1).max(2048) })
/** Every key has one policy, of this name. */
const POLICY_NAME = "default"

const createKeySchema = z.object({
  Policy: z.string().min(1).optional(),
  Description: z.string().max(8192).optional(),
  KeyUsage: z.literal("ENCRYPT_DECRYPT").optional(),
  KeySpec: z.literal("SYMMETRIC_DEFAULT").optional(),
  Origin: z.literal("AWS_KMS").optional(),
  BypassPolicyLockoutSafetyCheck: z.boolean().optional(),
})

export function createKey(call: KmsCall): object {
  const input = call.parse(createKeySchema)
  call.authorizeWithoutKey()
  const policy = input.Policy ?? DEFAULT_KEY_POLICY
  parseKeyPolicy(policy)
  const key = makeKey(policy, input.Description ?? "")
  if (!input.BypassPolicyLockoutSafetyCheck) refuseLockout(call, key, policy)
  call.deps.store.save(key)
  return { KeyMetadata: metadata(call.noteKey(key)) }
}

export function describeKey(call: KmsCall): object {
  const key = call.key(call.parse(keyIdSchema).KeyId)
  call.authorize(key)
  return { KeyMetadata: metadata(key) }
}

const putKeyPolicySchema = keyIdSchema.extend({
  Policy: z.string().min(1),
  PolicyName: z.literal(POLICY_NAME).optional(),
  BypassPolicyLockoutSafetyCheck: z.boolean().optional(),
})

export function putKeyPolicy(call: KmsCall): object {
  const input = call.parse(putKeyPolicySchema)
  const key = call.key(input.KeyId)
  call.authorize(key)
  parseKeyPolicy(input.Policy)
  if (!input.BypassPolicyLockoutSafetyCheck) refuseLockout(call, key, input.Policy)
  call.deps.store.save({ ...key, policy: input.Policy })
  return {}
}

export function getKeyPolicy(call: KmsCall): object {
  const input = call.parse(keyIdSchema.extend({ PolicyName: z.literal(POLICY_NAME).optional() }))
  const key = call.key(input.KeyId)
  call.authorize(key)
  return { Policy: key.policy, PolicyName: POLICY_NAME }
}

export function enableKey(call: KmsCall): object {
  return setState(call, "Enabled")
}

export function disableKey(call: KmsCall): object {
  return setState(call, "Disabled")
}

function setState(call: KmsCall, state: KmsKey["state"]): object {
  const key = call.key(call.parse(keyIdSchema).KeyId)
  call.authorize(key)
  refusePendingDeletion(key)
  call.deps.store.save({ ...key, state })
  return {}
}

const scheduleKeyDeletionSchema = keyIdSchema.extend({
  PendingWindowInDays: z.int().min(7).max(30).default(30),
})

export function scheduleKeyDeletion(call: KmsCall): object {
  const input = call.parse(scheduleKeyDeletionSchema)
  const key = call.key(input.KeyId)
  call.authorize(key)
  refusePendingDeletion(key)
  call.deps.store.save({ ...key, state: "PendingDeletion" })
  const days = input.PendingWindowInDays
  return {
    KeyId: keyArn(key),
    KeyState: "PendingDeletion",
    PendingWindowInDays: days,
    DeletionDate: Date.now() / 1000 + days * 86_400,
  }
}

/**
 * Refuses the use of a key that is not enabled.
 *
 * @throws KmsError `DisabledException` or `KMSInvalidStateException`.
 */
export function requireEnabled(key: KmsKey): void {
  refusePendingDeletion(key)
  if (key.state !== "Enabled")
    throw new KmsError("DisabledException", `${keyArn(key)} is disabled.`)
}

function refusePendingDeletion(key: KmsKey): void {
  if (key.state === "PendingDeletion") {
    throw new KmsError("KMSInvalidStateException", `${keyArn(key)} is pending deletion.`)
  }
}

/** A policy must leave its author able to change it again, unless he insists. */
function refuseLockout(call: KmsCall, key: KmsKey, policy: string): void {
  try {
    call.authorize({ ...key, policy }, {}, "PutKeyPolicy")
  } catch (cause) {
    if (!(cause instanceof KmsError) || cause.code !== "AccessDeniedException") throw cause
    throw new KmsError(
      "MalformedPolicyDocumentException",
      "The new key policy will not allow you to update the key policy in the future.",
      { cause },
    )
  }
}

function metadata(key: KmsKey): object {
  return {
    AWSAccountId: ACCOUNT_ID,
    Arn: keyArn(key),
    CreationDate: Date.parse(key.createdAt) / 1000,
    CustomerMasterKeySpec: "SYMMETRIC_DEFAULT",
    Description: key.description,
    Enabled: key.state === "Enabled",
    EncryptionAlgorithms: ["SYMMETRIC_DEFAULT"],
    KeyId: key.keyId,
    KeyManager: key.manager,
    KeySpec: "SYMMETRIC_DEFAULT",
    KeyState: key.state,
    KeyUsage: "ENCRYPT_DECRYPT",
    MultiRegion: false,
    Origin: "AWS_KMS",
  }
}
