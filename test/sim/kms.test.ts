/** The simulated KMS through the real SDK client: ciphertexts, recipients, states, faults. */
import { execFileSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import {
  DecryptCommand,
  type DecryptCommandInput,
  type DecryptCommandOutput,
  DescribeKeyCommand,
  DisableKeyCommand,
  EncryptCommand,
  GenerateRandomCommand,
  GetKeyPolicyCommand,
  type KMSClient,
  KMSServiceException,
  ScheduleKeyDeletionCommand,
} from "@aws-sdk/client-kms"
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { type KmsSettings, writeKmsSettings } from "../../sim/kms/settings.js"
import { makeRootAuthority, NitroPki } from "../../sim/nsm/index.js"
import { encryptUnderKey, seedKmsKey, simKmsClient } from "../../sim/seed.js"
import { makeRecipient, startTestSimulator, type TestSimulator } from "./simulator.js"

const PLAINTEXT = Buffer.from(`-----BEGIN something-----\n${"x".repeat(1700)}\n`)
const ALLOW_ALL = JSON.stringify({
  Statement: { Effect: "Allow", Principal: "*", Action: "kms:*", Resource: "*" },
})
const MINUTE_MS = 60_000

let sim: TestSimulator
let client: KMSClient
let keyArn: string
let blob: Uint8Array
beforeAll(async () => {
  sim = await startTestSimulator()
  client = simKmsClient(sim.dir)
  keyArn = await seedKmsKey({ dir: sim.dir, policy: ALLOW_ALL })
  blob = await encryptUnderKey({ dir: sim.dir, keyArn, plaintext: PLAINTEXT })
})
afterAll(async () => {
  client.destroy()
  await sim.stop()
})
beforeEach(() => writeKmsSettings(sim.paths.kmsDir, {}))

function settings(value: KmsSettings): void {
  writeKmsSettings(sim.paths.kmsDir, value)
}

function decrypt(input: Partial<DecryptCommandInput> = {}): Promise<DecryptCommandOutput> {
  return client.send(new DecryptCommand({ CiphertextBlob: blob, KeyId: keyArn, ...input }))
}

/** The exception's name, by which a program tells refusals apart. */
async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return "no error"
  } catch (error) {
    return error instanceof KMSServiceException ? error.name : String(error)
  }
}

function recipientOf(document: Uint8Array) {
  return {
    Recipient: {
      KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256" as const,
      AttestationDocument: document,
    },
  }
}

describe("ciphertexts", () => {
  it("decrypts what it encrypted and names the key", async () => {
    const answer = await decrypt({ KeyId: undefined })
    expect(Buffer.from(answer.Plaintext ?? [])).toEqual(PLAINTEXT)
    expect(answer.KeyId).toBe(keyArn)
    expect(answer.EncryptionAlgorithm).toBe("SYMMETRIC_DEFAULT")
  })

  it("takes 4096 bytes and no more", async () => {
    const encrypt = (length: number) =>
      client.send(new EncryptCommand({ KeyId: keyArn, Plaintext: Buffer.alloc(length, 1) }))
    const { CiphertextBlob } = await encrypt(4096)
    expect((await decrypt({ CiphertextBlob })).Plaintext).toHaveLength(4096)
    expect(await codeOf(encrypt(4097))).toBe("ValidationException")
  })

  it("refuses a changed byte anywhere, a cut and another context", async () => {
    for (const at of [0, 5, 21, 35, 60, blob.length - 1]) {
      const CiphertextBlob = Uint8Array.from(blob)
      CiphertextBlob[at] = (CiphertextBlob[at] ?? 0) ^ 1
      const expected = at === 5 ? "IncorrectKeyException" : "InvalidCiphertextException"
      expect(await codeOf(decrypt({ CiphertextBlob })), `byte ${at}`).toBe(expected)
    }
    const cut = blob.subarray(0, 48)
    expect(await codeOf(decrypt({ CiphertextBlob: cut }))).toBe("InvalidCiphertextException")
    const context = { EncryptionContext: { a: "b" } }
    expect(await codeOf(decrypt(context))).toBe("InvalidCiphertextException")
  })

  it("needs the encryption context again, in any order", async () => {
    const CiphertextBlob = await encryptUnderKey({
      dir: sim.dir,
      keyArn,
      plaintext: PLAINTEXT,
      encryptionContext: { a: "1", b: "2" },
    })
    const again = { CiphertextBlob, EncryptionContext: { b: "2", a: "1" } }
    expect(Buffer.from((await decrypt(again)).Plaintext ?? [])).toEqual(PLAINTEXT)
    expect(await codeOf(decrypt({ CiphertextBlob }))).toBe("InvalidCiphertextException")
  })

  it("refuses another key than the one named, and one that is not", async () => {
    const other = await seedKmsKey({ dir: sim.dir, policy: ALLOW_ALL })
    expect(await codeOf(decrypt({ KeyId: other }))).toBe("IncorrectKeyException")
    const missing = keyArn.replace(/[0-9a-f]{12}$/, "000000000000")
    expect(await codeOf(decrypt({ KeyId: missing }))).toBe("NotFoundException")
    const elsewhere = keyArn.replace("us-east-1", "eu-west-1")
    expect(await codeOf(decrypt({ KeyId: elsewhere }))).toBe("NotFoundException")
  })

  it("refuses a key that is disabled or to be deleted", async () => {
    const KeyId = await seedKmsKey({ dir: sim.dir, policy: ALLOW_ALL })
    const CiphertextBlob = await encryptUnderKey({
      dir: sim.dir,
      keyArn: KeyId,
      plaintext: PLAINTEXT,
    })
    await client.send(new DisableKeyCommand({ KeyId }))
    expect(await codeOf(decrypt({ KeyId, CiphertextBlob }))).toBe("DisabledException")
    await client.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }))
    expect(await codeOf(decrypt({ KeyId, CiphertextBlob }))).toBe("KMSInvalidStateException")
    const { KeyMetadata } = await client.send(new DescribeKeyCommand({ KeyId }))
    expect(KeyMetadata).toMatchObject({ Arn: KeyId, Enabled: false, KeyState: "PendingDeletion" })
    expect((await client.send(new GetKeyPolicyCommand({ KeyId }))).Policy).toBe(ALLOW_ALL)
  })
})

describe("recipients", () => {
  /** First bytes of the encryptedContent: tag and length form. */
  const shapes = [
    {
      name: "constructed in one string",
      settings: { cmsShape: "constructed", cmsChunkBytes: 8192 },
    },
    {
      name: "constructed in many strings",
      settings: { cmsShape: "constructed", cmsChunkBytes: 100 },
    },
    { name: "primitive", settings: { cmsShape: "primitive" } },
  ] as const
  it.each(shapes)("seals to the recipient, $name, as openssl reads it", async (shape) => {
    settings(shape.settings)
    const { privateKey, document } = await makeRecipient(sim.pki)
    const answer = await decrypt(recipientOf(document))
    expect(answer.Plaintext).toBeUndefined()
    expect(answer.KeyId).toBe(keyArn)
    const keyFile = join(sim.dir, "recipient.pem")
    const cmsFile = join(sim.dir, "recipient.cms")
    writeFileSync(keyFile, privateKey.export({ type: "pkcs8", format: "pem" }))
    writeFileSync(cmsFile, answer.CiphertextForRecipient ?? "")
    const args = ["cms", "-decrypt", "-binary", "-inform", "DER", "-in", cmsFile, "-inkey", keyFile]
    expect(execFileSync("openssl", args)).toEqual(PLAINTEXT)
  })

  it("alternates between the shapes unless told which", async () => {
    const { document } = await makeRecipient(sim.pki)
    const isConstructed = async () => {
      const { CiphertextForRecipient } = await decrypt(recipientOf(document))
      // a0 80 04: [0] constructed of OCTET STRINGs, behind AES-256-CBC's 16-byte IV.
      const hex = Buffer.from(CiphertextForRecipient ?? []).toString("hex")
      return /60864801650304012a0410[0-9a-f]{32}a08004/.test(hex)
    }
    const [first, second, third] = [
      await isConstructed(),
      await isConstructed(),
      await isConstructed(),
    ]
    expect(second).toBe(!first)
    expect(third).toBe(first)
  })

  it("gives random bytes to a recipient alone", async () => {
    const { document } = await makeRecipient(sim.pki)
    const random = new GenerateRandomCommand({ NumberOfBytes: 32, ...recipientOf(document) })
    const answer = await client.send(random)
    expect(answer.Plaintext).toBeUndefined()
    expect(answer.CiphertextForRecipient?.length).toBeGreaterThan(400)
  })

  it("refuses documents under another root, old, early, forged or without a fit key", async () => {
    const otherPki = new NitroPki(await makeRootAuthority())
    const now = Date.now()
    const forged = Uint8Array.from((await makeRecipient(sim.pki)).document)
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1
    const documents: [string, Uint8Array, RegExp][] = [
      ["root", (await makeRecipient(otherPki)).document, /untrusted-root/],
      [
        "old",
        (await makeRecipient(sim.pki, { now: new Date(now - 6 * MINUTE_MS) })).document,
        /document-too-old/,
      ],
      [
        "early",
        (await makeRecipient(sim.pki, { now: new Date(now + 2 * MINUTE_MS) })).document,
        /document-from-future|not-yet-valid/,
      ],
      ["forged", forged, /invalid-signature/],
      ["no document", Buffer.from("not CBOR"), /malformed-document/],
      ["RSA-3072", (await makeRecipient(sim.pki, { modulusLength: 3072 })).document, /RSA-2048/],
      ["no key", (await makeRecipient(sim.pki, { withoutKey: true })).document, /RSA-2048/],
    ]
    for (const [name, document, message] of documents) {
      await expect(decrypt(recipientOf(document)), name).rejects.toMatchObject({
        name: "ValidationException",
        message: expect.stringMatching(message),
      })
    }
  })
})

describe("settings", () => {
  it("throttles and fails so many times, then no more", async () => {
    const impatient = simKmsClient(sim.dir, undefined, { maxAttempts: 1 })
    settings({ throttleNext: 1, unavailableNext: 1 })
    const ask = () => impatient.send(new DescribeKeyCommand({ KeyId: keyArn }))
    expect(await codeOf(ask())).toBe("ThrottlingException")
    expect(await codeOf(ask())).toBe("ServiceUnavailableException")
    expect(await codeOf(ask())).toBe("no error")
    impatient.destroy()
  })

  it("names another key, refuses everything, and takes its time", async () => {
    settings({ answerKeyId: "arn:aws:kms:us-east-1:123456789012:key/another" })
    expect((await decrypt()).KeyId).toMatch(/another$/)
    settings({ denyAll: true })
    await expect(decrypt()).rejects.toMatchObject({
      name: "AccessDeniedException",
      message: expect.stringMatching(/with an explicit deny in a resource-based policy$/),
    })
    settings({ delayMs: 300 })
    const before = Date.now()
    await decrypt()
    expect(Date.now() - before).toBeGreaterThanOrEqual(290)
  })
})
