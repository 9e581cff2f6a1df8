/** CiphertextForRecipient beside what AWS KMS sent: the same elements at the same offsets. */
import { execFileSync } from "node:child_process"
import { generateKeyPairSync } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { type CmsShape, sealToRecipient } from "../../sim/kms/cms.js"

const VECTORS = fileURLToPath(new URL("../../../shared/vectors/", import.meta.url))

/** Every element with its offset and length, without what differs from message to message. */
function structureOf(cms: Uint8Array): string {
  const text = execFileSync("openssl", ["asn1parse", "-inform", "DER"], { input: cms })
  return text.toString().replace(/\[HEX DUMP\]:[0-9A-F]+/g, "[HEX DUMP]")
}

describe.skipIf(!existsSync(VECTORS))("sealToRecipient", () => {
  const cases: { file: string; shape: CmsShape; plaintextBytes: number }[] = [
    { file: "cms-2.ber", shape: "constructed", plaintextBytes: 40 },
    { file: "cms-3.ber", shape: "primitive", plaintextBytes: 8 },
  ]
  it.each(cases)("is built like AWS's $file", ({ file, shape, plaintextBytes }) => {
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
    const spki = publicKey.export({ type: "spki", format: "der" })
    const ours = sealToRecipient(Buffer.alloc(plaintextBytes), spki, shape, 1024)
    const real = readFileSync(`${VECTORS}${file}`)
    expect(structureOf(ours)).toBe(structureOf(real))
    expect(ours).toHaveLength(real.length)
    // openssl prints no algorithm parameters in full: these bytes lie between identifier and key.
    expect(ours.subarray(65, 131)).toEqual(real.subarray(65, 131))
  })
})
