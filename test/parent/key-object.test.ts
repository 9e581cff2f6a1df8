/** Key objects: what is read from them, and what is said of malformed ones. */
import { X509Certificate } from "node:crypto"
import { beforeAll, describe, expect, it } from "vitest"
import { inOrder, parseKeyObject } from "../../parent/source/key-object.js"
import { makeKey, webAuthority } from "./key-objects.js"
import { refusalOf } from "./refusal.js"

const NAME = "s3://keys/www.json"
const KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
const CIPHERTEXT = Buffer.from([1, 2, 3, 250])

let leaf: string
let intermediate: string
let root: string
let unrelated: string
beforeAll(async () => {
  const { web } = await makeKey()
  leaf = web.certificate
  intermediate = web.chain
  root = `${(await webAuthority()).rootPem}\n`
  unrelated = (await makeKey()).web.certificate
})

/** An object as ACM writes it, changed. */
function acm(change: Record<string, unknown> = {}): string {
  return JSON.stringify({
    certificate: leaf,
    certificateChain: intermediate,
    encryptedPrivateKey: CIPHERTEXT.toString("base64"),
    encryptionMethod: "KMS",
    ...change,
  })
}

function certificatesOf(body: string): string[] {
  return parseKeyObject(body, NAME).certificates.map((one) => one.toString())
}

function refused(body: string) {
  return refusalOf(() => parseKeyObject(body, NAME))
}

describe("a key object", () => {
  it("of ACM's has no KMS key and no encryption context", () => {
    const object = parseKeyObject(acm(), NAME)
    expect(object).toMatchObject({ keyId: null, encryptionContext: null })
    expect(object.encryptedPrivateKey).toEqual(CIPHERTEXT)
    expect(object.certificates.map((one) => one.toString())).toEqual([leaf, intermediate])
  })

  it("of ours has both", () => {
    const encryptionContext = { "tlskeep:spki-sha256": "00" }
    const object = parseKeyObject(acm({ encryptionKmsKeyId: KEY_ARN, encryptionContext }), NAME)
    expect(object).toMatchObject({ keyId: KEY_ARN, encryptionContext })
  })

  it("may hold what this version does not know", () => {
    expect(parseKeyObject(acm({ novelty: [1] }), NAME).keyId).toBeNull()
  })
})

describe("certificates", () => {
  it("are put in order", () => {
    expect(certificatesOf(acm({ certificateChain: root + intermediate }))).toEqual([
      leaf,
      intermediate,
      root,
    ])
  })

  it("that are in no line with the leaf are left out", () => {
    const certificateChain = unrelated + intermediate + unrelated
    expect(certificatesOf(acm({ certificateChain }))).toEqual([leaf, intermediate])
    expect(certificatesOf(acm({ certificateChain: root }))).toEqual([leaf])
  })

  it("given twice are taken once", () => {
    const certificateChain = intermediate + root + intermediate + root
    expect(certificatesOf(acm({ certificateChain }))).toEqual([leaf, intermediate, root])
  })

  it("may follow the leaf in its own field", () => {
    const body = acm({ certificate: leaf + intermediate, certificateChain: "" })
    expect(certificatesOf(body)).toEqual([leaf, intermediate])
    expect(certificatesOf(acm({ certificate: leaf + intermediate }))).toEqual([leaf, intermediate])
  })

  it("may have words around them and Windows line ends", () => {
    const certificate = `subject=/CN=localhost\r\n${leaf.replaceAll("\n", "\r\n")}bye`
    expect(certificatesOf(acm({ certificate }))).toEqual([leaf, intermediate])
  })

  it("that sign themselves end the line", () => {
    const self = new X509Certificate(root)
    expect(inOrder(self, [new X509Certificate(root), new X509Certificate(leaf)])).toEqual([self])
  })
})

describe("an object that is malformed", () => {
  it.each([["<html>"], [""], ["{"]])("%j is not JSON", async (body) => {
    const { code, message, advice } = await refused(body)
    expect(code).toBe("key-object-not-json")
    expect(message).toBe(`${NAME} is not JSON`)
    expect(advice).toContain("tlskeep seal")
  })

  it.each([["null"], ["[]"], ['"text"']])("%s is no object", async (body) => {
    const { code, message } = await refused(body)
    expect(code).toBe("key-object-malformed")
    expect(message).toContain("missing or malformed: object")
  })

  it.each(["certificate", "certificateChain", "encryptedPrivateKey", "encryptionMethod"])(
    "says that %s is missing, or no text",
    async (field) => {
      for (const value of [undefined, 5, null]) {
        const { code, message, advice } = await refused(acm({ [field]: value }))
        expect(code).toBe("key-object-malformed")
        expect(message).toBe(`${NAME} is not a key object: missing or malformed: ${field}`)
        expect(advice).toContain(field)
      }
    },
  )

  it("names all fields that are missing", async () => {
    const { message } = await refused("{}")
    expect(message).toContain(
      "certificate, certificateChain, encryptedPrivateKey, encryptionMethod",
    )
  })

  it.each([
    ["base64", { encryptedPrivateKey: "not base64!" }, "encryptedPrivateKey"],
    ["an empty ciphertext", { encryptedPrivateKey: "" }, "encryptedPrivateKey"],
    ["an alias for an ARN", { encryptionKmsKeyId: "alias/x" }, "encryptionKmsKeyId"],
    ["a context of numbers", { encryptionContext: { a: 1 } }, "encryptionContext"],
    ["a certificate without PEM", { certificate: "MIIB" }, "certificate"],
    [
      "a certificate of garbage",
      { certificate: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" },
      "certificate",
    ],
    [
      "a chain of garbage",
      { certificateChain: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" },
      "certificateChain",
    ],
  ])("names the field: %s", async (_name, change, field) => {
    const { code, message } = await refused(acm(change))
    expect(code).toBe("key-object-malformed")
    expect(message).toContain(field)
  })

  it("has a ciphertext larger than KMS makes", async () => {
    const most = acm({ encryptedPrivateKey: Buffer.alloc(6_144).toString("base64") })
    expect(parseKeyObject(most, NAME).encryptedPrivateKey).toHaveLength(6_144)
    const body = acm({ encryptedPrivateKey: Buffer.alloc(6_145).toString("base64") })
    const { code, message } = await refused(body)
    expect(code).toBe("key-object-malformed")
    expect(message).toContain("6144 bytes")
  })
})
