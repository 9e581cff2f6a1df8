/**
 * The key object: the JSON that ACM for Nitro Enclaves publishes in S3 and `tlskeep seal` writes.
 * Ours adds two optional fields that say how the private key was encrypted.
 */
import { X509Certificate } from "node:crypto"
import { z } from "zod"
import { KMS_KEY_ARN } from "../../shared/protocol/control.js"
import { MAX_ENCRYPTED_KEY_BYTES } from "../../shared/protocol/limits.js"
import { AgentError } from "../errors.js"

/** A key object as one looks at it: certificates in order, ciphertext decoded. */
export interface KeyObject {
  /** Leaf first, each issued by the next. */
  certificates: X509Certificate[]
  /** KMS ciphertext whose plaintext is the private key in PEM. */
  encryptedPrivateKey: Buffer
  /** ARN of the KMS key, where the object says it. */
  keyId: string | null
  encryptionContext: Record<string, string> | null
}

const text = z.string().min(1)
const keyObjectSchema = z.looseObject({
  certificate: text,
  certificateChain: z.string(),
  encryptedPrivateKey: z.base64().min(1),
  encryptionMethod: z.string(),
  encryptionKmsKeyId: z.string().regex(KMS_KEY_ARN).optional(),
  encryptionContext: z.record(z.string(), z.string()).optional(),
})

/** What `tlskeep seal` writes. */
export type KeyObjectJson = z.output<typeof keyObjectSchema>

/**
 * Parses a key object.
 *
 * @param name - what to call the object in messages
 * @throws AgentError `key-object-not-json`, `key-object-malformed` naming the fields
 */
export function parseKeyObject(body: string, name: string): KeyObject {
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch (cause) {
    throw new AgentError("key-object-not-json", `${name} is not JSON`, {
      advice: "Point the source at an object that ACM or tlskeep seal wrote.",
      cause,
    })
  }
  const parsed = keyObjectSchema.safeParse(json)
  if (!parsed.success) {
    const fields = [...new Set(parsed.error.issues.map(({ path }) => String(path[0] ?? "object")))]
    throw malformed(name, `missing or malformed: ${fields.join(", ")}`, parsed.error)
  }
  const { certificate, certificateChain, encryptionKmsKeyId, encryptionContext } = parsed.data
  const encryptedPrivateKey = Buffer.from(parsed.data.encryptedPrivateKey, "base64")
  if (encryptedPrivateKey.length > MAX_ENCRYPTED_KEY_BYTES) {
    throw malformed(name, `encryptedPrivateKey has more than ${MAX_ENCRYPTED_KEY_BYTES} bytes`)
  }
  const [leaf, ...further] = readCertificates(name, "certificate", certificate)
  if (leaf === undefined) throw malformed(name, "certificate holds no PEM certificate")
  const chain = [...further, ...readCertificates(name, "certificateChain", certificateChain)]
  return {
    certificates: inOrder(leaf, chain),
    encryptedPrivateKey,
    keyId: encryptionKmsKeyId ?? null,
    encryptionContext: encryptionContext ?? null,
  }
}

/** A key object as JSON that {@link parseKeyObject} reads as the same one. */
export function writeKeyObject(object: KeyObject): string {
  const [certificate, ...chain] = object.certificates.map(String)
  return JSON.stringify({
    certificate,
    certificateChain: chain.join(""),
    encryptedPrivateKey: object.encryptedPrivateKey.toString("base64"),
    encryptionMethod: "SYMMETRIC_DEFAULT",
    ...(object.keyId === null ? {} : { encryptionKmsKeyId: object.keyId }),
    ...(object.encryptionContext === null ? {} : { encryptionContext: object.encryptionContext }),
  })
}

/** Whether both are the same key and certificates, as KMS would be asked for them. */
export function isSameObject(a: KeyObject, b: KeyObject): boolean {
  return writeKeyObject(a) === writeKeyObject(b)
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** Every certificate of a PEM text. */
export function certificatesOfPem(pem: string): X509Certificate[] {
  return [...pem.matchAll(PEM_CERTIFICATE)].map(([block]) => new X509Certificate(block))
}

/** The leaf and then whoever issued the one before; certificates outside that line are left out. */
export function inOrder(
  leaf: X509Certificate,
  others: readonly X509Certificate[],
): X509Certificate[] {
  const line = [leaf]
  const rest = new Set(others)
  for (let last: X509Certificate | undefined = leaf; last !== undefined; ) {
    const subject: X509Certificate = last
    last = [...rest].find((candidate) => subject.checkIssued(candidate) && !selfSigned(subject))
    if (last === undefined) break
    rest.delete(last)
    line.push(last)
  }
  return line
}

function selfSigned(certificate: X509Certificate): boolean {
  return certificate.checkIssued(certificate)
}

function readCertificates(name: string, field: string, pem: string): X509Certificate[] {
  try {
    return certificatesOfPem(pem)
  } catch (cause) {
    throw malformed(name, `${field} cannot be read as PEM certificates`, cause)
  }
}

function malformed(name: string, reason: string, cause?: unknown): AgentError {
  return new AgentError("key-object-malformed", `${name} is not a key object: ${reason}`, {
    advice: "It needs certificate, certificateChain, encryptedPrivateKey and encryptionMethod.",
    cause,
  })
}
