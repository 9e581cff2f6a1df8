/**
 * Seals bytes to a recipient's RSA key as KMS's CiphertextForRecipient: CMS EnvelopedData (RFC
 * 5652) in BER, RSAES-OAEP with SHA-256, AES-256-CBC, in the two shapes that AWS has been seen to
 * send.
 */
import {
  constants,
  createCipheriv,
  createHash,
  createPublicKey,
  publicEncrypt,
  randomBytes,
} from "node:crypto"

/** How encryptedContent is encoded: `[0]` constructed of OCTET STRINGs, or primitive. */
export type CmsShape = "constructed" | "primitive"

const INTEGER = 0x02
const OCTET_STRING = 0x04
const NULL = 0x05
const OID = 0x06
const SEQUENCE = 0x30
const SET = 0x31
const CONTEXT_0_PRIMITIVE = 0x80
const CONTEXT_0 = 0xa0
const CONTEXT_1 = 0xa1
const END_OF_CONTENTS = Buffer.from([0, 0])

const OID_ENVELOPED_DATA = oid("2a864886f70d010703")
const OID_DATA = oid("2a864886f70d010701")
const OID_RSAES_OAEP = oid("2a864886f70d010107")
const OID_MGF1 = oid("2a864886f70d010108")
const OID_SHA256 = oid("608648016503040201")
const OID_AES_256_CBC = oid("60864801650304012a")
const VERSION_2 = tlv(INTEGER, Buffer.from([2]))
const SHA256_ALGORITHM = tlv(SEQUENCE, OID_SHA256, tlv(NULL))

/**
 * Seals `plaintext` to `recipientSpki`.
 *
 * @param recipientSpki - RSA public key, DER SubjectPublicKeyInfo.
 * @param chunkBytes - longest OCTET STRING of the constructed shape.
 */
export function sealToRecipient(
  plaintext: Uint8Array,
  recipientSpki: Uint8Array,
  shape: CmsShape,
  chunkBytes: number,
): Buffer {
  const contentKey = randomBytes(32)
  const iv = randomBytes(16)
  const cipher = createCipheriv("aes-256-cbc", contentKey, iv)
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()])
  const sealed = indefinite(
    SEQUENCE,
    OID_ENVELOPED_DATA,
    indefinite(
      CONTEXT_0,
      indefinite(
        SEQUENCE,
        VERSION_2,
        tlv(SET, recipientInfo(contentKey, recipientSpki)),
        indefinite(
          SEQUENCE,
          OID_DATA,
          tlv(SEQUENCE, OID_AES_256_CBC, tlv(OCTET_STRING, iv)),
          encryptedContent(ciphertext, shape, chunkBytes),
        ),
      ),
    ),
  )
  contentKey.fill(0)
  return sealed
}

/** KeyTransRecipientInfo, version 2: the key is named by the SHA-256 of its SPKI. */
function recipientInfo(contentKey: Uint8Array, recipientSpki: Uint8Array): Buffer {
  const key = createPublicKey({ key: Buffer.from(recipientSpki), format: "der", type: "spki" })
  const encryptedKey = publicEncrypt(
    { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
    contentKey,
  )
  const parameters = tlv(
    SEQUENCE,
    tlv(CONTEXT_0, SHA256_ALGORITHM),
    tlv(CONTEXT_1, tlv(SEQUENCE, OID_MGF1, SHA256_ALGORITHM)),
  )
  return tlv(
    SEQUENCE,
    VERSION_2,
    tlv(CONTEXT_0_PRIMITIVE, createHash("sha256").update(recipientSpki).digest()),
    tlv(SEQUENCE, OID_RSAES_OAEP, parameters),
    tlv(OCTET_STRING, encryptedKey),
  )
}

function encryptedContent(ciphertext: Buffer, shape: CmsShape, chunkBytes: number): Buffer {
  if (shape === "primitive") return tlv(CONTEXT_0_PRIMITIVE, ciphertext)
  const chunks: Buffer[] = []
  for (let at = 0; at < ciphertext.length; at += chunkBytes) {
    chunks.push(tlv(OCTET_STRING, ciphertext.subarray(at, at + chunkBytes)))
  }
  return indefinite(CONTEXT_0, ...chunks)
}

function oid(bodyHex: string): Buffer {
  return tlv(OID, Buffer.from(bodyHex, "hex"))
}

function tlv(tag: number, ...contents: Buffer[]): Buffer {
  const length = contents.reduce((sum, { length }) => sum + length, 0)
  return Buffer.concat([Buffer.from([tag, ...encodeLength(length)]), ...contents])
}

function indefinite(tag: number, ...contents: Buffer[]): Buffer {
  return Buffer.concat([Buffer.from([tag, 0x80]), ...contents, END_OF_CONTENTS])
}

/** DER length octets, X.690 §8.1.3. */
function encodeLength(length: number): number[] {
  if (length < 0x80) return [length]
  if (length < 0x100) return [0x81, length]
  return [0x82, length >> 8, length & 0xff]
}
