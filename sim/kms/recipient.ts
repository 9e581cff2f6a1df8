/**
 * The `Recipient` of a KMS request: verifies its attestation document with the production verifier
 * and states the condition keys and the public key that it proves.
 */
import { createPublicKey } from "node:crypto"
import { join } from "node:path"
import { z } from "zod"
import {
  type AttestationDocument,
  AttestationError,
  verifyAttestationDocument,
} from "../../shared/attestation/index.js"
import { readIfThere } from "../files.js"
import { KmsError } from "./errors.js"

/** KMS refuses documents older than this. */
export const MAX_DOCUMENT_AGE_MS = 5 * 60_000
/** AWS KMS API reference, RecipientInfo: at most 262144 bytes; here of base64. */
const MAX_DOCUMENT_CHARS = 262_144

export const recipientSchema = z.object({
  KeyEncryptionAlgorithm: z.literal("RSAES_OAEP_SHA_256"),
  AttestationDocument: z.base64().min(1).max(MAX_DOCUMENT_CHARS),
})

/** What a verified document proves about the recipient. */
export interface VerifiedRecipient {
  /** RSA-2048, DER SubjectPublicKeyInfo. */
  publicKey: Uint8Array
  /** Lower-case hex; undefined if the document has no PCR0. */
  pcr0: string | undefined
  /** `kms:RecipientAttestation:*` with their values. */
  conditionKeys: [string, string][]
}

/**
 * Reads the fingerprint of the root that attestation documents must chain to.
 *
 * @param file - holds the SHA-256 of the root's DER in hex; colons and case do not matter.
 */
export function readRootFingerprint(file: string): string {
  const text = readIfThere(file)?.toString("utf8").replace(/[\s:]/g, "").toLowerCase()
  if (text === undefined || !/^[0-9a-f]{64}$/.test(text)) {
    throw new KmsError("KMSInternalException", `${file} holds no root fingerprint`)
  }
  return text
}

export function defaultRootFile(nitroPkiDir: string): string {
  return join(nitroPkiDir, "root.sha256")
}

/**
 * Verifies a request's Recipient.
 *
 * @throws KmsError `ValidationException` if the document is refused or has no RSA-2048 key.
 */
export function verifyRecipient(
  recipient: z.infer<typeof recipientSchema>,
  rootFingerprint: string,
  now: Date,
): VerifiedRecipient {
  const bytes = Buffer.from(recipient.AttestationDocument, "base64")
  const document = verifyOrRefuse(bytes, rootFingerprint, now)
  const { publicKey } = document
  if (publicKey === null || !isRsa2048(publicKey)) {
    throw new KmsError(
      "ValidationException",
      "The attestation document has no RSA-2048 public key in DER SubjectPublicKeyInfo",
    )
  }
  const pcrs = [...document.pcrs].map(([index, value]) => [index, hex(value)] as const)
  const pcr0 = pcrs.find(([index]) => index === 0)?.[1]
  return {
    publicKey,
    pcr0,
    conditionKeys: [
      ...(pcr0 === undefined ? [] : [imageKey(pcr0)]),
      ...pcrs.map(([index, value]): [string, string] => [
        `kms:RecipientAttestation:PCR${index}`,
        value,
      ]),
    ],
  }
}

function imageKey(pcr0: string): [string, string] {
  return ["kms:RecipientAttestation:ImageSha384", pcr0]
}

function verifyOrRefuse(bytes: Buffer, rootFingerprint: string, now: Date): AttestationDocument {
  try {
    return verifyAttestationDocument(bytes, { rootFingerprint, now, maxAgeMs: MAX_DOCUMENT_AGE_MS })
  } catch (cause) {
    if (!(cause instanceof AttestationError)) throw cause
    const message = `The attestation document is refused (${cause.code}): ${cause.message}`
    throw new KmsError("ValidationException", message, { cause })
  }
}

function isRsa2048(spki: Uint8Array): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" })
    return key.asymmetricKeyType === "rsa" && key.asymmetricKeyDetails?.modulusLength === 2048
  } catch {
    return false
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex")
}
