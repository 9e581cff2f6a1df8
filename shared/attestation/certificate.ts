/**
 * Reads one X.509 certificate of an attestation document: node:crypto for keys, names and dates, and
 * an ASN.1 walk for what node:crypto does not tell (extensions and their criticality, algorithms).
 */
import { type KeyObject, X509Certificate } from "node:crypto"
import type forge from "node-forge"
import asn1 from "node-forge/lib/asn1.js"
import { AttestationError } from "./errors.js"

/** Its typings know the boolean form only. Bit strings stay opaque: it would guess at ASN.1 in them. */
const fromDer = asn1.fromDer as unknown as (
  bytes: string,
  options: { strict: boolean; parseAllBytes: boolean; decodeBitStrings: boolean },
) => forge.asn1.Asn1

const OID_ECDSA_WITH_SHA384 = "1.2.840.10045.4.3.3"
const OID_BASIC_CONSTRAINTS = "2.5.29.19"
const OID_KEY_USAGE = "2.5.29.15"
/** X.509 version 3, as encoded. */
const VERSION_3 = 2

/** KeyUsage bits that the path rules look at, by position (RFC 5280 §4.2.1.3). */
const KEY_USAGES = new Map([
  [0, "digitalSignature"],
  [5, "keyCertSign"],
] as const)
export type KeyUsage = "digitalSignature" | "keyCertSign"

export interface BasicConstraints {
  critical: boolean
  ca: boolean
  /** CA certificates that may follow; null for any number. */
  pathLen: number | null
}

/** A certificate whose form and algorithms have been checked, its signature not. */
export interface Certificate {
  /** Where the document had it, for messages: `cabundle[2]` or `certificate`. */
  place: string
  x509: X509Certificate
  /** On P-384. */
  publicKey: KeyObject
  notBefore: Date
  notAfter: Date
  basicConstraints: BasicConstraints | null
  keyUsage: ReadonlySet<KeyUsage>
}

/**
 * Parses a certificate.
 *
 * @param der - Exactly one certificate, DER.
 * @param place - Its name in messages.
 * @throws {@link AttestationError} `invalid-chain` if it is unreadable or not of version 3, has an
 *   extension twice, or a critical one that is not understood here (RFC 5280 §4.2);
 *   `unsupported-algorithm` unless its key is on P-384 and it is signed with ecdsa-with-SHA384.
 */
export function parseCertificate(der: Uint8Array, place: string): Certificate {
  const x509 = parseX509(der, place)
  const publicKey = x509.publicKey
  const fields = reading(place, () => readFields(der))
  if (
    publicKey.asymmetricKeyType !== "ec" ||
    publicKey.asymmetricKeyDetails?.namedCurve !== "secp384r1"
  ) {
    throw new AttestationError("unsupported-algorithm", `the key of ${place} is not on P-384`)
  }
  if (fields.signatureAlgorithm !== OID_ECDSA_WITH_SHA384) {
    throw new AttestationError("unsupported-algorithm", `${place} is not signed with ES384`)
  }
  return {
    place,
    x509,
    publicKey,
    notBefore: new Date(x509.validFrom),
    notAfter: new Date(x509.validTo),
    ...reading(place, () => readExtensions(fields.extensions)),
  }
}

function parseX509(der: Uint8Array, place: string): X509Certificate {
  const x509 = reading(place, () => {
    const certificate = new X509Certificate(der)
    void certificate.publicKey // parsed on first use: an unreadable key must fail here
    return certificate
  })
  // X509Certificate reads PEM too, and stops at the certificate's end.
  if (Buffer.compare(x509.raw, der) !== 0) {
    throw new AttestationError("invalid-chain", `${place} is not exactly one DER certificate`)
  }
  return x509
}

/** Runs a parser of foreign bytes; whatever it throws means that the certificate is unreadable. */
function reading<T>(place: string, parse: () => T): T {
  try {
    return parse()
  } catch (cause) {
    throw new AttestationError("invalid-chain", `${place} is not a readable certificate`, { cause })
  }
}

interface Fields {
  signatureAlgorithm: string
  extensions: forge.asn1.Asn1[]
}

/** Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue } */
function readFields(der: Uint8Array): Fields {
  const [tbs, algorithm] = children(parseDer(Buffer.from(der).toString("latin1")))
  const fields = children(tbs)
  const explicit = (tag: number) =>
    fields.find((field) => field.tagClass === asn1.Class.CONTEXT_SPECIFIC && field.type === tag)
  if (integer(children(explicit(0))[0]) !== VERSION_3)
    throw new Error("not an X.509 v3 certificate")
  const extensions = explicit(3)
  return {
    signatureAlgorithm: oid(children(algorithm)[0]),
    extensions: extensions === undefined ? [] : children(children(extensions)[0]),
  }
}

/** Extension ::= SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING } */
function readExtensions(
  extensions: readonly forge.asn1.Asn1[],
): Pick<Certificate, "basicConstraints" | "keyUsage"> {
  const seen = new Set<string>()
  let basicConstraints: BasicConstraints | null = null
  let keyUsage: ReadonlySet<KeyUsage> = new Set()
  for (const extension of extensions) {
    const parts = children(extension)
    const id = oid(parts[0])
    const critical = parts.length === 3 && boolean(parts[1])
    const value = octets(parts[parts.length - 1], asn1.Type.OCTETSTRING)
    if (seen.has(id)) throw new Error(`extension ${id} given twice`)
    seen.add(id)
    if (id === OID_BASIC_CONSTRAINTS) basicConstraints = readBasicConstraints(value, critical)
    else if (id === OID_KEY_USAGE) keyUsage = readKeyUsage(value)
    else if (critical) throw new Error(`critical extension ${id} is not understood`)
  }
  return { basicConstraints, keyUsage }
}

/** BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL } */
function readBasicConstraints(value: string, critical: boolean): BasicConstraints {
  const parts = children(parseDer(value))
  const ca = parts[0]?.type === asn1.Type.BOOLEAN && boolean(parts.shift())
  const pathLen = parts.length > 0 ? integer(parts.shift()) : null
  if (parts.length > 0) throw new Error("basic constraints with a third field")
  return { critical, ca, pathLen }
}

/** KeyUsage ::= BIT STRING; its first byte counts the unused bits at the end. */
function readKeyUsage(value: string): ReadonlySet<KeyUsage> {
  const bits = Buffer.from(octets(parseDer(value), asn1.Type.BITSTRING), "latin1").subarray(1)
  const usages = new Set<KeyUsage>()
  for (const [position, usage] of KEY_USAGES) {
    const byte = bits[position >> 3] ?? 0
    if (byte & (0x80 >> (position & 7))) usages.add(usage)
  }
  return usages
}

function parseDer(bytes: string): forge.asn1.Asn1 {
  return fromDer(bytes, { strict: true, parseAllBytes: true, decodeBitStrings: false })
}

function children(node: forge.asn1.Asn1 | undefined): forge.asn1.Asn1[] {
  if (node === undefined || !Array.isArray(node.value)) throw new Error("a SEQUENCE is missing")
  return node.value
}

function octets(node: forge.asn1.Asn1 | undefined, type: forge.asn1.Type): string {
  if (node?.type !== type || typeof node.value !== "string") throw new Error("a value is missing")
  return node.value
}

function oid(node: forge.asn1.Asn1 | undefined): string {
  return asn1.derToOid(octets(node, asn1.Type.OID))
}

function boolean(node: forge.asn1.Asn1 | undefined): boolean {
  return octets(node, asn1.Type.BOOLEAN) === "\xff"
}

/** A small non-negative INTEGER: a version or a path length. */
function integer(node: forge.asn1.Asn1 | undefined): number {
  const value = octets(node, asn1.Type.INTEGER)
  if (value.length !== 1 || value.charCodeAt(0) > 127) throw new Error("an INTEGER out of range")
  return value.charCodeAt(0)
}
