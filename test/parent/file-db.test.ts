/** Key objects from files: AWS's pack-key list and ours, what changes, and what is refused. */
import { copyFile, mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { type FileDbOptions, FileDbSource } from "../../parent/source/file-db.js"
import type { WebCertificate } from "../../sim/testbed/web-certificates.js"
import { makeKey } from "./key-objects.js"
import { refusalOf } from "./refusal.js"

const KMS_KEY = "arn:aws:kms:us-east-1:123456789012:key/ours"
const CIPHERTEXT = Buffer.from("a ciphertext")

let dir: string
let path: string
let certificatePath: string
let web: WebCertificate
let renewed: WebCertificate
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "file-db-"))
  path = join(dir, "keys.json")
  certificatePath = join(dir, "www.pem")
  web = (await makeKey()).web
  renewed = (await makeKey()).web
})
afterAll(() => rm(dir, { recursive: true }))
beforeEach(async () => {
  await writeFile(certificatePath, web.certificate + web.chain)
  await list(entry())
})

/** An entry as AWS's tool writes it, changed. */
function entry(change: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    encrypted_pem_b64: CIPHERTEXT.toString("base64"),
    id: 1,
    label: "www",
    cert_pem: web.certificate + web.chain,
    ...change,
  }
}

function list(...entries: unknown[]): Promise<void> {
  return writeFile(path, JSON.stringify(entries))
}

function sealed(certificate = web): string {
  return JSON.stringify({
    certificate: certificate.certificate,
    certificateChain: certificate.chain,
    encryptedPrivateKey: CIPHERTEXT.toString("base64"),
    encryptionMethod: "SYMMETRIC_DEFAULT",
    encryptionKmsKeyId: KMS_KEY,
    encryptionContext: { purpose: "test" },
  })
}

function source(options: Omit<FileDbOptions, "path"> = {}): FileDbSource {
  return new FileDbSource({ path, ...options })
}

/** Whose certificate is fetched. */
async function fetched(from: FileDbSource): Promise<string> {
  const answer = await from.fetch()
  if (!answer.changed) return "unchanged"
  const [leaf] = answer.object.certificates
  return leaf?.toString() === web.certificate ? "www" : "renewed"
}

describe("AWS's list", () => {
  it("gives its only entry, without KMS key and encryption context", async () => {
    const answer = await source().fetch()
    expect(answer).toMatchObject({
      object: { encryptedPrivateKey: CIPHERTEXT, keyId: null, encryptionContext: null },
    })
    expect(answer.changed && answer.object.certificates.map(String)).toEqual([
      web.certificate,
      web.chain,
    ])
  })

  it.each(["2", "api"])("gives the entry of id or label '%s'", async (id) => {
    const api = entry({ id: 2, label: "api", cert_pem: renewed.certificate + renewed.chain })
    await list(entry(), api)
    expect(await fetched(source({ id }))).toBe("renewed")
  })

  it("gives the entry of an id before one of that label", async () => {
    const other = entry({ id: "www", label: "x", cert_pem: renewed.certificate })
    await list(entry(), other)
    expect(await fetched(source({ id: "www" }))).toBe("renewed")
  })

  it("takes certificates from a file where the entry has none", async () => {
    await list(entry({ cert_pem: null }))
    const answer = await source({ certificatePath }).fetch()
    expect(answer.changed && answer.object.certificates.map(String)).toEqual([
      web.certificate,
      web.chain,
    ])
  })

  it("takes the entry's own certificates before the file's", async () => {
    await writeFile(certificatePath, renewed.certificate)
    expect(await fetched(source({ certificatePath }))).toBe("www")
  })
})

describe("ours", () => {
  it("gives its object, with the KMS key that it names or the one configured", async () => {
    await writeFile(path, `\n ${sealed()}\n`)
    const expected = { encryptionContext: { purpose: "test" }, keyId: KMS_KEY }
    expect(await source().fetch()).toMatchObject({ object: expected })
    const acceptedKeyId = `${KMS_KEY}-2`
    const bound = source({ acceptedKeyId })
    expect(bound).toMatchObject({ name: path, acceptedKeyId })
    expect(await bound.fetch()).toMatchObject({ object: { ...expected, keyId: acceptedKeyId } })
  })
})

describe("a change", () => {
  it("is one of content, not of times or of other entries", async () => {
    const from = source({ id: "www" })
    expect(await fetched(from)).toBe("www")
    await utimes(path, 1, 1)
    expect(await fetched(from)).toBe("unchanged")
    await list(entry(), entry({ id: 2, label: "api" }))
    expect(await fetched(from)).toBe("unchanged")
    await list(entry({ cert_pem: renewed.certificate + renewed.chain }))
    expect(await fetched(from)).toBe("renewed")
    expect(await fetched(from)).toBe("unchanged")
  })

  it("of the certificates' file counts", async () => {
    await list(entry({ cert_pem: undefined }))
    const from = source({ certificatePath })
    expect(await fetched(from)).toBe("www")
    await writeFile(certificatePath, renewed.certificate + renewed.chain)
    expect(await fetched(from)).toBe("renewed")
  })

  it("of the ciphertext alone counts", async () => {
    const from = source()
    await from.fetch()
    await list(entry({ encrypted_pem_b64: Buffer.from("another").toString("base64") }))
    expect(await fetched(from)).toBe("www")
  })

  it("to what is malformed is refused each time, and forgotten when it is undone", async () => {
    const from = source()
    await from.fetch()
    await copyFile(path, `${path}.good`)
    await writeFile(path, "[{")
    expect((await refusalOf(from.fetch())).code).toBe("key-object-not-json")
    expect((await refusalOf(from.fetch())).code).toBe("key-object-not-json")
    await copyFile(`${path}.good`, path)
    expect(await fetched(from)).toBe("unchanged")
  })
})

describe("what is refused", () => {
  const PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
  it.each([
    ["text", "not JSON", "key-object-not-json", "is not JSON"],
    ["a number", "5", "key-object-malformed", "the list"],
    ["an empty list", [], "key-file-entry-missing", "it has none"],
    [
      "a misspelt field",
      [{ encrypted_pem: "AAAA", id: 1, label: "x" }],
      "key-object-malformed",
      "entry 1 encrypted_pem_b64",
    ],
    [
      "no base64",
      [{ encrypted_pem_b64: "%", id: 1, label: "x" }],
      "key-object-malformed",
      "entry 1 encrypted_pem_b64",
    ],
    [
      "an id that is no id",
      [{ encrypted_pem_b64: "AAAA", id: {}, label: "x" }],
      "key-object-malformed",
      "entry 1 id",
    ],
    [
      "a huge ciphertext",
      [{ encrypted_pem_b64: "A".repeat(8_196), id: 1, label: "x", cert_pem: PEM }],
      "key-object-malformed",
      "6144 bytes",
    ],
    [
      "no certificate",
      [{ encrypted_pem_b64: "AAAA", id: 1, label: "x" }],
      "key-object-malformed",
      "'x' has no cert_pem",
    ],
    [
      "an empty certificate",
      [{ encrypted_pem_b64: "AAAA", id: 1, label: "x", cert_pem: "?" }],
      "key-object-malformed",
      "cert_pem of 'x'",
    ],
    [
      "a broken certificate",
      [{ encrypted_pem_b64: "AAAA", id: 1, label: "x", cert_pem: PEM }],
      "key-object-malformed",
      "cert_pem of 'x'",
    ],
  ])("%s", async (_name, content, expected, reason) => {
    await writeFile(path, typeof content === "string" ? content : JSON.stringify(content))
    const { code, message, advice } = await refusalOf(source().fetch())
    expect(code).toBe(expected)
    expect(message).toContain(path)
    expect(message).toContain(reason)
    expect(advice).not.toBe("")
  })

  it("several entries where none is named, with what there is", async () => {
    await list(entry(), entry({ id: 2, label: "api" }))
    const { code, message } = await refusalOf(source().fetch())
    expect(code).toBe("key-file-entry-ambiguous")
    expect(message).toContain("1 (www), 2 (api)")
  })

  it("an entry that two have the name of", async () => {
    await list(entry(), entry({ id: 2 }), entry({ id: 3, label: "api" }))
    const { code, message } = await refusalOf(source({ id: "www" }).fetch())
    expect(code).toBe("key-file-entry-ambiguous")
    expect(message).toContain("'www': 1 (www), 2 (www)")
  })

  it("an entry that is not there, of the list and of an object of ours", async () => {
    const missing = await refusalOf(source({ id: "api" }).fetch())
    expect(missing.code).toBe("key-file-entry-missing")
    expect(missing.message).toContain("'api'; it has 1 (www)")
    await writeFile(path, sealed())
    expect((await refusalOf(source({ id: "api" }).fetch())).code).toBe("key-file-entry-missing")
  })

  it("an object of ours that is malformed", async () => {
    await writeFile(path, "{}")
    const { code, message } = await refusalOf(source().fetch())
    expect(code).toBe("key-object-malformed")
    expect(message).toContain(path)
  })

  it("files that are not there, not files, or too large", async () => {
    const from = (name: string) => new FileDbSource({ path: join(dir, name) })
    await mkdir(join(dir, "folder"), { recursive: true })
    await writeFile(join(dir, "large"), Buffer.alloc(4 * 1024 * 1024 + 1))
    for (const [name, reason] of [
      ["none", "ENOENT"],
      ["folder", "not a regular file"],
      ["large", "larger than 4 MiB"],
    ] as const) {
      const { code, message } = await refusalOf(from(name).fetch())
      expect(code).toBe("key-file-unreadable")
      expect(message).toContain(`${join(dir, name)}: ${reason}`)
    }
    await list(entry({ cert_pem: undefined }))
    const { message } = await refusalOf(source({ certificatePath: join(dir, "none.pem") }).fetch())
    expect(message).toContain("none.pem: ENOENT")
  })

  it("a certificates' file without one", async () => {
    await list(entry({ cert_pem: undefined }))
    await writeFile(certificatePath, "")
    const { code, message } = await refusalOf(source({ certificatePath }).fetch())
    expect(code).toBe("key-object-malformed")
    expect(message).toContain(certificatePath)
  })

  it("a fetch that was called off", async () => {
    const from = source()
    expect((await refusalOf(from.fetch(AbortSignal.abort()))).code).toBe("fetch-aborted")
    expect(await fetched(from)).toBe("www")
  })
})
