/**
 * Ciphertext blobs of the simulated KMS, in a format of its own: a mark, the key's id, then
 * AES-256-GCM with the encryption context as associated data.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto"
import { KmsError } from "./errors.js"
import type { KmsKey } from "./key-store.js"

/** Names and values that must be given again to decrypt. */
export type EncryptionContext = Readonly<Record<string, string>>

const MARK = Buffer.from("SKM1")
const UUID_BYTES = 16
const IV_BYTES = 12
const TAG_BYTES = 16
const HEADER_BYTES = MARK.length + UUID_BYTES
const OVERHEAD_BYTES = HEADER_BYTES + IV_BYTES + TAG_BYTES

/** Encrypts under `key`: mark ‖ key id (16) ‖ IV (12) ‖ tag (16) ‖ ciphertext. */
export function encryptBlob(
  key: KmsKey,
  plaintext: Uint8Array,
  context: EncryptionContext,
): Buffer {
  const header = Buffer.concat([MARK, Buffer.from(key.keyId.replaceAll("-", ""), "hex")])
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv("aes-256-gcm", Buffer.from(key.material, "base64"), iv)
  cipher.setAAD(associatedData(header, context))
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()])
  return Buffer.concat([header, iv, cipher.getAuthTag(), ciphertext])
}

/** The id of the key that made the blob; undefined if no key of this service did. */
export function keyIdOfBlob(blob: Uint8Array): string | undefined {
  const bytes = Buffer.from(blob)
  if (bytes.length <= OVERHEAD_BYTES || !bytes.subarray(0, MARK.length).equals(MARK)) {
    return undefined
  }
  const hex = bytes.toString("hex", MARK.length, HEADER_BYTES)
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5")
}

/** @throws KmsError `InvalidCiphertextException` for another key, context or a changed byte. */
export function decryptBlob(key: KmsKey, blob: Uint8Array, context: EncryptionContext): Buffer {
  const bytes = Buffer.from(blob)
  const iv = bytes.subarray(HEADER_BYTES, HEADER_BYTES + IV_BYTES)
  const tag = bytes.subarray(HEADER_BYTES + IV_BYTES, OVERHEAD_BYTES)
  const material = Buffer.from(key.material, "base64")
  try {
    const decipher = createDecipheriv("aes-256-gcm", material, iv, { authTagLength: TAG_BYTES })
    decipher.setAAD(associatedData(bytes.subarray(0, HEADER_BYTES), context))
    decipher.setAuthTag(tag)
    return Buffer.concat([decipher.update(bytes.subarray(OVERHEAD_BYTES)), decipher.final()])
  } catch (cause) {
    throw new KmsError("InvalidCiphertextException", "", { cause })
  }
}

function associatedData(header: Uint8Array, context: EncryptionContext): Buffer {
  const pairs = Object.entries(context).sort(([a], [b]) => (a < b ? -1 : 1))
  return Buffer.concat([header, Buffer.from(JSON.stringify(pairs))])
}
