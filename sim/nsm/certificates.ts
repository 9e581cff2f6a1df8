/** Makes X.509 certificates as the AWS Nitro Attestation PKI has them: P-384, ecdsa-with-SHA384. */
import "reflect-metadata" // @peculiar/x509 does not load without it
import { webcrypto } from "node:crypto"
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  type Extension,
  type KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509"

export { Extension, KeyUsageFlags } from "@peculiar/x509"

/** What the Nitro PKI signs with, everywhere. */
export const ES384 = { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" } as const

/** A certificate to be made. The departures from the real PKI that it allows make hostile test data. */
export interface CertificateRequest {
  /** Distinguished names in RFC 4514 order. */
  subject: string
  issuer: string
  publicKey: webcrypto.CryptoKey
  /** Key of the issuer, and its public half (for the key identifier). */
  signingKey: webcrypto.CryptoKeyPair
  notBefore: Date
  notAfter: Date
  keyUsage: KeyUsageFlags
  /** null for an end entity. */
  authority: { pathLen?: number } | null
  /** Whether basic constraints are critical. Default: true. */
  constraintsCritical?: boolean
  /** Added behind the usual extensions. */
  extraExtensions?: readonly Extension[]
  /** Hash of the signature. Default: SHA-384. */
  hash?: "SHA-256" | "SHA-384"
}

/** Makes a P-384 key pair (or one on another curve, for hostile test data). */
export function generateKeys(
  namedCurve: "P-256" | "P-384" = "P-384",
): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve }, true, ["sign", "verify"])
}

/** Issues a certificate and returns its DER. Times are cut to whole seconds, as X.509 has them. */
export async function issueCertificate(request: CertificateRequest): Promise<Buffer> {
  const { authority, constraintsCritical = true } = request
  const extensions: Extension[] = [
    new BasicConstraintsExtension(authority !== null, authority?.pathLen, constraintsCritical),
    new KeyUsagesExtension(request.keyUsage, authority !== null),
  ]
  if (authority !== null) {
    extensions.push(
      await SubjectKeyIdentifierExtension.create(request.publicKey),
      await AuthorityKeyIdentifierExtension.create(request.signingKey.publicKey),
    )
  }
  const certificate = await X509CertificateGenerator.create({
    serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(16))).toString("hex"),
    subject: request.subject,
    issuer: request.issuer,
    notBefore: wholeSeconds(request.notBefore),
    notAfter: wholeSeconds(request.notAfter),
    publicKey: request.publicKey,
    signingKey: request.signingKey.privateKey,
    signingAlgorithm: { name: "ECDSA", hash: request.hash ?? "SHA-384" },
    extensions: [...extensions, ...(request.extraExtensions ?? [])],
  })
  return Buffer.from(certificate.rawData)
}

function wholeSeconds(date: Date): Date {
  return new Date(Math.floor(date.getTime() / 1000) * 1000)
}
