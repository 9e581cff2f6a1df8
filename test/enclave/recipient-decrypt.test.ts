/** KMS Decrypt for this enclave: against the simulated KMS, and against whoever else may answer. */
import { createPublicKey, generateKeyPairSync } from "node:crypto"
import { readFileSync } from "node:fs"
import { createServer as createHttpsServer } from "node:https"
import { type AddressInfo, createServer, type Server, type Socket } from "node:net"
import type { Duplex } from "node:stream"
import { DisableKeyCommand } from "@aws-sdk/client-kms"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { AMAZON_ROOTS } from "../../enclave/kms/amazon-roots.js"
import {
  type DecryptRequest,
  kmsEndpoint,
  type RecipientDecrypt,
  recipientDecrypt,
} from "../../enclave/kms/recipient-decrypt.js"
import { RelayAgent } from "../../enclave/kms/relay-agent.js"
import { Nsm } from "../../enclave/nsm/index.js"
import { decodeUnverifiedAttestationDocument } from "../../shared/attestation/index.js"
import { ControlError } from "../../shared/protocol/control.js"
import { currentRoleSession, SESSION_TTL_SECS } from "../../sim/iam/principals.js"
import { sealToRecipient } from "../../sim/kms/cms.js"
import { type KmsSettings, writeKmsSettings } from "../../sim/kms/settings.js"
import { SimulatedNsm } from "../../sim/nsm/index.js"
import { INSTANCE_ID, ROLE_ARN } from "../../sim/paths.js"
import { encryptUnderKey, releaseKeyPolicy, seedKmsKey, simKmsClient } from "../../sim/seed.js"
import { readServerIdentity } from "../../sim/server-identity.js"
import { readAudit, startTestSimulator, type TestSimulator } from "../sim/simulator.js"
import { relayTo } from "./kms-relay.js"

const PCR0 = Buffer.alloc(48, 0xaa)
const PLAINTEXT = Buffer.from(`-----BEGIN PRIVATE KEY-----\n${"k".repeat(1700)}\n`)
const CONTEXT = { "tlskeep:spki-sha256": "00".repeat(32), other: "x" }

let sim: TestSimulator
let keyArn: string
let ciphertext: Uint8Array
let request: DecryptRequest
beforeAll(async () => {
  sim = await startTestSimulator()
  keyArn = await seedKmsKey({
    dir: sim.dir,
    policy: releaseKeyPolicy({ pcr0: PCR0.toString("hex") }),
  })
  ciphertext = await sealed(keyArn)
})
afterAll(() => sim.stop())

const cleanups: (() => unknown)[] = []
beforeEach(() => {
  writeKmsSettings(sim.paths.kmsDir, {})
  request = {
    ciphertext,
    keyId: keyArn,
    region: "us-east-1",
    credentials: currentRoleSession(sim.paths, SESSION_TTL_SECS),
    encryptionContext: CONTEXT,
  }
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function sealed(key: string): Promise<Uint8Array> {
  return encryptUnderKey({
    dir: sim.dir,
    keyArn: key,
    plaintext: PLAINTEXT,
    encryptionContext: CONTEXT,
  })
}

const settings = (value: KmsSettings) => writeKmsSettings(sim.paths.kmsDir, value)
const simPort = (name: "kms" | "s3") => Number(new URL(sim.info.urls[name]).port)

/** An enclave of the image `pcr0`, as far as KMS is concerned. */
function enclave(
  options: {
    pcr0?: Buffer
    connectRelay?: () => Promise<Duplex>
    roots?: readonly string[]
    nsm?: Nsm
    timeoutMs?: number
  } = {},
): RecipientDecrypt {
  const device = new SimulatedNsm({
    moduleId: `${INSTANCE_ID}-enc0123456789abcdef`,
    pcrs: new Map([[0, options.pcr0 ?? PCR0]]),
    pki: sim.pki,
  })
  const timeoutMs = options.timeoutMs ?? 5_000
  const agent = new RelayAgent({
    connectRelay: options.connectRelay ?? relayTo(() => simPort("kms")),
    roots: options.roots ?? [readFileSync(sim.paths.caFile, "utf8")],
    handshakeMs: timeoutMs,
  })
  cleanups.push(() => agent.destroy())
  return recipientDecrypt(options.nsm ?? new Nsm(device), agent, { requestTimeoutMs: timeoutMs })
}

/** The refusal of a decryption, for the code and detail that travel. */
async function refusal(work: Promise<unknown>): Promise<{ code: string; detail: object }> {
  try {
    await work
  } catch (error) {
    if (error instanceof ControlError) return { code: error.code, detail: error.detail }
    throw error
  }
  return { code: "no error", detail: {} }
}

describe("through the relay", () => {
  it.each(["constructed", "primitive"] as const)("decrypts, %s", async (cmsShape) => {
    settings({ cmsShape, cmsChunkBytes: 100 })
    const { plaintext, keyId } = await enclave()(request)
    expect(plaintext.equals(PLAINTEXT)).toBe(true)
    expect(keyId).toBe(keyArn)
  })

  it("takes the key that the ciphertext names when none is asked for", async () => {
    const { plaintext, keyId } = await enclave()({ ...request, keyId: null })
    expect(plaintext.equals(PLAINTEXT)).toBe(true)
    expect(keyId).toBe(keyArn)
  })

  it("is seen by KMS as this image, by this role", async () => {
    await enclave()(request)
    expect((await readAudit(sim.paths)).at(-1)).toMatchObject({
      action: "kms:Decrypt",
      decision: "allowed",
      key: keyArn,
      recipientPcr0: PCR0.toString("hex"),
      encryptionContextKeys: Object.keys(CONTEXT),
    })
  })

  it("serves several at once", async () => {
    const decrypt = enclave()
    const all = await Promise.all(Array.from({ length: 4 }, () => decrypt(request)))
    for (const { plaintext } of all) expect(plaintext.equals(PLAINTEXT)).toBe(true)
  })

  it("waits out a throttled and an unavailable KMS", async () => {
    settings({ throttleNext: 1, unavailableNext: 1 })
    expect((await enclave()(request)).plaintext.equals(PLAINTEXT)).toBe(true)
  })

  it("shows the parent no byte of the key, the credentials or the ciphertext", async () => {
    const passed: Buffer[] = []
    const open = relayTo(() => simPort("kms"))
    const connectRelay = async () => {
      const stream = await open()
      const write = stream.write.bind(stream)
      stream.write = ((chunk: Uint8Array, ...rest: []) => {
        passed.push(Buffer.from(chunk))
        return write(chunk, ...rest)
      }) as typeof stream.write
      stream.on("data", (chunk: Buffer) => passed.push(Buffer.from(chunk)))
      return stream
    }
    await enclave({ connectRelay })(request)
    const seen = Buffer.concat(passed).toString("latin1")
    const { secretAccessKey, sessionToken, accessKeyId } = request.credentials
    for (const secret of [
      secretAccessKey,
      sessionToken ?? "",
      accessKeyId,
      "PRIVATE KEY",
      "kkkk",
    ]) {
      expect(seen).not.toContain(secret)
    }
  })
})

describe("KMS refuses", () => {
  it("an image that the key policy does not name", async () => {
    const { code, detail } = await refusal(enclave({ pcr0: Buffer.alloc(48, 0xbb) })(request))
    expect(code).toBe("kms-access-denied")
    expect(detail).toMatchObject({ exception: "AccessDeniedException" })
  })

  it("what a policy denies explicitly", async () => {
    const allow = JSON.parse(releaseKeyPolicy({ pcr0: PCR0.toString("hex") }))
    const deny = {
      Effect: "Deny",
      Principal: { AWS: ROLE_ARN },
      Action: "kms:Decrypt",
      Resource: "*",
    }
    const policy = JSON.stringify({ ...allow, Statement: [...allow.Statement, deny] })
    const denied = await seedKmsKey({ dir: sim.dir, policy })
    const decrypting = enclave()({ ...request, keyId: denied, ciphertext: await sealed(denied) })
    expect((await refusal(decrypting)).code).toBe("kms-explicit-deny")
  })

  it.each([
    ["an unknown access key", { accessKeyId: "ASIAUNKNOWNUNKNOWN00" }],
    ["another secret", { secretAccessKey: "wrong" }],
    ["another session token", { sessionToken: "wrong" }],
    ["no session token", { sessionToken: null }],
  ])("credentials with %s", async (_name, change) => {
    const credentials = { ...request.credentials, ...change }
    const { code } = await refusal(enclave()({ ...request, credentials }))
    expect(code).toBe("kms-credentials-refused")
  })

  it("a session that has expired", async () => {
    const credentials = currentRoleSession(sim.paths, 1)
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    const { code } = await refusal(enclave()({ ...request, credentials }))
    expect(code).toBe("kms-credentials-refused")
  })

  it("a ciphertext that was tampered with, or another context", async () => {
    const tampered = Buffer.from(ciphertext)
    tampered[tampered.length - 1] = (tampered.at(-1) ?? 0) ^ 1
    const decrypt = enclave()
    expect((await refusal(decrypt({ ...request, ciphertext: tampered }))).code).toBe(
      "kms-invalid-ciphertext",
    )
    for (const encryptionContext of [null, {}, { ...CONTEXT, other: "y" }]) {
      const { code } = await refusal(decrypt({ ...request, encryptionContext }))
      expect(code).toBe("kms-invalid-ciphertext")
    }
  })

  it("a ciphertext under another key than the one asked for", async () => {
    const other = await seedKmsKey({
      dir: sim.dir,
      policy: releaseKeyPolicy({ pcr0: PCR0.toString("hex") }),
    })
    const { code } = await refusal(enclave()({ ...request, keyId: other }))
    expect(code).toBe("kms-key-id-mismatch")
  })

  it("a key that is disabled or not there", async () => {
    const disabled = await seedKmsKey({
      dir: sim.dir,
      policy: releaseKeyPolicy({ pcr0: PCR0.toString("hex") }),
    })
    const blob = await sealed(disabled)
    const client = simKmsClient(sim.dir)
    await client.send(new DisableKeyCommand({ KeyId: disabled }))
    client.destroy()
    const decrypt = enclave()
    const unavailable = { ...request, ciphertext: blob, keyId: disabled }
    expect((await refusal(decrypt(unavailable))).code).toBe("kms-key-unavailable")
    const missing = keyArn.replace(/[0-9a-f]{12}$/, "000000000000")
    expect((await refusal(decrypt({ ...request, keyId: missing }))).code).toBe(
      "kms-key-unavailable",
    )
  })

  it("for the moment: throttled, or unavailable", async () => {
    settings({ throttleNext: 100 })
    expect((await refusal(enclave()(request))).code).toBe("kms-throttled")
    settings({ unavailableNext: 100 })
    expect((await refusal(enclave()(request))).code).toBe("kms-failed")
  })
})

describe("an answer that names another key", () => {
  it("is refused although it could be opened", async () => {
    const answerKeyId = "arn:aws:kms:us-east-1:123456789012:key/another"
    settings({ answerKeyId })
    expect(await refusal(enclave()(request))).toEqual({
      code: "kms-key-id-mismatch",
      detail: { keyId: answerKeyId },
    })
  })
})

describe("KMS cannot be reached", () => {
  it("without a relay", async () => {
    const free = await freePort()
    const decrypting = enclave({ connectRelay: relayTo(() => free) })(request)
    expect((await refusal(decrypting)).code).toBe("kms-unreachable")
  })

  it.each<[string, (socket: Socket) => void]>([
    ["that hangs up", (socket) => socket.destroy()],
    ["that ends politely", (socket) => socket.end()],
    ["that says nothing", () => {}],
    ["that speaks something else", (socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")],
    ["that hangs up within the handshake", (socket) => socket.once("data", () => socket.destroy())],
  ])("through a relay %s", async (_name, behave) => {
    const open = new Set<Socket>()
    const port = await tcpServer((socket) => {
      open.add(socket)
      socket.on("error", () => {}).once("close", () => open.delete(socket))
      behave(socket)
      socket.resume()
    })
    const start = Date.now()
    const decrypting = enclave({ connectRelay: relayTo(() => port), timeoutMs: 300 })(request)
    expect((await refusal(decrypting)).code).toBe("kms-unreachable")
    expect(Date.now() - start).toBeLessThan(8_000)
    // Nothing of a failed attempt stays open.
    await expect.poll(() => open.size, { timeout: 2_000 }).toBe(0)
  })

  it("when it takes the request and never answers", async () => {
    settings({ delayMs: 20_000 })
    const start = Date.now()
    const { code } = await refusal(enclave({ timeoutMs: 300 })(request))
    expect(code).toBe("kms-unreachable")
    expect(Date.now() - start).toBeLessThan(8_000)
  })
})

describe("who is not KMS", () => {
  it("for want of a root that we trust", async () => {
    expect(await refusal(enclave({ roots: AMAZON_ROOTS })(request))).toEqual({
      code: "kms-tls-untrusted",
      detail: { reason: expect.stringMatching(/^[A-Z_]+$/) },
    })
    expect((await refusal(enclave({ roots: [] })(request))).code).toBe("kms-tls-untrusted")
  })

  it("for another name in the certificate", async () => {
    const decrypting = enclave({ connectRelay: relayTo(() => simPort("s3")) })(request)
    expect(await refusal(decrypting)).toEqual({
      code: "kms-tls-untrusted",
      detail: { reason: "ERR_TLS_CERT_ALTNAME_INVALID" },
    })
  })

  it("for another region's name", async () => {
    const elsewhere = { ...request, region: "eu-west-1" }
    expect((await refusal(enclave()(elsewhere))).code).toBe("kms-tls-untrusted")
  })
})

describe("a KMS that misbehaves", () => {
  const answers: [string, (spki: Buffer) => string][] = [
    ["gives the plaintext itself", () => answer({ Plaintext: PLAINTEXT.toString("base64") })],
    ["gives nothing for the recipient", () => answer({})],
    ["gives something that is no CMS", () => answer({ CiphertextForRecipient: "AAAA" })],
    ["encrypts to another key", () => answer({ CiphertextForRecipient: cmsFor(strangerSpki()) })],
  ]
  it.each(answers)("%s", async (_name, reply) => {
    const port = await fakeKms(reply)
    const { code } = await refusal(enclave({ connectRelay: relayTo(() => port) })(request))
    expect(code).toBe("kms-malformed-response")
  })

  it("names no key", async () => {
    const port = await fakeKms((spki) =>
      answer({ KeyId: undefined, CiphertextForRecipient: cmsFor(spki) }),
    )
    const decrypt = enclave({ connectRelay: relayTo(() => port) })
    expect((await refusal(decrypt(request))).code).toBe("kms-key-id-mismatch")
    const { code } = await refusal(decrypt({ ...request, keyId: null }))
    expect(code).toBe("kms-malformed-response")
  })

  it("answers with something that is no JSON", async () => {
    const port = await fakeKms(() => "<html>")
    const { code } = await refusal(enclave({ connectRelay: relayTo(() => port) })(request))
    expect(code).toBe("kms-failed")
  })

  it("stops within its answer", async () => {
    const port = await fakeKms(() => '{"KeyId":', { stall: true })
    const decrypting = enclave({ connectRelay: relayTo(() => port), timeoutMs: 300 })(request)
    expect((await refusal(decrypting)).code).toBe("kms-unreachable")
  })

  it("is shown a fresh RSA-2048 key for every request", async () => {
    const seen: string[] = []
    const port = await fakeKms((spki) => {
      const key = createPublicKey({ key: spki, format: "der", type: "spki" })
      expect(key.asymmetricKeyDetails?.modulusLength).toBe(2048)
      seen.push(spki.toString("hex"))
      return answer({ CiphertextForRecipient: cmsFor(spki) })
    })
    const decrypt = enclave({ connectRelay: relayTo(() => port) })
    for (let i = 0; i < 3; i++) {
      expect((await decrypt(request)).plaintext.equals(PLAINTEXT)).toBe(true)
    }
    expect(new Set(seen).size).toBe(3)
  })
})

describe("an NSM that fails", () => {
  it("is attestation-failed, and KMS is not asked", async () => {
    const before = (await readAudit(sim.paths)).length
    const device = {
      transact: async () => Buffer.from("a1654572726f726d496e7465726e616c4572726f72", "hex"),
      close: () => {},
    }
    const { code } = await refusal(enclave({ nsm: new Nsm(device) })(request))
    expect(code).toBe("attestation-failed")
    expect(await readAudit(sim.paths)).toHaveLength(before)
  })
})

describe("kmsEndpoint", () => {
  it.each([
    ["us-east-1", "https://kms.us-east-1.amazonaws.com"],
    ["us-gov-west-1", "https://kms.us-gov-west-1.amazonaws.com"],
    ["cn-north-1", "https://kms.cn-north-1.amazonaws.com.cn"],
    ["eusc-de-east-1", "https://kms.eusc-de-east-1.amazonaws.eu"],
    ["us-iso-east-1", "https://kms.us-iso-east-1.c2s.ic.gov"],
    ["us-isob-east-1", "https://kms.us-isob-east-1.sc2s.sgov.gov"],
  ])("%s", (region, endpoint) => {
    expect(kmsEndpoint(region)).toBe(endpoint)
  })
})

/** The JSON of a Decrypt answer. */
function answer(fields: object): string {
  return JSON.stringify({ KeyId: keyArn, EncryptionAlgorithm: "SYMMETRIC_DEFAULT", ...fields })
}

function cmsFor(spki: Buffer): string {
  return sealToRecipient(PLAINTEXT, spki, "primitive", 1024).toString("base64")
}

function strangerSpki(): Buffer {
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
  return publicKey.export({ type: "spki", format: "der" })
}

/** Somebody with KMS's certificate who answers as told, given the recipient's public key. */
async function fakeKms(reply: (spki: Buffer) => string, { stall = false } = {}): Promise<number> {
  const server = createHttpsServer(readServerIdentity(sim.paths, "kms"), (incoming, outgoing) => {
    const chunks: Buffer[] = []
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk))
    incoming.on("end", () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as {
        Recipient: { AttestationDocument: string }
      }
      const bytes = Buffer.from(body.Recipient.AttestationDocument, "base64")
      const { publicKey } = decodeUnverifiedAttestationDocument(bytes)
      outgoing.setHeader("content-type", "application/x-amz-json-1.1")
      outgoing.write(reply(Buffer.from(publicKey ?? [])))
      if (!stall) outgoing.end()
    })
  })
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return listening(server)
}

async function tcpServer(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer(onConnection)
  cleanups.push(() => server.close())
  return listening(server)
}

async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listening(server)
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return (server.address() as AddressInfo).port
}
