/** The document itself: COSE envelope, payload limits, freshness, PCRs and nonce. */
import { beforeAll, describe, expect, test } from "vitest"
import {
  decodeUnverifiedAttestationDocument,
  isDebugDocument,
  MAX_DOCUMENT_BYTES,
  type VerifyOptions,
  verifyAttestationDocument,
} from "../../shared/attestation/index.js"
import { generateKeys } from "../../sim/nsm/certificates.js"
import { encodeNsmCbor, encodePayload, signDocument } from "../../sim/nsm/document.js"
import { refusalCode } from "./codes.js"
import { type ForgedPath, forgeDocument, forgePath, NOW, payloadOf } from "./forge.js"

let path: ForgedPath
let document: Buffer

beforeAll(async () => {
  path = await forgePath()
  document = await forgeDocument(path)
})

function verify(bytes: Uint8Array, options: Partial<VerifyOptions> = {}) {
  return verifyAttestationDocument(bytes, {
    now: NOW,
    rootFingerprint: path.rootFingerprint,
    ...options,
  })
}

const codeOf = (bytes: Uint8Array, options: Partial<VerifyOptions> = {}) =>
  refusalCode(() => verify(bytes, options))

const later = (ms: number) => new Date(NOW.getTime() + ms)

describe("an honest document", () => {
  test.each(["definite", "indefinite"] as const)(
    "of %s form says what was signed",
    async (form) => {
      const verified = verify(await forgeDocument(path, {}, form))
      expect(verified.moduleId).toBe("i-0123456789abcdef0-enc0123456789abcdef")
      expect(verified.timestamp).toEqual(NOW)
      expect(verified.pcrs.size).toBe(16)
      expect(verified.pcrs.get(3)).toEqual(new Uint8Array(48).fill(4))
      expect(verified.certificate).toEqual(new Uint8Array(path.certificate))
      expect(verified.publicKey).toBeNull()
      expect(verified.userData).toEqual(new TextEncoder().encode("user data"))
      expect(verified.nonce).toEqual(new Uint8Array(16).fill(7))
    },
  )

  test("may leave optional fields out", async () => {
    const change = { public_key: undefined, user_data: undefined, nonce: undefined }
    const verified = verify(await forgeDocument(path, change))
    expect([verified.publicKey, verified.userData, verified.nonce]).toEqual([null, null, null])
  })

  test("is free of the buffer it came in", () => {
    const buffer = Buffer.from(document)
    const verified = verify(buffer)
    buffer.fill(0)
    expect(verified.pcrs.get(0)).toEqual(new Uint8Array(48).fill(1))
    expect(verified.certificate).toEqual(new Uint8Array(path.certificate))
  })
})

describe("the COSE envelope", () => {
  const parts = () => {
    const payload = encodePayload(payloadOf(path), "definite")
    const header = Buffer.from("a1013822", "hex")
    return { payload, header, signature: document.subarray(-96) }
  }
  const seal = (...items: unknown[]) => encodeNsmCbor(items)

  test("is accepted with tag 18 and refused with another", () => {
    expect(codeOf(Buffer.concat([Buffer.of(0xd2), document]))).toBe("accepted")
    expect(codeOf(Buffer.concat([Buffer.of(0xd2, 0xd2), document]))).toBe("malformed-document")
    expect(codeOf(Buffer.concat([Buffer.of(0xd1), document]))).toBe("malformed-document")
    expect(codeOf(Buffer.concat([Buffer.of(0xd8, 0x12), document]))).toBe("malformed-document")
  })

  test("names ES384, exactly", () => {
    const { payload, signature } = parts()
    const headers = ["a1013823", "a10126", "a0", "", "a101390022", "a2013822044100"]
    for (const header of headers) {
      const bytes = seal(Buffer.from(header, "hex"), new Map(), payload, signature)
      expect(codeOf(bytes)).toBe("unsupported-algorithm")
    }
  })

  test("is an array of two headers, a payload and 96 bytes of signature", () => {
    const { payload, header, signature } = parts()
    expect(codeOf(seal(header, new Map(), payload, signature))).toBe("accepted")
    const malformed = [
      seal(header, new Map(), payload),
      seal(header, new Map(), payload, signature, signature),
      seal(header, new Map([[1, -35]]), payload, signature),
      seal(header, [], payload, signature),
      seal(header, null, payload, signature),
      seal(new Map([[1, -35]]), new Map(), payload, signature),
      seal(header, new Map(), payload.toString("latin1"), signature),
      seal(header, new Map(), null, signature),
      seal(header, new Map(), payload, signature.subarray(1)),
      seal(header, new Map(), payload, Buffer.concat([signature, Buffer.of(0)])),
      seal(header, new Map(), payload, Buffer.alloc(0)),
      encodeNsmCbor(new Map([[0, header]])),
      encodeNsmCbor("text"),
      Buffer.alloc(0),
      Buffer.of(0xd2),
    ]
    for (const bytes of malformed) expect(codeOf(bytes)).toBe("malformed-document")
  })

  test("is signed by the leaf's key over this payload", async () => {
    const { payload, header, signature } = parts()
    const other = await signDocument(payload, (await generateKeys()).privateKey)
    expect(codeOf(other)).toBe("invalid-signature")
    const changed = encodePayload(payloadOf(path, { user_data: Buffer.from("other") }), "definite")
    expect(codeOf(seal(header, new Map(), changed, signature))).toBe("invalid-signature")
    expect(codeOf(seal(header, new Map(), payload, Buffer.alloc(96)))).toBe("invalid-signature")
    expect(codeOf(seal(header, new Map(), payload, Buffer.alloc(96, 0xff)))).toBe(
      "invalid-signature",
    )
  })

  test("ends with the document", () => {
    expect(codeOf(Buffer.concat([document, Buffer.of(0)]))).toBe("malformed-document")
    expect(codeOf(Buffer.concat([document, document]))).toBe("malformed-document")
  })

  test("is read up to 16 KiB", async () => {
    const code = async (count: number) => {
      const cabundle = Array.from({ length: count }, () => Buffer.alloc(1024))
      const bytes = await forgeDocument(path, { cabundle })
      return refusalCode(() => decodeUnverifiedAttestationDocument(bytes))
    }
    expect(await code(14)).toBe("accepted")
    expect(await code(MAX_DOCUMENT_BYTES / 1024)).toBe("malformed-document")
  })
})

describe("the payload", () => {
  const malformed: Readonly<Record<string, Record<string, unknown>>> = {
    "no module_id": { module_id: undefined },
    "an empty module_id": { module_id: "" },
    "a module_id of bytes": { module_id: Buffer.from("i-0") },
    "another digest": { digest: "SHA256" },
    "no digest": { digest: undefined },
    "no timestamp": { timestamp: undefined },
    "a timestamp of 0": { timestamp: 0 },
    "a negative timestamp": { timestamp: -1 },
    "a timestamp beyond what a Date holds": { timestamp: 8_640_000_000_000_001n },
    "a timestamp beyond 53 bits": { timestamp: 2n ** 60n },
    "a floating-point timestamp": { timestamp: 1.5 },
    "a timestamp as text": { timestamp: "1767472867402" },
    "no pcrs": { pcrs: undefined },
    "empty pcrs": { pcrs: new Map() },
    "pcrs as an array": { pcrs: [Buffer.alloc(48)] },
    PCR32: { pcrs: new Map([[32, Buffer.alloc(48)]]) },
    "PCR-1": { pcrs: new Map([[-1, Buffer.alloc(48)]]) },
    "a PCR under a text": { pcrs: new Map([["0", Buffer.alloc(48)]]) },
    "a PCR of 47 bytes": { pcrs: new Map([[0, Buffer.alloc(47)]]) },
    "an empty PCR": { pcrs: new Map([[0, Buffer.alloc(0)]]) },
    "a PCR as text": { pcrs: new Map([[0, "0".repeat(48)]]) },
    "no certificate": { certificate: undefined },
    "a null certificate": { certificate: null },
    "an empty certificate": { certificate: Buffer.alloc(0) },
    "a certificate of 1025 bytes": { certificate: Buffer.alloc(1025) },
    "no cabundle": { cabundle: undefined },
    "an empty cabundle": { cabundle: [] },
    "a cabundle with an empty entry": { cabundle: [Buffer.alloc(0)] },
    "a cabundle entry of 1025 bytes": { cabundle: [Buffer.alloc(1025)] },
    "a cabundle of texts": { cabundle: ["root"] },
    "an empty public_key": { public_key: Buffer.alloc(0) },
    "a public_key of 1025 bytes": { public_key: Buffer.alloc(1025) },
    "user_data of 513 bytes": { user_data: Buffer.alloc(513) },
    "user_data as text": { user_data: "user data" },
    "a nonce of 513 bytes": { nonce: Buffer.alloc(513) },
    "a nonce of false": { nonce: false },
    "an unknown field": { extra: null },
    "a field named __proto__": Object.fromEntries([["__proto__", null]]),
  }
  test.each(Object.entries(malformed))("with %s is refused", async (_, change) => {
    expect(codeOf(await forgeDocument(path, change))).toBe("malformed-document")
  })

  test("may fill its limits", async () => {
    const change = {
      public_key: Buffer.alloc(1024, 1),
      user_data: Buffer.alloc(512, 2),
      nonce: Buffer.alloc(512, 3),
      pcrs: new Map(Array.from({ length: 32 }, (_, index) => [index, Buffer.alloc(64)])),
    }
    expect(codeOf(await forgeDocument(path, change))).toBe("accepted")
  })

  test("has each field and each PCR once", async () => {
    const twice = (fields: Map<string, unknown>, again: [unknown, unknown]) => {
      const entries: unknown[] = [...[...fields].flat(), ...again]
      return Buffer.concat([Buffer.of(0xbf), ...entries.map(encodeNsmCbor), Buffer.of(0xff)])
    }
    const nonce = twice(payloadOf(path), ["nonce", Buffer.alloc(16, 7)])
    expect(codeOf(await signDocument(nonce, path.keys.privateKey))).toBe("malformed-document")

    const pcr0 = Buffer.concat([Buffer.of(0x00, 0x58, 48), Buffer.alloc(48)])
    const wide = Buffer.concat([Buffer.of(0x18, 0x00, 0x58, 48), Buffer.alloc(48)])
    const fields = [...payloadOf(path, { pcrs: undefined })].flat().map(encodeNsmCbor)
    const withPcrs = (...pcrs: Buffer[]) => {
      const map = [Buffer.of(0xa0 + pcrs.length), ...pcrs]
      return Buffer.concat([
        Buffer.of(0xbf),
        ...fields,
        encodeNsmCbor("pcrs"),
        ...map,
        Buffer.of(0xff),
      ])
    }
    const sign = (payload: Buffer) => signDocument(payload, path.keys.privateKey)
    expect(codeOf(await sign(withPcrs(pcr0)))).toBe("accepted")
    expect(codeOf(await sign(withPcrs(pcr0, pcr0)))).toBe("malformed-document")
    expect(codeOf(await sign(withPcrs(pcr0, wide)))).toBe("malformed-document")
  })

  test("is a map and nothing after it", async () => {
    const sign = (payload: Buffer) => signDocument(payload, path.keys.privateKey)
    const payload = encodePayload(payloadOf(path), "definite")
    expect(codeOf(await sign(Buffer.concat([payload, Buffer.of(0xf6)])))).toBe("malformed-document")
    expect(codeOf(await sign(encodeNsmCbor([...payloadOf(path).values()])))).toBe(
      "malformed-document",
    )
    expect(codeOf(await sign(Buffer.alloc(0)))).toBe("malformed-document")
  })
})

describe("freshness", () => {
  test("bounds the age in both directions, bounds included", () => {
    expect(codeOf(document, { now: later(5000), maxAgeMs: 5000 })).toBe("accepted")
    expect(codeOf(document, { now: later(5001), maxAgeMs: 5000 })).toBe("document-too-old")
    expect(codeOf(document, { now: later(-5000), maxSkewMs: 5000 })).toBe("accepted")
    expect(codeOf(document, { now: later(-5001), maxSkewMs: 5000 })).toBe("document-from-future")
  })

  test("bounds the future by itself, the past by the certificates", () => {
    expect(codeOf(document, { now: later(59 * 60_000) })).toBe("accepted")
    expect(codeOf(document, { now: later(61 * 60_000) })).toBe("certificate-expired")
    expect(codeOf(document, { now: later(-60_000) })).toBe("accepted")
    expect(codeOf(document, { now: later(-60_001) })).toBe("document-from-future")
  })

  test("refuses limits that are no numbers", () => {
    expect(codeOf(document, { maxAgeMs: Number.NaN })).toBe("document-too-old")
    expect(codeOf(document, { maxSkewMs: Number.NaN })).toBe("document-from-future")
  })
})

describe("expectations", () => {
  const pcr = (index: number) => Buffer.alloc(48, index + 1)

  test("hold PCRs in full", () => {
    const code = (...expected: [number, Uint8Array][]) =>
      codeOf(document, { expectedPcrs: new Map(expected) })
    expect(code([0, pcr(0)], [15, pcr(15)])).toBe("accepted")
    expect(code([0, pcr(1)])).toBe("pcr-mismatch")
    expect(code([0, pcr(0)], [1, pcr(0)])).toBe("pcr-mismatch")
    expect(code([16, Buffer.alloc(48)])).toBe("pcr-mismatch")
    expect(code([0, pcr(0).subarray(0, 47)])).toBe("pcr-mismatch")
    expect(code([0, Buffer.alloc(0)])).toBe("pcr-mismatch")
    const lastBit = pcr(0)
    lastBit[47] = 0
    expect(code([0, lastBit])).toBe("pcr-mismatch")
  })

  test("hold the nonce", async () => {
    const code = (expectedNonce: Uint8Array) => codeOf(document, { expectedNonce })
    expect(code(Buffer.alloc(16, 7))).toBe("accepted")
    expect(code(Buffer.alloc(16, 8))).toBe("nonce-mismatch")
    expect(code(Buffer.alloc(15, 7))).toBe("nonce-mismatch")
    expect(code(Buffer.alloc(0))).toBe("nonce-mismatch")
    const without = await forgeDocument(path, { nonce: null })
    expect(codeOf(without, { expectedNonce: Buffer.alloc(0) })).toBe("nonce-mismatch")
    expect(codeOf(without)).toBe("accepted")
  })
})

test("a debug document has PCR0, 1 and 2, all zero", async () => {
  const debug = async (pcrs: [number, Uint8Array][]) =>
    isDebugDocument(
      decodeUnverifiedAttestationDocument(await forgeDocument(path, { pcrs: new Map(pcrs) })),
    )
  const zero = Buffer.alloc(48)
  expect(
    await debug([
      [0, zero],
      [1, zero],
      [2, zero],
      [3, Buffer.alloc(48, 1)],
    ]),
  ).toBe(true)
  expect(
    await debug([
      [0, zero],
      [1, zero],
      [2, Buffer.alloc(48, 1)],
    ]),
  ).toBe(false)
  expect(
    await debug([
      [0, zero],
      [1, zero],
    ]),
  ).toBe(false)
})
