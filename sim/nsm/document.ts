/** Encodes and signs attestation documents in the forms that real ones have. */
import { webcrypto } from "node:crypto"
import { Encoder } from "cbor-x"
import { encodeSigStructure } from "../../shared/attestation/cose.js"
import { cborInteger } from "../../shared/cbor.js"
import type { Leaf } from "./pki.js"

/** How the payload's map is encoded: definite until 2024, indefinite in documents of 2026. */
export type PayloadForm = "definite" | "indefinite"

/** What a document says; absent fields are written as null. */
export interface DocumentContent {
  moduleId: string
  timestamp: Date
  pcrs: ReadonlyMap<number, Uint8Array>
  publicKey: Uint8Array | null
  userData: Uint8Array | null
  nonce: Uint8Array | null
}

/** Maps keep their integer keys, byte strings carry no tag. */
const coder = new Encoder({
  useRecords: false,
  mapsAsObjects: false,
  variableMapSize: true,
  tagUint8Array: false,
})
const PROTECTED_ES384 = Uint8Array.of(0xa1, 0x01, 0x38, 0x22)

/** Encodes any CBOR value of the NSM. */
export function encodeNsmCbor(value: unknown): Buffer {
  return coder.encode(value)
}

/** The payload's fields in the order of real documents. */
export function payloadFields(content: DocumentContent, leaf: Leaf): Map<string, unknown> {
  return new Map<string, unknown>([
    ["module_id", content.moduleId],
    ["digest", "SHA384"],
    ["timestamp", cborInteger(content.timestamp.getTime())],
    ["pcrs", content.pcrs],
    ["certificate", leaf.certificate],
    ["cabundle", leaf.cabundle],
    ["public_key", content.publicKey],
    ["user_data", content.userData],
    ["nonce", content.nonce],
  ])
}

/** Encodes a payload's map in one of the two forms. */
export function encodePayload(fields: ReadonlyMap<string, unknown>, form: PayloadForm): Buffer {
  if (form === "definite") return encodeNsmCbor(fields)
  const entries = [...fields].flat().map(encodeNsmCbor)
  return Buffer.concat([Buffer.of(0xbf), ...entries, Buffer.of(0xff)])
}

/** Signs a payload: an untagged COSE_Sign1 with ES384 and an empty unprotected header. */
export async function signDocument(
  payload: Uint8Array,
  privateKey: webcrypto.CryptoKey,
): Promise<Buffer> {
  const signature = await webcrypto.subtle.sign(
    { name: "ECDSA", hash: "SHA-384" },
    privateKey,
    encodeSigStructure(PROTECTED_ES384, payload),
  )
  return encodeNsmCbor([PROTECTED_ES384, new Map(), payload, new Uint8Array(signature)])
}
