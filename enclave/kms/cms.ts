/**
 * Opens KMS's `CiphertextForRecipient`: CMS EnvelopedData (RFC 5652) with one recipient known by its
 * key identifier, RSAES-OAEP with SHA-256, content in AES-256-CBC. Nothing else is accepted.
 */
import {
  constants,
  createDecipheriv,
  createHash,
  type KeyObject,
  privateDecrypt,
} from "node:crypto"
import type forge from "node-forge"
import asn1 from "node-forge/lib/asn1.js"
import util from "node-forge/lib/util.js"
import { CodedError } from "../../shared/errors.js"

export type CmsErrorCode =
  | "malformed-cms"
  | "unsupported-cms"
  | "wrong-recipient"
  | "cms-decryption"

/** AWS KMS API reference: CiphertextForRecipient is 1 to 6144 bytes. */
const MAX_CMS_BYTES = 6_144
const OID = {
  envelopedData: "1.2.840.113549.1.7.3",
  data: "1.2.840.113549.1.7.1",
  rsaesOaep: "1.2.840.113549.1.1.7",
  mgf1: "1.2.840.113549.1.1.8",
  sha256: "2.16.840.1.101.3.4.2.1",
  aes256Cbc: "2.16.840.1.101.3.4.1.42",
} as const

type Node = forge.asn1.Asn1
const { Class, Type } = asn1

/** The parts of an EnvelopedData, still encrypted. */
export interface EnvelopedData {
  /** SHA-256 of the recipient's DER SubjectPublicKeyInfo. */
  subjectKeyIdentifier: Buffer
  /** Content-encryption key under the recipient's RSA key. */
  encryptedKey: Buffer
  iv: Buffer
  encryptedContent: Buffer
}

/**
 * Reads an EnvelopedData in BER: definite or indefinite lengths, primitive or constructed content.
 *
 * @throws CodedError `malformed-cms` for what is not such a structure, `unsupported-cms` for another
 *   version, recipient form or algorithm.
 */
export function parseEnvelopedData(ber: Uint8Array): EnvelopedData {
  if (ber.length === 0 || ber.length > MAX_CMS_BYTES) {
    throw malformed(`${ber.length} bytes; 1 to ${MAX_CMS_BYTES} are allowed`)
  }
  const contentInfo = parseBer(ber)
  const [contentType, content] = childrenOf(contentInfo, Type.SEQUENCE, "ContentInfo", 2)
  expectOid(contentType, OID.envelopedData, "contentType")
  const [enveloped] = contextChildren(content, 0, "content", 1)
  const [version, recipientInfos, contentInfos] = childrenOf(
    enveloped,
    Type.SEQUENCE,
    "EnvelopedData",
    3,
  )
  expectVersion(version, 2, "EnvelopedData")
  const [recipient] = childrenOf(recipientInfos, Type.SET, "recipientInfos", 1)
  return { ...readRecipient(recipient), ...readContent(contentInfos) }
}

/**
 * Decrypts an EnvelopedData meant for `recipientKey`.
 *
 * @param publicKey - the recipient's DER SubjectPublicKeyInfo
 * @returns the content; the caller wipes it.
 * @throws CodedError as {@link parseEnvelopedData}; `wrong-recipient`; `cms-decryption`, without
 *   telling padding and key errors apart.
 */
export function openEnvelopedData(
  ber: Uint8Array,
  recipientKey: KeyObject,
  publicKey: Uint8Array,
): Buffer {
  const enveloped = parseEnvelopedData(ber)
  const expected = createHash("sha256").update(publicKey).digest()
  if (!enveloped.subjectKeyIdentifier.equals(expected)) {
    throw new CodedError("wrong-recipient", "the CMS is encrypted to another recipient's key")
  }
  let contentKey: Buffer | undefined
  try {
    contentKey = privateDecrypt(
      { key: recipientKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
      enveloped.encryptedKey,
    )
    return decryptContent(contentKey, enveloped)
  } catch (cause) {
    throw new CodedError("cms-decryption", "the CMS cannot be decrypted", { cause })
  } finally {
    contentKey?.fill(0)
  }
}

function decryptContent(contentKey: Buffer, { iv, encryptedContent }: EnvelopedData): Buffer {
  const decipher = createDecipheriv("aes-256-cbc", contentKey, iv)
  const head = decipher.update(encryptedContent)
  let tail: Buffer | undefined
  try {
    tail = decipher.final()
    const content = Buffer.alloc(head.length + tail.length)
    head.copy(content, 0)
    tail.copy(content, head.length)
    return content
  } finally {
    head.fill(0)
    tail?.fill(0)
  }
}

function readRecipient(node: Node): Pick<EnvelopedData, "subjectKeyIdentifier" | "encryptedKey"> {
  const [version, identifier, algorithm, encryptedKey] = childrenOf(
    node,
    Type.SEQUENCE,
    "KeyTransRecipientInfo",
    4,
  )
  expectVersion(version, 2, "KeyTransRecipientInfo")
  if (identifier.tagClass !== Class.CONTEXT_SPECIFIC || Number(identifier.type) !== 0) {
    throw unsupported("the recipient is not named by a subjectKeyIdentifier")
  }
  const [oaep, parameters] = childrenOf(algorithm, Type.SEQUENCE, "keyEncryptionAlgorithm", 2)
  expectOid(oaep, OID.rsaesOaep, "keyEncryptionAlgorithm")
  const [hash, maskGeneration] = childrenOf(parameters, Type.SEQUENCE, "RSAES-OAEP-params", 2)
  const [hashAlgorithm] = contextChildren(hash, 0, "OAEP hash", 1)
  expectSha256(hashAlgorithm, "OAEP hash")
  const [mgf] = contextChildren(maskGeneration, 1, "OAEP mask generation", 1)
  const [mgf1, mgfHash] = childrenOf(mgf, Type.SEQUENCE, "OAEP mask generation", 2)
  expectOid(mgf1, OID.mgf1, "OAEP mask generation")
  expectSha256(mgfHash, "MGF1 hash")
  return {
    subjectKeyIdentifier: primitive(identifier, "subjectKeyIdentifier"),
    encryptedKey: octets(encryptedKey, "encryptedKey"),
  }
}

function readContent(node: Node): Pick<EnvelopedData, "iv" | "encryptedContent"> {
  const [type, algorithm, content] = childrenOf(node, Type.SEQUENCE, "EncryptedContentInfo", 3)
  expectOid(type, OID.data, "encrypted content")
  const [cipher, ivNode] = childrenOf(algorithm, Type.SEQUENCE, "contentEncryptionAlgorithm", 2)
  expectOid(cipher, OID.aes256Cbc, "contentEncryptionAlgorithm")
  const iv = octets(ivNode, "IV")
  if (iv.length !== 16) throw malformed("an IV that is not 16 bytes")
  if (content.tagClass !== Class.CONTEXT_SPECIFIC || Number(content.type) !== 0) {
    throw malformed("encryptedContent is missing")
  }
  const encryptedContent = content.constructed
    ? Buffer.concat(nodesOf(content).map((part) => octets(part, "encryptedContent")))
    : primitive(content, "encryptedContent")
  return { iv, encryptedContent }
}

function parseBer(ber: Uint8Array): Node {
  try {
    // forge takes "binary" strings; what stands here is ciphertext, no secret.
    return asn1.fromDer(util.createBuffer(Buffer.from(ber).toString("latin1")))
  } catch (cause) {
    throw malformed("not BER, or bytes left over", cause)
  }
}

function nodesOf(node: Node): Node[] {
  return Array.isArray(node.value) ? node.value : []
}

/** The children of a universal constructed node; there must be exactly `count`. */
function childrenOf<Count extends 1 | 2 | 3 | 4>(
  node: Node,
  type: forge.asn1.Type,
  what: string,
  count: Count,
): Fixed<Count> {
  if (node.tagClass !== Class.UNIVERSAL || node.type !== type || !Array.isArray(node.value)) {
    throw malformed(`${what} is missing or of another type`)
  }
  return exactly(node, what, count)
}

/** The children of a constructed context-specific node `[tag]`. */
function contextChildren<Count extends 1 | 2 | 3 | 4>(
  node: Node,
  tag: number,
  what: string,
  count: Count,
): Fixed<Count> {
  const matches = node.tagClass === Class.CONTEXT_SPECIFIC && Number(node.type) === tag
  if (!matches || !Array.isArray(node.value)) throw malformed(`${what} is missing`)
  return exactly(node, what, count)
}

interface FixedNodes {
  1: [Node]
  2: [Node, Node]
  3: [Node, Node, Node]
  4: [Node, Node, Node, Node]
}
type Fixed<Count extends 1 | 2 | 3 | 4> = FixedNodes[Count]

function exactly<Count extends 1 | 2 | 3 | 4>(
  node: Node,
  what: string,
  count: Count,
): Fixed<Count> {
  const children = nodesOf(node)
  if (children.length !== count) {
    throw malformed(`${what} has ${children.length} parts, not ${count}`)
  }
  return children as Fixed<Count>
}

function primitive(node: Node, what: string): Buffer {
  if (typeof node.value !== "string") throw malformed(`${what} is not primitive`)
  return Buffer.from(node.value, "latin1")
}

function octets(node: Node, what: string): Buffer {
  if (node.tagClass !== Class.UNIVERSAL || node.type !== Type.OCTETSTRING) {
    throw malformed(`${what} is not an OCTET STRING`)
  }
  return primitive(node, what)
}

function expectVersion(node: Node, version: number, what: string): void {
  const isInteger = node.tagClass === Class.UNIVERSAL && node.type === Type.INTEGER
  if (!isInteger || !primitive(node, `${what} version`).equals(Buffer.from([version]))) {
    throw unsupported(`${what} is not of version ${version}`)
  }
}

function expectOid(node: Node, oid: string, what: string): void {
  if (node.tagClass !== Class.UNIVERSAL || node.type !== Type.OID) {
    throw malformed(`${what} has no object identifier`)
  }
  const found = asn1.derToOid(util.createBuffer(primitive(node, what).toString("latin1")))
  if (found !== oid) throw unsupported(`${what} is ${found}, not ${oid}`)
}

/** AlgorithmIdentifier of SHA-256, with or without NULL parameters. */
function expectSha256(node: Node, what: string): void {
  const isSequence = node.tagClass === Class.UNIVERSAL && node.type === Type.SEQUENCE
  const [algorithm, parameters, ...more] = isSequence ? nodesOf(node) : []
  if (algorithm === undefined || more.length > 0) throw malformed(`${what} is malformed`)
  expectOid(algorithm, OID.sha256, what)
  if (parameters !== undefined && !isNull(parameters)) {
    throw malformed(`${what} has parameters other than NULL`)
  }
}

function isNull(node: Node): boolean {
  return node.tagClass === Class.UNIVERSAL && node.type === Type.NULL && node.value === ""
}

function malformed(reason: string, cause?: unknown): CodedError<CmsErrorCode> {
  return new CodedError("malformed-cms", `malformed CMS EnvelopedData: ${reason}`, { cause })
}

function unsupported(reason: string): CodedError<CmsErrorCode> {
  return new CodedError("unsupported-cms", `unsupported CMS EnvelopedData: ${reason}`)
}
