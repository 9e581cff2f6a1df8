/** CiphertextForRecipient that deviates in one place, is cut, flipped or made up: refused by code. */
import {
  constants,
  createCipheriv,
  createHash,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
} from "node:crypto"
import { describe, expect, it } from "vitest"
import { openEnvelopedData, parseEnvelopedData } from "../../enclave/kms/cms.js"
import { sealToRecipient } from "../../sim/kms/cms.js"
import { codeOf } from "../shared/codes.js"
import { constructed, encodeTlv, parseTlv, primitive, type Tlv, within } from "./ber.js"

const PEM = Buffer.from(`-----BEGIN PRIVATE KEY-----\n${"k".repeat(1700)}\n`)
const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
const spki = publicKey.export({ type: "spki", format: "der" })
const identifier = createHash("sha256").update(spki).digest()
const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 })
const strangerSpki = stranger.publicKey.export({ type: "spki", format: "der" })

const open = (cms: Uint8Array) => openEnvelopedData(cms, privateKey, spki)
const opening = (cms: Uint8Array) => codeOf(() => open(cms))
const CODES = ["malformed-cms", "unsupported-cms", "wrong-recipient", "cms-decryption"]

/** The places in a message that a test changes. */
interface Places {
  contentInfo: Tlv[]
  enveloped: Tlv[]
  recipientInfos: Tlv[]
  recipient: Tlv[]
  oaep: Tlv[]
  parameters: Tlv[]
  content: Tlv[]
  cipher: Tlv[]
}

/** A good message with one change, sealed so that nothing but the change can be at fault. */
function deviating(change: (places: Places) => void, shape: "constructed" | "primitive"): Buffer {
  const message = parseTlv(sealToRecipient(PEM, spki, shape, 1024))
  const contentInfo = within(message)
  const enveloped = within(within(contentInfo[1])[0])
  const recipientInfos = within(enveloped[1])
  const recipient = within(recipientInfos[0])
  const oaep = within(recipient[2])
  const content = within(enveloped[2])
  change({
    contentInfo,
    enveloped,
    recipientInfos,
    recipient,
    oaep,
    parameters: within(oaep[1]),
    content,
    cipher: within(content[1]),
  })
  return encodeTlv(message)
}

const NULL = primitive(0x05, "")
const SHA256 = primitive(0x06, "608648016503040201")
const SHA384 = primitive(0x06, "608648016503040202")
const MGF1 = primitive(0x06, "2a864886f70d010108")

describe.each(["constructed", "primitive"] as const)("a %s message", (shape) => {
  it("opens when nothing is changed", () => {
    expect(open(deviating(() => {}, shape)).equals(PEM)).toBe(true)
  })

  const malformed: [string, (places: Places) => void][] = [
    ["no content", (p) => p.contentInfo.pop()],
    ["content of another tag", (p) => Object.assign(p.contentInfo[1] ?? {}, { tag: 0xa1 })],
    ["a third part of ContentInfo", (p) => p.contentInfo.push(NULL)],
    ["an integer for contentType", (p) => p.contentInfo.splice(0, 1, primitive(2, "02"))],
    ["originatorInfo", (p) => p.enveloped.splice(1, 0, constructed(0xa0))],
    ["unprotected attributes", (p) => p.enveloped.push(constructed(0xa1))],
    ["no recipients", (p) => p.recipientInfos.pop()],
    ["two recipients", (p) => p.recipientInfos.push(constructed(0x30, ...p.recipient))],
    ["recipients in a SEQUENCE", (p) => Object.assign(p.enveloped[1] ?? {}, { tag: 0x30 })],
    ["a recipient of another kind", (p) => Object.assign(p.recipientInfos[0] ?? {}, { tag: 0xa2 })],
    ["a recipient of three parts", (p) => p.recipient.pop()],
    ["a constructed identifier", (p) => p.recipient.splice(1, 1, constructed(0xa0, NULL))],
    ["a key that is no OCTET STRING", (p) => p.recipient.splice(3, 1, primitive(3, "00"))],
    ["OAEP without parameters", (p) => p.oaep.pop()],
    ["OAEP parameters NULL", (p) => p.oaep.splice(1, 1, NULL)],
    ["OAEP with default hash", (p) => p.parameters.shift()],
    ["OAEP with default MGF", (p) => p.parameters.pop()],
    ["an OAEP label", (p) => p.parameters.push(constructed(0xa2, NULL))],
    [
      "a hash with parameters that are not NULL",
      (p) =>
        p.parameters.splice(0, 1, constructed(0xa0, constructed(0x30, SHA256, primitive(4, "00")))),
    ],
    [
      "a hash in a SET",
      (p) => p.parameters.splice(0, 1, constructed(0xa0, constructed(0x31, SHA256, NULL))),
    ],
    ["an IV of 15 bytes", (p) => p.cipher.splice(1, 1, primitive(4, "00".repeat(15)))],
    ["an IV of 17 bytes", (p) => p.cipher.splice(1, 1, primitive(4, "00".repeat(17)))],
    ["no IV", (p) => p.cipher.pop()],
    ["an IV that is NULL", (p) => p.cipher.splice(1, 1, NULL)],
    ["no encrypted content", (p) => p.content.pop()],
    ["encrypted content of tag 1", (p) => p.content.splice(2, 1, primitive(0x81, "00".repeat(16)))],
    [
      "content of another type",
      (p) => p.content.splice(2, 1, constructed(0xa0, primitive(2, "00"))),
    ],
    [
      "content nested twice",
      (p) => p.content.splice(2, 1, constructed(0xa0, constructed(0x24, primitive(4, "00")))),
    ],
  ]
  it.each(malformed)("with %s is malformed", (_name, change) => {
    expect(opening(deviating(change, shape))).toBe("malformed-cms")
  })

  const unsupported: [string, (places: Places) => void][] = [
    ["SignedData", (p) => p.contentInfo.splice(0, 1, primitive(6, "2a864886f70d010702"))],
    ["EnvelopedData version 0", (p) => p.enveloped.splice(0, 1, primitive(2, "00"))],
    ["EnvelopedData version 3", (p) => p.enveloped.splice(0, 1, primitive(2, "03"))],
    ["version 2 in two bytes", (p) => p.enveloped.splice(0, 1, primitive(2, "0002"))],
    ["a version that is no INTEGER", (p) => p.enveloped.splice(0, 1, primitive(0x0a, "02"))],
    ["recipient version 0", (p) => p.recipient.splice(0, 1, primitive(2, "00"))],
    ["issuer and serial number", (p) => p.recipient.splice(1, 1, constructed(0x30, NULL, NULL))],
    ["an identifier of tag 1", (p) => p.recipient.splice(1, 1, primitive(0x81, "00"))],
    ["rsaEncryption", (p) => p.oaep.splice(0, 1, primitive(6, "2a864886f70d010101"))],
    [
      "OAEP of SHA-384",
      (p) => p.parameters.splice(0, 1, constructed(0xa0, constructed(0x30, SHA384, NULL))),
    ],
    [
      "MGF1 of SHA-384",
      (p) =>
        p.parameters.splice(
          1,
          1,
          constructed(0xa1, constructed(0x30, MGF1, constructed(0x30, SHA384, NULL))),
        ),
    ],
    [
      "another mask generation",
      (p) =>
        p.parameters.splice(
          1,
          1,
          constructed(0xa1, constructed(0x30, SHA256, constructed(0x30, SHA256, NULL))),
        ),
    ],
    [
      "content that is signed data",
      (p) => p.content.splice(0, 1, primitive(6, "2a864886f70d010702")),
    ],
    ["AES-256-GCM", (p) => p.cipher.splice(0, 1, primitive(6, "60864801650304012e"))],
    ["AES-256-ECB", (p) => p.cipher.splice(0, 1, primitive(6, "608648016503040129"))],
  ]
  it.each(unsupported)("with %s is unsupported", (_name, change) => {
    expect(opening(deviating(change, shape))).toBe("unsupported-cms")
  })

  it("opens with hash algorithms that leave NULL out", () => {
    const cms = deviating(({ parameters }) => {
      parameters.splice(
        0,
        2,
        constructed(0xa0, constructed(0x30, SHA256)),
        constructed(0xa1, constructed(0x30, MGF1, constructed(0x30, SHA256))),
      )
    }, shape)
    expect(open(cms).equals(PEM)).toBe(true)
  })

  it("is nobody's but the recipient's", () => {
    const theirs = sealToRecipient(PEM, strangerSpki, shape, 1024)
    expect(opening(theirs)).toBe("wrong-recipient")
    const renamed = deviating(({ recipient }) => {
      recipient.splice(1, 1, primitive(0x80, "00".repeat(32)))
    }, shape)
    expect(opening(renamed)).toBe("wrong-recipient")
    const short = deviating(({ recipient }) => {
      recipient.splice(1, 1, primitive(0x80, identifier.toString("hex").slice(0, -2)))
    }, shape)
    expect(opening(short)).toBe("wrong-recipient")
  })

  it("with a key, padding or length that is wrong is one and the same refusal", () => {
    const wrong: ((places: Places) => void)[] = [
      (p) => p.recipient.splice(3, 1, primitive(4, "00".repeat(256))),
      (p) => p.recipient.splice(3, 1, primitive(4, "")),
      (p) => p.recipient.splice(3, 1, keyOf(randomBytes(16))),
      (p) => p.recipient.splice(3, 1, keyOf(randomBytes(0))),
      (p) => p.content.splice(2, 1, primitive(0x80, "")),
      (p) => p.content.splice(2, 1, primitive(0x80, "00".repeat(17))),
      (p) => p.content.splice(2, 1, constructed(0xa0)),
      (p) => {
        const contentKey = randomBytes(32)
        p.recipient.splice(3, 1, keyOf(contentKey))
        p.content.splice(2, 1, primitive(0x80, badlyPadded(contentKey, p.cipher).toString("hex")))
      },
    ]
    for (const [at, change] of wrong.entries()) {
      expect(opening(deviating(change, shape)), `change ${at}`).toBe("cms-decryption")
    }
  })

  it("cut short anywhere or with a byte behind it is malformed", () => {
    const cms = sealToRecipient(PEM.subarray(0, 50), spki, shape, 16)
    for (let length = 0; length < cms.length; length++) {
      expect(opening(cms.subarray(0, length)), `${length} bytes`).toBe("malformed-cms")
    }
    expect(opening(Buffer.concat([cms, Buffer.of(0)]))).toBe("malformed-cms")
  })

  it("with any bit flipped is refused, or says what only the content's bits can change", () => {
    const plaintext = randomBytes(70)
    const cms = sealToRecipient(plaintext, spki, shape, 32)
    const { iv, encryptedContent } = parseEnvelopedData(cms)
    // CBC has no integrity: IV and ciphertext bits change the plaintext. TLS to KMS and the check
    // of the key against its certificate are what stands against that.
    const malleable = [iv, ...chunksOf(encryptedContent, shape === "primitive" ? 80 : 32)].map(
      (part) => ({ start: cms.indexOf(part), end: cms.indexOf(part) + part.length }),
    )
    for (let bit = 0; bit < cms.length * 8; bit++) {
      const changed = Buffer.from(cms)
      const at = bit >> 3
      changed[at] = (changed[at] ?? 0) ^ (1 << (bit & 7))
      try {
        const opened = open(changed)
        const inContent = malleable.some(({ start, end }) => at >= start && at < end)
        expect(inContent || opened.equals(plaintext), `bit ${bit}`).toBe(true)
      } catch (error) {
        expect(CODES, `bit ${bit}: ${error}`).toContain((error as { code?: string }).code)
      }
    }
  })
})

describe("a message of any size", () => {
  it("is at most 6144 bytes, KMS's limit", () => {
    expect(opening(Buffer.alloc(0))).toBe("malformed-cms")
    expect(opening(Buffer.alloc(6145))).toBe("malformed-cms")
    const largest = sealToRecipient(Buffer.alloc(5600, 1), spki, "primitive", 1024)
    expect(largest.length).toBeLessThanOrEqual(6144)
    expect(open(largest)).toHaveLength(5600)
  })

  it("that nests as deep as it can is refused", () => {
    expect(opening(Buffer.alloc(6144, 0x30))).toBe("malformed-cms")
    const indefinite = Buffer.alloc(6144)
    for (let at = 0; at < 6144; at += 2) indefinite.writeUInt16BE(0x3080, at)
    expect(opening(indefinite)).toBe("malformed-cms")
  })

  it("of random bytes is refused", () => {
    for (let i = 0; i < 2_000; i++) {
      const bytes = randomBytes(1 + (i % 200))
      bytes[0] = 0x30
      expect(opening(bytes)).toBe("malformed-cms")
    }
  })
})

/** A content-encryption key under the recipient's, as encryptedKey. */
function keyOf(contentKey: Buffer): Tlv {
  const encrypted = publicEncrypt(
    { key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
    contentKey,
  )
  return primitive(4, encrypted.toString("hex"))
}

/** Two blocks whose padding is no PKCS #7. */
function badlyPadded(contentKey: Buffer, cipherNode: Tlv[]): Buffer {
  const iv = cipherNode[1]?.value as Buffer
  const cipher = createCipheriv("aes-256-cbc", contentKey, iv).setAutoPadding(false)
  return cipher.update(Buffer.alloc(32, 0x41))
}

function chunksOf(bytes: Buffer, size: number): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size))
  return chunks
}
