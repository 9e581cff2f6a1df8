/** Attestation documents under a root of the test's own, honest or hostile in one chosen way. */
import type { webcrypto } from "node:crypto"
import { createHash } from "node:crypto"
import {
  type Extension,
  generateKeys,
  issueCertificate,
  KeyUsageFlags,
} from "../../sim/nsm/certificates.js"
import { encodePayload, type PayloadForm, signDocument } from "../../sim/nsm/document.js"

export const NOW = new Date("2026-03-01T12:00:00.000Z")
const HOUR_MS = 3_600_000

/** One certificate of a path; whatever is left out is as it should be. */
export interface CertificateSpec {
  name: string
  issuerName?: string
  authority?: { pathLen?: number } | null
  keyUsage?: KeyUsageFlags
  curve?: "P-256" | "P-384"
  hash?: "SHA-256" | "SHA-384"
  constraintsCritical?: boolean
  extraExtensions?: readonly Extension[]
  notBefore?: Date
  notAfter?: Date
}

export interface ForgedPath {
  rootFingerprint: string
  /** DER, the root first. */
  cabundle: Buffer[]
  certificate: Buffer
  keys: webcrypto.CryptoKeyPair
}

/** root → regional → zonal → instance → leaf, as AWS has them. */
export const HONEST_PATH: readonly CertificateSpec[] = [
  { name: "root", authority: {} },
  { name: "regional", authority: { pathLen: 2 } },
  { name: "zonal", authority: { pathLen: 1 } },
  { name: "instance", authority: { pathLen: 0 }, keyUsage: KeyUsageFlags.keyCertSign },
  { name: "leaf", authority: null },
]

/** The honest path with one certificate changed. */
export function pathWith(name: string, change: Partial<CertificateSpec>): CertificateSpec[] {
  return HONEST_PATH.map((spec) => (spec.name === name ? { ...spec, ...change } : spec))
}

/** Issues each certificate of a path by the one before it; the first signs itself. */
export async function forgePath(
  specs: readonly CertificateSpec[] = HONEST_PATH,
): Promise<ForgedPath> {
  const path: Buffer[] = []
  let issuer: { name: string; keys: webcrypto.CryptoKeyPair } | undefined
  for (const spec of specs) {
    const keys = await generateKeys(spec.curve)
    const authority = spec.authority === undefined ? null : spec.authority
    issuer ??= { name: spec.name, keys }
    path.push(
      await issueCertificate({
        subject: `CN=${spec.name}`,
        issuer: `CN=${spec.issuerName ?? issuer.name}`,
        publicKey: keys.publicKey,
        signingKey: issuer.keys,
        notBefore: spec.notBefore ?? new Date(NOW.getTime() - HOUR_MS),
        notAfter: spec.notAfter ?? new Date(NOW.getTime() + HOUR_MS),
        keyUsage:
          spec.keyUsage ??
          (authority === null ? KeyUsageFlags.digitalSignature : KeyUsageFlags.keyCertSign),
        authority,
        ...(spec.constraintsCritical === undefined
          ? {}
          : { constraintsCritical: spec.constraintsCritical }),
        ...(spec.extraExtensions === undefined ? {} : { extraExtensions: spec.extraExtensions }),
        ...(spec.hash === undefined ? {} : { hash: spec.hash }),
      }),
    )
    issuer = { name: spec.name, keys }
  }
  const [root] = path
  const certificate = path.at(-1)
  if (root === undefined || certificate === undefined || issuer === undefined) {
    throw new RangeError("a path has certificates")
  }
  return {
    rootFingerprint: createHash("sha256").update(root).digest("hex"),
    cabundle: path.slice(0, -1),
    certificate,
    keys: issuer.keys,
  }
}

/** The payload of a well-formed document; `change` replaces fields, undefined removes one. */
export function payloadOf(
  path: ForgedPath,
  change: Readonly<Record<string, unknown>> = {},
): Map<string, unknown> {
  const fields = new Map<string, unknown>([
    ["module_id", "i-0123456789abcdef0-enc0123456789abcdef"],
    ["digest", "SHA384"],
    ["timestamp", BigInt(NOW.getTime())],
    [
      "pcrs",
      new Map(Array.from({ length: 16 }, (_, index) => [index, Buffer.alloc(48, index + 1)])),
    ],
    ["certificate", path.certificate],
    ["cabundle", path.cabundle],
    ["public_key", null],
    ["user_data", Buffer.from("user data")],
    ["nonce", Buffer.alloc(16, 7)],
  ])
  for (const [name, value] of Object.entries(change)) {
    if (value === undefined) fields.delete(name)
    else fields.set(name, value)
  }
  return fields
}

/** A signed document with the payload of {@link payloadOf}. */
export function forgeDocument(
  path: ForgedPath,
  change: Readonly<Record<string, unknown>> = {},
  form: PayloadForm = "definite",
): Promise<Buffer> {
  return signDocument(encodePayload(payloadOf(path, change), form), path.keys.privateKey)
}
