/** Packs a private key and its certificate into a key object, the private key under a KMS key. */
import { type KeyObject as CryptoKey, createPrivateKey, createPublicKey } from "node:crypto"
import { EncryptCommand, KMSClient } from "@aws-sdk/client-kms"
import { encryptionContextFor, exportSpki, publicKeyOf } from "../../shared/public-key.js"
import { AgentError } from "../errors.js"
import { certificatesOfPem, inOrder, type KeyObjectJson } from "../source/key-object.js"

export interface SealRequest {
  /** PEM; wiped by the caller. */
  privateKey: Buffer
  /** PEM: the leaf, and its chain if it is in the same file. */
  certificate: string
  /** PEM: the rest of the chain. */
  chain: string
  keyArn: string
  region: string
}

/** What one KMS request can encrypt (AWS KMS API reference, Encrypt). */
const MAX_PLAINTEXT_BYTES = 4_096
const CURVES = new Set(["prime256v1", "secp384r1"])

/**
 * Seals.
 *
 * @throws AgentError `seal-input-unreadable`, `seal-key-unsupported`, `seal-key-mismatch`,
 *   `seal-key-too-long`, `kms-encrypt-failed`
 */
export async function seal(request: SealRequest): Promise<KeyObjectJson> {
  const { privateKey, keyArn, region } = request
  const [leaf, ...others] = readCertificates(request)
  if (leaf === undefined) {
    throw new AgentError("seal-input-unreadable", "the certificate file holds no PEM certificate")
  }
  const publicKey = createPublicKey(readPrivateKey(privateKey))
  if (!exportSpki(publicKey).equals(publicKeyOf(leaf))) {
    throw new AgentError(
      "seal-key-mismatch",
      "the private key does not belong to the certificate",
      {
        advice: "Give the certificate first and its chain after it, or by --chain.",
      },
    )
  }
  if (privateKey.length > MAX_PLAINTEXT_BYTES) {
    throw new AgentError(
      "seal-key-too-long",
      `the private key's PEM has ${privateKey.length} bytes, KMS encrypts ${MAX_PLAINTEXT_BYTES}`,
      { advice: "Remove everything but the private key from the file." },
    )
  }
  const encryptionContext = encryptionContextFor(leaf)
  const encrypted = await encrypt(privateKey, keyArn, region, encryptionContext)
  const chain = inOrder(leaf, others).slice(1)
  return {
    certificate: leaf.toString(),
    certificateChain: chain.map((certificate) => certificate.toString()).join(""),
    encryptedPrivateKey: encrypted.toString("base64"),
    encryptionMethod: "SYMMETRIC_DEFAULT",
    encryptionKmsKeyId: keyArn,
    encryptionContext,
  }
}

function readCertificates({
  certificate,
  chain,
}: SealRequest): ReturnType<typeof certificatesOfPem> {
  try {
    return [...certificatesOfPem(certificate), ...certificatesOfPem(chain)]
  } catch (cause) {
    throw new AgentError("seal-input-unreadable", "a certificate cannot be read", {
      advice: "Give certificates in PEM.",
      cause,
    })
  }
}

function readPrivateKey(pem: Buffer): CryptoKey {
  let key: CryptoKey
  try {
    key = createPrivateKey(pem)
  } catch {
    // OpenSSL's reason is left out: it is of no use, and the input is a secret.
    throw new AgentError("seal-input-unreadable", "the private key cannot be read", {
      advice: "Give an unencrypted private key in PEM.",
    })
  }
  const { modulusLength = 0, namedCurve = "" } = key.asymmetricKeyDetails ?? {}
  const rsa = key.asymmetricKeyType === "rsa" && modulusLength >= 2_048 && modulusLength <= 4_096
  const ec = key.asymmetricKeyType === "ec" && CURVES.has(namedCurve)
  if (rsa || ec || key.asymmetricKeyType === "ed25519") return key
  throw new AgentError("seal-key-unsupported", "the private key is of a type that is not served", {
    advice: "Use an RSA key of 2048 to 4096 bits, P-256, P-384 or Ed25519.",
  })
}

async function encrypt(
  plaintext: Buffer,
  keyArn: string,
  region: string,
  context: Record<string, string>,
): Promise<Buffer> {
  const client = new KMSClient({ region })
  try {
    const { CiphertextBlob } = await client.send(
      new EncryptCommand({ KeyId: keyArn, Plaintext: plaintext, EncryptionContext: context }),
    )
    return Buffer.from(CiphertextBlob ?? [])
  } catch (cause) {
    const reason = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
    throw new AgentError("kms-encrypt-failed", `KMS did not encrypt: ${reason}`, {
      advice: `Allow the caller kms:Encrypt on ${keyArn}.`,
      cause,
    })
  } finally {
    client.destroy()
  }
}
