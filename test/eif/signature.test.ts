/** Signed images: built, verified by OpenSSL's own command, and refused when anything is changed. */
import { createPublicKey, sign } from "node:crypto"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { buildEif } from "../../parent/eif/build.js"
import { readEif } from "../../parent/eif/read.js"
import { imageSigner } from "../../parent/eif/signature.js"
import { decodeNsmCbor, type NsmCborMap } from "../../shared/attestation/cbor.js"
import { encodeCbor } from "../../shared/cbor.js"
import {
  buildByReference,
  type Curve,
  execFileAsync,
  makeInputs,
  makeSigningFiles,
  type SigningFiles,
  signerOf,
  testFolder,
} from "./images.js"

const dir = await testFolder()
const output = join(dir, "signed.eif")
let p384: SigningFiles
let pcr0: string
beforeAll(async () => {
  p384 = await makeSigningFiles(dir, "P-384")
  pcr0 = (await buildEif(await makeInputs(dir), output)).PCR0
})

/** What the section holds, decoded by hand. */
function parts(section: Buffer) {
  const [entry] = decodeNsmCbor(section) as unknown as [NsmCborMap]
  const pem = Buffer.from(entry.get("signing_certificate") as number[])
  const cose = Buffer.from(entry.get("signature") as number[])
  return { pem, cose: decodeNsmCbor(cose) as unknown as [Buffer, NsmCborMap, Buffer, Buffer] }
}

/** DER of an ECDSA signature, which OpenSSL's command takes. */
function derOf(signature: Uint8Array): Buffer {
  const half = signature.length / 2
  const integer = (bytes: Uint8Array) => {
    let value = Buffer.from(bytes)
    while (value.length > 1 && value[0] === 0) value = value.subarray(1)
    if ((value[0] ?? 0) >= 0x80) value = Buffer.concat([Buffer.of(0), value])
    return Buffer.concat([Buffer.of(2, value.length), value])
  }
  const body = Buffer.concat([integer(signature.slice(0, half)), integer(signature.slice(half))])
  const length = body.length < 128 ? [body.length] : [0x81, body.length]
  return Buffer.concat([Buffer.of(0x30, ...length), body])
}

describe.each<[Curve, string, string]>([
  ["P-256", "a10126", "sha256"],
  ["P-384", "a1013822", "sha384"],
  ["P-521", "a1013823", "sha512"],
])("an image signed on %s", (curve, protectedHeader, hash) => {
  it("has the reference builder's bytes and PCR8, and a signature that OpenSSL verifies", async () => {
    const files = await makeSigningFiles(dir, curve, `signer-${curve}`)
    const signer = await signerOf(files)
    const section = join(dir, "section")
    const inputs = await makeInputs(dir)
    let signed: Buffer = Buffer.alloc(0)
    // The signature is made once, so that both builders embed the same.
    const once = {
      ...signer,
      sign: (value: string) => {
        signed = signer.sign(value)
        return signed
      },
    }
    const measurements = await buildEif({ ...inputs, signer: once }, output)
    await writeFile(section, signed)
    const cert = join(dir, "certificate.der")
    await writeFile(cert, files.x509.raw)
    const reference = await buildByReference(dir, inputs, { signature: section, cert })
    expect((await readFile(output)).equals(reference.bytes)).toBe(true)
    expect(measurements).toMatchObject(reference.pcrs)

    const { pem, cose } = parts(signed)
    expect(pem).toEqual(await readFile(files.certificate))
    const [header, unprotected, payload, signature] = cose
    expect(Buffer.from(header).toString("hex")).toBe(protectedHeader)
    expect(unprotected.size).toBe(0)
    expect(decodeNsmCbor(payload)).toEqual(
      new Map<string, unknown>([
        ["register_index", 0],
        ["register_value", [...Buffer.from(measurements.PCR0, "hex")]],
      ]),
    )
    const signedBytes = join(dir, "to-be-signed")
    const publicKey = join(dir, "public.pem")
    await writeFile(signedBytes, encodeCbor(["Signature1", header, new Uint8Array(0), payload]))
    await writeFile(join(dir, "signature.der"), derOf(signature))
    await writeFile(
      publicKey,
      createPublicKey(files.privateKey).export({ type: "spki", format: "pem" }),
    )
    const { stdout } = await execFileAsync("openssl", [
      ...["dgst", `-${hash}`, "-verify", publicKey],
      ...["-signature", join(dir, "signature.der"), signedBytes],
    ])
    expect(stdout).toContain("Verified OK")

    const eif = await readEif(output)
    expect(eif.isCrcRight).toBe(true)
    expect(eif.signature?.isValid).toBe(true)
    expect(eif.measurements).toEqual(measurements)
  })
})

describe("a signature", () => {
  /** The image with `section` as its signature; everything else is right. */
  async function withSection(section: Buffer) {
    const signer = { certificatePem: Buffer.alloc(0), pcr8: "", sign: () => section }
    await buildEif({ ...(await makeInputs(dir)), signer }, output)
    return readEif(output)
  }
  const entry = (certificate: Buffer, cose: Buffer) =>
    encodeCbor([{ signing_certificate: [...certificate], signature: [...cose] }])

  it("of another image is not valid", async () => {
    const signer = await signerOf(p384)
    const eif = await withSection(signer.sign("11".repeat(48)))
    expect(eif.signature?.isValid).toBe(false)
    expect((await withSection(signer.sign(pcr0))).signature?.isValid).toBe(true)
  })

  it("by another key than the certificate's is not valid, and PCR8 is the certificate's", async () => {
    const other = await makeSigningFiles(dir, "P-384", "other")
    const { cose } = parts((await signerOf(other)).sign(pcr0))
    const eif = await withSection(
      entry(await readFile(p384.certificate), encodeCbor([cose[0], {}, cose[2], cose[3]])),
    )
    expect(eif.signature?.isValid).toBe(false)
    expect(eif.measurements.PCR8).toBe((await signerOf(p384)).pcr8)
  })

  it("is not valid under another algorithm than the key's, or cut short", async () => {
    const pem = await readFile(p384.certificate)
    const { cose } = parts((await signerOf(p384)).sign(pcr0))
    const [header, , payload, signature] = cose
    const es256 = Buffer.from("a10126", "hex")
    const bytes = encodeCbor(["Signature1", es256, new Uint8Array(0), payload])
    const key = { key: p384.privateKey, dsaEncoding: "ieee-p1363" as const }
    const variants = [
      [es256, {}, payload, sign("sha256", bytes, key)],
      [header, {}, payload, signature.subarray(0, 95)],
      [header, {}, payload, Buffer.alloc(96)],
      [Buffer.alloc(0), {}, payload, signature],
    ] as const
    for (const variant of variants) {
      const eif = await withSection(entry(pem, encodeCbor(variant)))
      expect(eif.signature?.isValid).toBe(false)
    }
  })

  it("of another form is refused", async () => {
    const pem = await readFile(p384.certificate)
    const { cose } = parts((await signerOf(p384)).sign(pcr0))
    const right = encodeCbor([cose[0], {}, cose[2], cose[3]])
    const sections: Buffer[] = [
      encodeCbor([]),
      encodeCbor({}),
      encodeCbor([1]),
      encodeCbor([{ signing_certificate: [...pem] }]),
      // Byte strings, which AWS's tools do not write and QEMU's loader does not read.
      encodeCbor([{ signing_certificate: pem, signature: right }]),
      encodeCbor([{ signing_certificate: [256], signature: [...right] }]),
      encodeCbor([{ signing_certificate: [-1], signature: [...right] }]),
      encodeCbor([{ signing_certificate: ["a"], signature: [...right] }]),
      entry(Buffer.from("no certificate"), right),
      entry(pem, Buffer.from("no COSE")),
      entry(pem, encodeCbor([cose[0], {}, cose[2]])),
      entry(pem, encodeCbor([cose[0], 1, cose[2], cose[3]])),
      entry(pem, encodeCbor([cose[0], {}, null, cose[3]])),
      entry(pem, encodeCbor([cose[0], {}, cose[2], "signature"])),
      encodeCbor([
        { signing_certificate: [...pem], signature: [...right] },
        { signing_certificate: [...pem], signature: [...right] },
      ]),
    ]
    for (const section of sections) {
      await expect(withSection(section)).rejects.toMatchObject({ code: "malformed-signature" })
    }
    await expect(withSection(Buffer.alloc(262_145))).rejects.toMatchObject({
      code: "malformed-signature",
    })
  })
})

it("refuses keys and certificates that cannot sign an image", async () => {
  const key = await readFile(p384.key)
  const certificate = await readFile(p384.certificate)
  const other = await makeSigningFiles(dir, "P-384", "another")
  const rsa = join(dir, "rsa.key")
  await execFileAsync("openssl", ["genrsa", "-out", rsa, "2048"])
  const refusals = [
    ["signing-key-unsupported", Buffer.from("none"), certificate],
    ["signing-key-unsupported", await readFile(rsa), certificate],
    ["signing-certificate-mismatch", key, Buffer.from("none")],
    ["signing-certificate-mismatch", key, await readFile(other.certificate)],
  ] as const
  for (const [code, keyPem, pem] of refusals) {
    expect(() => imageSigner(keyPem, pem)).toThrow(expect.objectContaining({ code }) as Error)
  }
})
