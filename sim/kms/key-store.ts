/**
 * The keys of the simulated KMS: one file each below `kms/keys`, with the key's policy, its state
 * and its material. Read for every request, so that the files are the whole truth.
 */
import { randomBytes, randomUUID } from "node:crypto"
import { join } from "node:path"
import { z } from "zod"
import { readJson, writeJson } from "../files.js"
import { type Policy, resourcePolicySchema } from "../iam/policy-document.js"
import { ACCOUNT_ID, PARTITION, REGION } from "../paths.js"
import { KmsError } from "./errors.js"

const keySchema = z.strictObject({
  keyId: z.uuid(),
  description: z.string(),
  createdAt: z.iso.datetime(),
  state: z.enum(["Enabled", "Disabled", "PendingDeletion"]),
  /** The policy as it was given; evaluated through {@link parseKeyPolicy}. */
  policy: z.string(),
  /** `AWS` for a key that a service of AWS's made and keeps. */
  manager: z.enum(["AWS", "CUSTOMER"]).default("CUSTOMER"),
  /** AES-256 key, base64. */
  material: z.base64(),
})

/** A symmetric KMS key. */
export type KmsKey = z.infer<typeof keySchema>

const KEY_ARN = new RegExp(`^arn:${PARTITION}:kms:${REGION}:${ACCOUNT_ID}:key/([0-9a-f-]{36})$`)
const KEY_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
/** AWS KMS quota "key policy document size". */
const MAX_POLICY_BYTES = 32_768

export function keyArn({ keyId }: Pick<KmsKey, "keyId">): string {
  return `arn:${PARTITION}:kms:${REGION}:${ACCOUNT_ID}:key/${keyId}`
}

/** The policy of a key created without one: the account decides by identity policies. */
export const DEFAULT_KEY_POLICY = JSON.stringify({
  Version: "2012-10-17",
  Id: "key-default-1",
  Statement: [
    {
      Sid: "Enable IAM User Permissions",
      Effect: "Allow",
      Principal: { AWS: `arn:aws:iam::${ACCOUNT_ID}:root` },
      Action: "kms:*",
      Resource: "*",
    },
  ],
})

/** @throws KmsError `MalformedPolicyDocumentException`. */
export function parseKeyPolicy(text: string): Policy {
  if (Buffer.byteLength(text) > MAX_POLICY_BYTES) {
    throw new KmsError("MalformedPolicyDocumentException", "The key policy is too long")
  }
  try {
    return resourcePolicySchema.parse(JSON.parse(text))
  } catch (cause) {
    const detail = cause instanceof z.ZodError ? z.prettifyError(cause) : "not JSON"
    throw new KmsError("MalformedPolicyDocumentException", detail, { cause })
  }
}

/** A new key; {@link KeyStore.save} keeps it. */
export function makeKey(
  policy: string,
  description: string,
  manager: KmsKey["manager"] = "CUSTOMER",
): KmsKey {
  return {
    keyId: randomUUID(),
    description,
    createdAt: new Date().toISOString(),
    state: "Enabled",
    policy,
    manager,
    material: randomBytes(32).toString("base64"),
  }
}

export class KeyStore {
  readonly #dir: string

  /** @param kmsDir - the service's folder; keys lie in `keys` below it. */
  constructor(kmsDir: string) {
    this.#dir = join(kmsDir, "keys")
  }

  save(key: KmsKey): void {
    writeJson(this.#file(key.keyId), key, 0o600)
  }

  /**
   * Finds a key by its id or ARN.
   *
   * @throws KmsError `NotFoundException`, for another account's or region's ARN too.
   */
  get(idOrArn: string): KmsKey {
    const key = this.find(KEY_ARN.exec(idOrArn)?.[1] ?? idOrArn)
    if (key === undefined)
      throw new KmsError("NotFoundException", `Key '${idOrArn}' does not exist`)
    return key
  }

  /** Finds a key by its id alone. */
  find(keyId: string): KmsKey | undefined {
    return KEY_ID.test(keyId) ? readJson(this.#file(keyId), keySchema) : undefined
  }

  #file(keyId: string): string {
    return join(this.#dir, `${keyId}.json`)
  }
}
