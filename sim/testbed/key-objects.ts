/** Key objects put into S3 by the services' APIs, where `tlskeep seal` would take a process for each. */
import { X509Certificate } from "node:crypto"
import { encryptionContextFor } from "../../shared/public-key.js"
import { encryptUnderKey, seedS3Object } from "../seed.js"
import type { WebCertificate } from "./web-certificates.js"

export interface KeyObjectSeed {
  /** The simulator's. */
  dir: string
  bucket: string
  key: string
  web: WebCertificate
  keyArn: string
}

/** Seals a private key as `tlskeep seal` does, and stores it with its certificate. */
export async function storeKeyObject(seed: KeyObjectSeed): Promise<void> {
  const { dir, bucket, key, web, keyArn } = seed
  const encryptionContext = encryptionContextFor(new X509Certificate(web.certificate))
  const plaintext = Buffer.from(web.privateKey)
  const encrypted = await encryptUnderKey({ dir, keyArn, plaintext, encryptionContext })
  const object = {
    certificate: web.certificate,
    certificateChain: web.chain,
    encryptedPrivateKey: Buffer.from(encrypted).toString("base64"),
    encryptionMethod: "SYMMETRIC_DEFAULT",
    encryptionKmsKeyId: keyArn,
    encryptionContext,
  }
  await seedS3Object({ dir, bucket, key, body: JSON.stringify(object) })
}
