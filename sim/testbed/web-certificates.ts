/** A certificate authority for web servers under test, and certificates of every kind served. */
import "reflect-metadata" // @peculiar/x509 does not load without it
import { X509Certificate as NodeCertificate, webcrypto } from "node:crypto"
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509"

export const KEY_TYPES = ["RSA-2048", "P-256", "P-384"] as const
/** What Apache serves, and Ed25519, which few clients of the web take. */
export type KeyType = (typeof KEY_TYPES)[number] | "Ed25519"
/** Those, and longer RSA keys, which are signed with and not served. */
export type CertifiedKeyType = keyof typeof ALGORITHMS

/** PEM throughout. */
export interface WebCertificate {
  privateKey: string
  certificate: string
  chain: string
}

/** SHA-256 of a certificate's DER, lower-case hex. */
export function fingerprintOf({ certificate }: WebCertificate): string {
  return new NodeCertificate(certificate).fingerprint256.replaceAll(":", "").toLowerCase()
}

const DAY_MS = 86_400_000
const P256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const
const rsa = (modulusLength: number) => ({
  name: "RSASSA-PKCS1-v1_5",
  modulusLength,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: "SHA-256",
})
const ALGORITHMS = {
  "RSA-2048": rsa(2048),
  "RSA-3072": rsa(3072),
  "RSA-4096": rsa(4096),
  "P-256": P256,
  "P-384": { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" },
  Ed25519: { name: "Ed25519" },
} as const

interface Authority {
  certificate: X509Certificate
  keys: webcrypto.CryptoKeyPair
}

/** A root and an intermediate authority. */
export class WebAuthority {
  readonly #root: Authority
  readonly #intermediate: Authority

  private constructor(root: Authority, intermediate: Authority) {
    this.#root = root
    this.#intermediate = intermediate
  }

  static async create(): Promise<WebAuthority> {
    const root = await authority("CN=tlskeep testbed root")
    return new WebAuthority(root, await authority("CN=tlskeep testbed intermediate", root))
  }

  /** The root's certificate, PEM. */
  get rootPem(): string {
    return this.#root.certificate.toString("pem")
  }

  /** A fresh key and a certificate for a name, `localhost` and 127.0.0.1. */
  async issue(keyType: CertifiedKeyType, name = "localhost"): Promise<WebCertificate> {
    const keys = await makeKeys(ALGORITHMS[keyType])
    const certificate = await issue({
      subject: `CN=${name}`,
      keys,
      issuer: this.#intermediate,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new SubjectAlternativeNameExtension([
          ...[...new Set([name, "localhost"])].map((value) => ({ type: "dns" as const, value })),
          { type: "ip", value: "127.0.0.1" },
        ]),
      ],
    })
    const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)
    return {
      privateKey: `${PemConverter.encode(pkcs8, "PRIVATE KEY")}\n`,
      certificate: `${certificate.toString("pem")}\n`,
      chain: `${this.#intermediate.certificate.toString("pem")}\n`,
    }
  }
}

async function authority(subject: string, issuer?: Authority): Promise<Authority> {
  const keys = await makeKeys(P256)
  const extensions = [
    new BasicConstraintsExtension(true, issuer === undefined ? 1 : 0, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
  ]
  return { keys, certificate: await issue({ subject, keys, issuer, extensions }) }
}

async function issue(request: {
  subject: string
  keys: webcrypto.CryptoKeyPair
  issuer: Authority | undefined
  extensions: Extension[]
}): Promise<X509Certificate> {
  const { subject, keys, issuer } = request
  const signer = issuer?.keys ?? keys
  return X509CertificateGenerator.create({
    serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(8))).toString("hex"),
    subject,
    issuer: issuer?.certificate.subject ?? subject,
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + 47 * DAY_MS),
    publicKey: keys.publicKey,
    signingKey: signer.privateKey,
    signingAlgorithm: P256,
    extensions: [
      ...request.extensions,
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(signer.publicKey),
    ],
  })
}

/** All of these algorithms make pairs; the types cannot tell of the union. */
async function makeKeys(
  algorithm: (typeof ALGORITHMS)[CertifiedKeyType],
): Promise<webcrypto.CryptoKeyPair> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])
  return keys as webcrypto.CryptoKeyPair
}
