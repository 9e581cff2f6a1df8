/** The KMS operations that use a key or make secrets; where a Recipient comes, only it can read them. */
import { randomBytes } from "node:crypto"
import { z } from "zod"
import type { KmsCall } from "./call.js"
import { decryptBlob, encryptBlob, keyIdOfBlob } from "./ciphertext.js"
import { sealToRecipient } from "./cms.js"
import { KmsError } from "./errors.js"
import { requireEnabled } from "./key-operations.js"
import { type KmsKey, keyArn } from "./key-store.js"
import { recipientSchema, type VerifiedRecipient } from "./recipient.js"

/** AWS KMS API reference, Encrypt: Plaintext of at most 4096 bytes. */
export const MAX_PLAINTEXT_BYTES = 4096
/** AWS KMS API reference, Decrypt: CiphertextBlob of at most 6144 bytes. */
const MAX_CIPHERTEXT_BYTES = 6144
const ALGORITHM = "SYMMETRIC_DEFAULT"

const keyIdText = z.string().min(1).max(2048)
const encryptionContext = z.record(z.string(), z.string()).default({})
const algorithm = z.literal(ALGORITHM).optional()

const encryptSchema = z.object({
  KeyId: keyIdText,
  Plaintext: blob(MAX_PLAINTEXT_BYTES),
  EncryptionContext: encryptionContext,
  EncryptionAlgorithm: algorithm,
})

export function encrypt(call: KmsCall): object {
  const input = call.parse(encryptSchema)
  const key = call.key(input.KeyId)
  call.authorize(key, { encryptionContext: input.EncryptionContext })
  requireEnabled(key)
  return {
    CiphertextBlob: encryptBlob(key, input.Plaintext, input.EncryptionContext).toString("base64"),
    EncryptionAlgorithm: ALGORITHM,
    KeyId: keyArn(key),
  }
}

const decryptSchema = z.object({
  CiphertextBlob: blob(MAX_CIPHERTEXT_BYTES),
  KeyId: keyIdText.optional(),
  EncryptionContext: encryptionContext,
  EncryptionAlgorithm: algorithm,
  Recipient: recipientSchema.optional(),
  DryRun: z.boolean().optional(),
})

export function decrypt(call: KmsCall): object {
  const input = call.parse(decryptSchema)
  const recipient = input.Recipient && call.verifyRecipient(input.Recipient)
  const key = keyToUse(call, input.CiphertextBlob, input.KeyId)
  call.authorize(key, { recipient, encryptionContext: input.EncryptionContext })
  requireMaker(key, input.CiphertextBlob)
  requireEnabled(key)
  if (input.DryRun) {
    const message = "The request would have succeeded, but the DryRun option is set."
    throw new KmsError("DryRunOperationException", message)
  }
  const plaintext = decryptBlob(key, input.CiphertextBlob, input.EncryptionContext)
  const { answerKeyId } = call.deps.settings
  try {
    return {
      ...deliver(call, plaintext, recipient),
      EncryptionAlgorithm: ALGORITHM,
      KeyId: answerKeyId ?? keyArn(key),
    }
  } finally {
    plaintext.fill(0)
  }
}

const generateRandomSchema = z.object({
  NumberOfBytes: z.int().min(1).max(1024),
  Recipient: recipientSchema.optional(),
})

export function generateRandom(call: KmsCall): object {
  const input = call.parse(generateRandomSchema)
  const recipient = input.Recipient && call.verifyRecipient(input.Recipient)
  call.authorizeWithoutKey({ recipient })
  return deliver(call, randomBytes(input.NumberOfBytes), recipient)
}

/** The key named in the request, else the one that made the blob. */
function keyToUse(call: KmsCall, bytes: Uint8Array, named: string | undefined): KmsKey {
  if (named !== undefined) return call.key(named)
  const madeBy = keyIdOfBlob(bytes)
  const key = madeBy === undefined ? undefined : call.deps.store.find(madeBy)
  if (key === undefined) throw new KmsError("InvalidCiphertextException", "")
  return call.noteKey(key)
}

/** Said only to a caller who may use the key. */
function requireMaker(key: KmsKey, bytes: Uint8Array): void {
  const madeBy = keyIdOfBlob(bytes)
  if (madeBy === undefined || madeBy === key.keyId) return
  throw new KmsError(
    "IncorrectKeyException",
    "The key ID in the request does not identify a CMK that can perform this operation.",
  )
}

/** The secret in the clear, or sealed to the recipient and then in no other way. */
function deliver(
  { deps: { shaper, settings } }: KmsCall,
  secret: Uint8Array,
  recipient: VerifiedRecipient | undefined,
): object {
  if (recipient === undefined) return { Plaintext: Buffer.from(secret).toString("base64") }
  const { shape, chunkBytes } = shaper.shape(settings)
  const sealed = sealToRecipient(secret, recipient.publicKey, shape, chunkBytes)
  return { CiphertextForRecipient: sealed.toString("base64") }
}

function blob(maxBytes: number) {
  return z
    .base64()
    .transform((text) => Buffer.from(text, "base64"))
    .refine(({ length }) => length >= 1 && length <= maxBytes, `must have 1 to ${maxBytes} bytes`)
}
