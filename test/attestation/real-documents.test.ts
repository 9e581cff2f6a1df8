/** Documents that real Nitro Secure Modules signed, against the pinned AWS root. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import {
  decodeUnverifiedAttestationDocument,
  isDebugDocument,
  verifyAttestationDocument,
} from "../../shared/attestation/index.js"
import { pcr4OfInstance } from "../../sim/nsm/index.js"
import { refusalCode } from "./codes.js"

const VECTORS = join(import.meta.dirname, "../../../shared/vectors")
const files = existsSync(VECTORS)
  ? readdirSync(VECTORS).filter((name) => /^attest-.*\.bin$/.test(name))
  : []
const signed = files.filter((name) => !name.includes("-bad-"))
const forged = files.filter((name) => name.includes("-bad-"))

function load(name: string) {
  const bytes = readFileSync(join(VECTORS, name))
  return { bytes, document: decodeUnverifiedAttestationDocument(bytes) }
}

if (files.length === 0) {
  test.skip("real documents: there is no folder of them beside this checkout", () => undefined)
}

describe.each(signed)("%s", (name) => {
  const { bytes, document } = load(name)
  const now = document.timestamp

  test("verifies at its own timestamp", () => {
    const verified = verifyAttestationDocument(bytes, { now, maxAgeMs: 0, maxSkewMs: 0 })
    expect(verified).toEqual(document)
    expect([...verified.pcrs.keys()]).toEqual(Array.from({ length: 16 }, (_, index) => index))
    expect(verified.cabundle).toHaveLength(4)
  })

  test("names its instance in PCR4", () => {
    const [instanceId = ""] = document.moduleId.split("-enc")
    expect(document.pcrs.get(4)).toEqual(new Uint8Array(pcr4OfInstance(instanceId)))
  })

  test("is a debug document only where its name says so", () => {
    expect(isDebugDocument(document)).toBe(name.includes("-debug"))
  })

  test("verifies with the tag of COSE_Sign1 before it", () => {
    const tagged = Buffer.concat([Buffer.of(0xd2), bytes])
    expect(verifyAttestationDocument(tagged, { now })).toEqual(document)
  })

  test("is refused outside its certificates' validity", () => {
    const at = (offsetMs: number) => new Date(now.getTime() + offsetMs)
    const code = (date: Date) => refusalCode(() => verifyAttestationDocument(bytes, { now: date }))
    expect(code(at(4 * 3_600_000))).toBe("certificate-expired")
    expect(code(at(-4 * 3_600_000))).toBe("certificate-not-yet-valid")
    expect(code(new Date(Number.NaN))).toBe("certificate-not-yet-valid")
  })

  test("is refused under another root, whatever its bundle holds", () => {
    const rootFingerprint = "00".repeat(32)
    expect(refusalCode(() => verifyAttestationDocument(bytes, { now, rootFingerprint }))).toBe(
      "untrusted-root",
    )
  })

  test("is refused with one bit of the payload or the signature flipped", () => {
    for (const at of [bytes.length - 1, bytes.length - 96, bytes.length - 120]) {
      const flipped = Buffer.from(bytes)
      flipped[at] = (flipped[at] ?? 0) ^ 1
      expect(refusalCode(() => verifyAttestationDocument(flipped, { now }))).not.toBe("accepted")
    }
  })
})

test.each(forged)("%s has a good chain and a wrong signature", (name) => {
  const { bytes, document } = load(name)
  expect(refusalCode(() => verifyAttestationDocument(bytes, { now: document.timestamp }))).toBe(
    "invalid-signature",
  )
})
