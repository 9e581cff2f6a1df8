/** Keys, certificates and tokens for the enclave's tests. */
import "reflect-metadata"
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  generatePrimeSync,
  type KeyObject,
  webcrypto,
} from "node:crypto"
import * as x509 from "@peculiar/x509"
import type { TokenContent } from "../../enclave/token/token.js"
import { SigningKey } from "../../native/addon/index.js"
import { fingerprintOf } from "../../shared/public-key.js"

export type KeyName = "RSA-2048" | "P-256" | "P-384" | "Ed25519"

export interface TestKey {
  pem: Buffer
  privateKey: KeyObject
  publicKey: KeyObject
  /** DER SubjectPublicKeyInfo. */
  spki: Buffer
  fingerprint: Buffer
}

export function pairOf(name: KeyName | "RSA-1024" | "RSA-2049" | "P-521" | "Ed448"): {
  publicKey: KeyObject
  privateKey: KeyObject
} {
  if (name === "Ed25519") return generateKeyPairSync("ed25519")
  if (name === "RSA-2049") return oddRsa()
  if (name === "Ed448") return generateKeyPairSync("ed448")
  if (name.startsWith("P-")) return generateKeyPairSync("ec", { namedCurve: name })
  return generateKeyPairSync("rsa", { modulusLength: Number(name.slice(4)) })
}

/** An RSA key of 2049 bits, put together by hand: OpenSSL makes one of 2048 when asked for it. */
function oddRsa(): { publicKey: KeyObject; privateKey: KeyObject } {
  const e = 65_537n
  for (;;) {
    const p = generatePrimeSync(1025, { bigint: true })
    const q = generatePrimeSync(1024, { bigint: true })
    const n = p * q
    const phi = (p - 1n) * (q - 1n)
    if (n.toString(2).length !== 2049 || phi % e === 0n) continue
    const d = inverse(e, phi)
    const parts = { n, e, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) }
    const jwk = Object.fromEntries(Object.entries(parts).map(([name, it]) => [name, base64url(it)]))
    const privateKey = createPrivateKey({ key: { kty: "RSA", ...jwk }, format: "jwk" })
    return { publicKey: createPublicKey(privateKey), privateKey }
  }
}

/** The inverse of `a` modulo `m`, by Euclid's extended algorithm. */
function inverse(a: bigint, m: bigint): bigint {
  let [r0, r1, t0, t1] = [m, a % m, 0n, 1n]
  while (r1 !== 0n) {
    const quotient = r0 / r1
    ;[r0, r1, t0, t1] = [r1, r0 - quotient * r1, t1, t0 - quotient * t1]
  }
  return ((t0 % m) + m) % m
}

function base64url(value: bigint): string {
  const hex = value.toString(16)
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex").toString("base64url")
}

export function makeKey(name: Parameters<typeof pairOf>[0] = "P-256"): TestKey {
  const { publicKey, privateKey } = pairOf(name)
  const spki = publicKey.export({ type: "spki", format: "der" })
  const pem = Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" }))
  return { pem, privateKey, publicKey, spki, fingerprint: fingerprintOf(spki) }
}

/** A copy that the enclave may wipe or destroy. */
export function signingKey(key: TestKey): SigningKey {
  return SigningKey.fromPem(Buffer.from(key.pem))
}

function algorithmOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject) {
  if (asymmetricKeyType === "rsa") return { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }
  if (asymmetricKeyType === "ed25519") return { name: "Ed25519" }
  const namedCurve = asymmetricKeyDetails?.namedCurve === "secp384r1" ? "P-384" : "P-256"
  return { name: "ECDSA", namedCurve, hash: "SHA-256" }
}

/** A self-signed certificate, DER. `padding` bytes make it longer. */
export async function certify(key: TestKey, padding = 0): Promise<Buffer> {
  const algorithm = algorithmOf(key.publicKey)
  const pkcs8 = createPrivateKey(key.pem).export({ type: "pkcs8", format: "der" })
  const { subtle } = webcrypto
  const keys = {
    privateKey: await subtle.importKey("pkcs8", pkcs8, algorithm, true, ["sign"]),
    publicKey: await subtle.importKey("spki", key.spki, algorithm, true, ["verify"]),
  }
  x509.cryptoProvider.set(webcrypto)
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=www.example.org",
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 86_400_000),
    signingAlgorithm: algorithm,
    keys,
    extensions:
      padding === 0
        ? []
        : [new x509.Extension("1.3.6.1.4.1.99999.1", false, Buffer.alloc(padding))],
  })
  return Buffer.from(certificate.rawData)
}

export const KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"

/** What a store is given for a token. */
export function tokenContent(
  label: string,
  key: TestKey,
  more: Partial<TokenContent> = {},
): TokenContent {
  return {
    label,
    pin: "correct horse",
    certificates: [Buffer.from([0x30, 0])],
    key: signingKey(key),
    source: {
      ciphertext: Buffer.from([1]),
      keyId: KEY_ARN,
      region: "us-east-1",
      encryptionContext: null,
    },
    keyId: KEY_ARN,
    ...more,
  }
}

/** The DigestInfo prefixes of RFC 8017, 9.2 note 1, and those that the policy must not know. */
export const DIGEST_INFO = {
  "SHA-256": "3031300d060960864801650304020105000420",
  "SHA-384": "3041300d060960864801650304020205000430",
  "SHA-512": "3051300d060960864801650304020305000440",
  "SHA-1": "3021300906052b0e03021a05000414",
  MD5: "3020300c06082a864886f70d020505000410",
  "SHA-224": "302d300d06096086480165030402040500041c",
} as const

export function digestInfo(hash: keyof typeof DIGEST_INFO, digest: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(DIGEST_INFO[hash], "hex"), digest])
}
