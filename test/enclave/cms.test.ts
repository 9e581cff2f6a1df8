/** CiphertextForRecipient as AWS, openssl and the simulator make it. */
import { execFileSync } from "node:child_process"
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { openEnvelopedData, parseEnvelopedData } from "../../enclave/kms/cms.js"
import { sealToRecipient } from "../../sim/kms/cms.js"
import { codeOf } from "../shared/codes.js"

const VECTORS = join(import.meta.dirname, "../../../shared/vectors")
const PEM = Buffer.from(`-----BEGIN PRIVATE KEY-----\n${"k".repeat(1700)}\n`)
const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
const spki = publicKey.export({ type: "spki", format: "der" })
const identifier = createHash("sha256").update(spki).digest()

const open = (cms: Uint8Array) => openEnvelopedData(cms, privateKey, spki)
const opening = (cms: Uint8Array) => codeOf(() => open(cms))

const vectors = existsSync(VECTORS) ? ["cms-2.ber", "cms-3.ber"] : []
if (vectors.length === 0) {
  it.skip("AWS's messages: there is no folder of them beside this checkout", () => undefined)
}
describe.each(vectors)("AWS's %s", (file) => {
  const ber = readFileSync(join(VECTORS, file))

  it("has the parts of an EnvelopedData", () => {
    const parts = parseEnvelopedData(ber)
    expect(parts.subjectKeyIdentifier).toHaveLength(32)
    expect(parts.encryptedKey).toHaveLength(256)
    expect(parts.iv).toHaveLength(16)
    expect(parts.encryptedContent.length % 16).toBe(0)
    for (const [name, bytes] of Object.entries(parts)) {
      if (name !== "encryptedContent") expect(ber.includes(bytes), name).toBe(true)
    }
    expect(ber.includes(parts.encryptedContent.subarray(0, 16))).toBe(true)
  })

  it("is for somebody else", () => {
    expect(opening(ber)).toBe("wrong-recipient")
  })

  it("is malformed when cut short", () => {
    for (let length = 0; length < ber.length; length++) {
      const code = codeOf(() => parseEnvelopedData(ber.subarray(0, length)))
      expect(code, `${length} bytes`).toBe("malformed-cms")
    }
  })
})

describe("what the simulator seals", () => {
  it.each([
    ["constructed", 1024],
    ["constructed", 100],
    ["constructed", 1],
    ["primitive", 1024],
  ] as const)("%s in pieces of %i opens", (shape, chunkBytes) => {
    for (const length of [0, 1, 15, 16, 17, 1000]) {
      const plaintext = randomBytes(length)
      const cms = sealToRecipient(plaintext, spki, shape, chunkBytes)
      if (cms.length <= 6144) expect(open(cms).equals(plaintext)).toBe(true)
    }
  })
})

describe("what openssl encrypts", () => {
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "cms-"))
    writeFileSync(join(dir, "key.pem"), privateKey.export({ type: "pkcs8", format: "pem" }))
    writeFileSync(join(dir, "plain"), PEM)
    const ski = identifier.toString("hex").replace(/..(?=.)/g, "$&:")
    openssl(
      "req",
      "-x509",
      "-key",
      "key.pem",
      "-out",
      "cert.pem",
      "-subj",
      "/CN=recipient",
      "-days",
      "1",
      "-addext",
      `subjectKeyIdentifier=${ski}`,
    )
  })
  afterAll(() => rm(dir, { recursive: true }))

  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: dir, stdio: "pipe" })

  /** A CMS by `openssl cms -encrypt` with these options changed. */
  function encrypted(change: {
    oaep?: string
    cipher?: string
    keyid?: boolean
    stream?: boolean
  }) {
    const { oaep = "sha256", cipher = "-aes-256-cbc", keyid = true, stream = false } = change
    openssl(
      "cms",
      "-encrypt",
      "-binary",
      "-in",
      "plain",
      "-out",
      "out.der",
      "-outform",
      "DER",
      cipher,
      ...(stream ? ["-stream"] : []),
      "-recip",
      "cert.pem",
      ...(keyid ? ["-keyid"] : []),
      ...(oaep === "none"
        ? []
        : [
            "-keyopt",
            "rsa_padding_mode:oaep",
            "-keyopt",
            `rsa_oaep_md:${oaep}`,
            "-keyopt",
            `rsa_mgf1_md:${oaep}`,
          ]),
    )
    return readFileSync(join(dir, "out.der"))
  }

  it("opens, in both shapes", () => {
    const primitiveShape = encrypted({})
    const constructedShape = encrypted({ stream: true })
    expect(primitiveShape.equals(constructedShape)).toBe(false)
    expect(constructedShape.subarray(0, 2).toString("hex")).toBe("3080")
    expect(open(primitiveShape).equals(PEM)).toBe(true)
    expect(open(constructedShape).equals(PEM)).toBe(true)
  })

  it.each([
    ["a recipient by issuer and serial number", { keyid: false }, "unsupported-cms"],
    ["OAEP of SHA-1, the default", { oaep: "sha1" }, "malformed-cms"],
    ["OAEP of SHA-384", { oaep: "sha384" }, "unsupported-cms"],
    ["PKCS #1 v1.5", { oaep: "none" }, "unsupported-cms"],
    ["AES-128", { cipher: "-aes-128-cbc" }, "unsupported-cms"],
    ["triple DES", { cipher: "-des3" }, "unsupported-cms"],
  ] as const)("is refused with %s", (_name, change, code) => {
    expect(opening(encrypted(change))).toBe(code)
  })

  it("opens ours", () => {
    for (const shape of ["constructed", "primitive"] as const) {
      writeFileSync(join(dir, "ours.der"), sealToRecipient(PEM, spki, shape, 1024))
      const plain = openssl(
        "cms",
        "-decrypt",
        "-inform",
        "DER",
        "-in",
        "ours.der",
        "-inkey",
        "key.pem",
      )
      expect(plain.equals(PEM)).toBe(true)
    }
  })
})
