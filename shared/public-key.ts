/** How keys and certificates are named on both sides of the vsock: by the SHA-256 of their DER. */
import { createHash, type KeyObject, type X509Certificate } from "node:crypto"

/** SHA-256 of the DER of a SubjectPublicKeyInfo or of a certificate, 32 bytes. */
export function fingerprintOf(der: Uint8Array): Buffer {
  return createHash("sha256").update(der).digest()
}

/** DER SubjectPublicKeyInfo of a certificate's public key. */
export function publicKeyOf(certificate: X509Certificate): Buffer {
  return exportSpki(certificate.publicKey)
}

/** DER SubjectPublicKeyInfo of a public key. */
export function exportSpki(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" })
}

/** Key of the encryption context that ties a sealed private key to its certificate's public key. */
export const SPKI_CONTEXT_KEY = "tlskeep:spki-sha256"

/** The encryption context under which the private key of a certificate is sealed. */
export function encryptionContextFor(certificate: X509Certificate): Record<string, string> {
  return { [SPKI_CONTEXT_KEY]: fingerprintOf(publicKeyOf(certificate)).toString("hex") }
}
