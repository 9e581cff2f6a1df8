/**
 * The local certificate authority that stands for Amazon's public roots, and the server
 * certificates of the simulated services. P-256; made once per simulator directory and kept.
 */
import "reflect-metadata" // @peculiar/x509 does not load without it
import { randomBytes, webcrypto } from "node:crypto"
import * as x509 from "@peculiar/x509"
import { writeFileInOneStep } from "./files.js"
import { IAM_HOST, KMS_HOST, S3_HOST, type SimPaths } from "./paths.js"
import { hasIdentities, identityFiles, TLS_SERVICES, type TlsService } from "./server-identity.js"

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" }
const CA_NAME = "CN=tlskeep simulator CA, O=tlskeep simulator"
const CA_DAYS = 3650
/** Public CAs issue for at most 398 days, and some clients insist. */
const SERVER_DAYS = 397
const DAY_MS = 86_400_000

const SERVER_NAMES = {
  kms: [KMS_HOST, "localhost"],
  s3: [S3_HOST, `*.${S3_HOST}`, "localhost", "*.localhost"],
  iam: [IAM_HOST, "localhost"],
} as const satisfies Record<TlsService, readonly string[]>

x509.cryptoProvider.set(webcrypto)

/**
 * Makes the CA and the server certificates unless they are there. A directory made before one of
 * the services existed gets a new CA, since the old one's key is kept nowhere.
 */
export async function ensureCa(paths: SimPaths): Promise<void> {
  if (hasIdentities(paths)) return
  const caKeys = await generateKeys()
  const caCert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: CA_NAME,
    ...validFor(CA_DAYS),
    signingAlgorithm: ALGORITHM,
    keys: caKeys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  })
  for (const service of TLS_SERVICES) {
    await issueServerCertificate(paths, service, caCert, caKeys)
  }
  // Last, since its presence says that the rest is there. The CA's own key is kept nowhere.
  writeFileInOneStep(paths.caFile, `${caCert.toString("pem")}\n`)
}

async function issueServerCertificate(
  paths: SimPaths,
  service: TlsService,
  issuer: x509.X509Certificate,
  issuerKeys: webcrypto.CryptoKeyPair,
): Promise<void> {
  const names = SERVER_NAMES[service]
  const keys = await generateKeys()
  const cert = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${names[0]}`,
    issuer: issuer.subject,
    ...validFor(SERVER_DAYS),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: issuerKeys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([
        ...names.map((value) => ({ type: "dns" as const, value })),
        { type: "ip", value: "127.0.0.1" },
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(issuerKeys.publicKey),
    ],
  })
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)
  const { certFile, keyFile } = identityFiles(paths, service)
  writeFileInOneStep(keyFile, `${x509.PemConverter.encode(pkcs8, "PRIVATE KEY")}\n`, 0o600)
  writeFileInOneStep(certFile, `${cert.toString("pem")}\n`)
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, [
    "sign",
    "verify",
  ]) as Promise<webcrypto.CryptoKeyPair>
}

/** A positive serial number of 16 bytes, in hex (RFC 5280 §4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes.toString("hex")
}

function validFor(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now()
  return { notBefore: new Date(now - DAY_MS), notAfter: new Date(now + days * DAY_MS) }
}
