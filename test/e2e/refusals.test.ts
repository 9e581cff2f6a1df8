/**
 * Whatever is refused is refused with a code of its own and a sentence, by the real programs, and
 * after each refusal the service still serves.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { execa } from "execa"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import type { CborValue } from "../../shared/cbor.js"
import { encodeFrame } from "../../shared/frame.js"
import { SIGNING_STATUS } from "../../shared/protocol/signing-status.js"
import { fingerprintOf } from "../../shared/public-key.js"
import { encryptUnderKey, releaseKeyPolicy, seedKmsKey, seedS3Object } from "../../sim/seed.js"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import { Deployment } from "../../sim/testbed/deployment.js"
import { Testbed } from "../../sim/testbed/testbed.js"
import { RawClient } from "./raw-client.js"

const BUCKET = "refusals"

let testbed: Testbed
let deployment: Deployment
beforeAll(async () => {
  testbed = await Testbed.up()
  deployment = await Deployment.create(testbed, {
    ...{ name: "serving", keyType: "RSA-2048", binding: "engine" },
  })
}, 90_000)
afterAll(() => testbed?.down(), 60_000)
afterEach(async () => {
  // The page is served as before, by the same enclave.
  expect(await deployment.fetch()).toBe(deployment.apache.page.trim())
})

interface LogLine {
  code?: string
  reason?: string
  advice?: string
}

/** Runs the agent once against the serving enclave, with another token from `uri`. */
async function agentOnce(uri: string, setup: { enclave?: object; token?: object } = {}) {
  const apache = await testbed.apache("refused", { binding: "engine", runDir: deployment.runDir })
  const config = await testbed.agentConfig("refused", {
    label: "refused",
    uri,
    apache,
    enclave: { name: deployment.label, ...setup.enclave },
    options: { run_dir: deployment.runDir, reload_command: ["true"] },
    ...(setup.token && { token: { ...setup.token } }),
  })
  const { exitCode, stdout, stderr } = await testbed.tlskeep([
    "agent",
    "--once",
    "--config",
    config,
  ])
  const lines = stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as LogLine)
  const failure = lines.find(({ code }) => code !== undefined)
  return { exitCode, failure, stderr }
}

async function put(name: string, body: string): Promise<string> {
  await seedS3Object({ dir: testbed.info.dir, bucket: BUCKET, key: name, body })
  return `s3://${BUCKET}/${name}`
}

/** A good key object, to be spoilt. */
async function sealed(name: string): Promise<Record<string, unknown>> {
  const uri = await testbed.seal(await testbed.issue("P-256"), await testbed.kmsKey(), name)
  const file = join(testbed.info.dir, "s3", uri.slice("s3://".length))
  return JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>
}

function kmsSettings(settings: object): void {
  writeFileSync(join(testbed.info.dir, "kms", "settings.json"), JSON.stringify(settings))
}

describe("provisioning", () => {
  const keyWith = async (policy: string): Promise<string> => {
    const keyArn = await seedKmsKey({ dir: testbed.info.dir, policy })
    return testbed.seal(await testbed.issue("P-256"), keyArn, `key-${keyArn.slice(-8)}`)
  }

  test("a key policy that names another PCR0: kms-access-denied, naming the image's", async () => {
    const uri = await keyWith(releaseKeyPolicy({ pcr0: "ab".repeat(48) }))
    const { exitCode, failure } = await agentOnce(uri)
    expect(exitCode).toBe(1)
    expect(failure?.code).toBe("kms-access-denied")
    expect(failure?.reason).toContain(await testbed.pcr0(CHECKOUT.image))
    expect(failure?.advice).toContain("kms:RecipientAttestation:ImageSha384")
  })

  test("a policy that denies: kms-explicit-deny", async () => {
    const policy = JSON.parse(releaseKeyPolicy({ pcr0: await testbed.pcr0(CHECKOUT.image) })) as {
      Statement: object[]
    }
    policy.Statement.push({
      ...{ Effect: "Deny", Principal: { AWS: testbed.info.roleArn } },
      ...{ Action: "kms:Decrypt", Resource: "*" },
    })
    const { failure } = await agentOnce(await keyWith(JSON.stringify(policy)))
    expect(failure?.code).toBe("kms-explicit-deny")
  })

  test("an image other than the approved one: pcr-mismatch", async () => {
    const object = await put("approved.json", JSON.stringify(await sealed("approved")))
    const { exitCode, stderr } = await agentOnce(object, {
      enclave: { expected_pcr0: "cd".repeat(48) },
    })
    expect(exitCode).toBe(1)
    expect(stderr).toContain("tlskeep: pcr-mismatch: ")
    expect(stderr).toContain(await testbed.pcr0(CHECKOUT.image))
  })

  test("a certificate of another key: certificate-key-mismatch", async () => {
    const keyArn = await testbed.kmsKey()
    const [mine, other] = [await testbed.issue("P-256"), await testbed.issue("P-256")]
    const encrypted = await encryptUnderKey({
      ...{ dir: testbed.info.dir, keyArn, plaintext: Buffer.from(mine.privateKey) },
    })
    const object = {
      certificate: other.certificate,
      certificateChain: other.chain,
      encryptedPrivateKey: Buffer.from(encrypted).toString("base64"),
      encryptionMethod: "KMS",
    }
    const { failure } = await agentOnce(await put("mismatch.json", JSON.stringify(object)))
    expect(failure?.code).toBe("certificate-key-mismatch")
  })

  test("a sealed object with another certificate: encryption-context-mismatch", async () => {
    const { certificate } = await testbed.issue("P-256")
    const object = { ...(await sealed("swapped")), certificate }
    const { failure } = await agentOnce(await put("swapped.json", JSON.stringify(object)))
    expect(failure?.code).toBe("encryption-context-mismatch")
  })

  test("KMS answering for another key: kms-key-id-mismatch", async () => {
    const uri = await put("other-key.json", JSON.stringify(await sealed("other-key")))
    kmsSettings({ answerKeyId: await testbed.kmsKey() })
    const { failure } = await agentOnce(uri)
    kmsSettings({})
    expect(failure?.code).toBe("kms-key-id-mismatch")
  })

  test("a KMS key other than the configured one: kms-key-id-mismatch", async () => {
    const uri = await put("pinned-key.json", JSON.stringify(await sealed("pinned-key")))
    const kms_key_id = await testbed.kmsKey()
    const { failure } = await agentOnce(uri, { token: { source: { S3: { uri, kms_key_id } } } })
    expect(failure?.code).toBe("kms-key-id-mismatch")
  })

  test("no object in S3: s3-object-not-found", async () => {
    const { failure } = await agentOnce(`s3://${BUCKET}/nothing.json`)
    expect(failure?.code).toBe("s3-object-not-found")
    expect(failure?.reason).toContain(`s3://${BUCKET}/nothing.json`)
  })

  test("an object that is not JSON: key-object-not-json", async () => {
    const { failure } = await agentOnce(await put("text.json", "no JSON"))
    expect(failure?.code).toBe("key-object-not-json")
  })

  test("an object without a field: key-object-malformed, naming it", async () => {
    const { encryptedPrivateKey: _gone, ...object } = await sealed("incomplete")
    const { failure } = await agentOnce(await put("incomplete.json", JSON.stringify(object)))
    expect(failure?.code).toBe("key-object-malformed")
    expect(failure?.reason).toContain("encryptedPrivateKey")
  })
})

test("a misspelt key in the configuration: its place and the likely spelling", async () => {
  const good = readFileSync(deployment.configFile, "utf8")
  const file = join(testbed.dir, "misspelt.yaml")
  writeFileSync(file, good.replace("boot_timeout_ms", "boot_timout_ms"))
  const { exitCode, stderr } = await testbed.tlskeep(["agent", "--config", file])
  const line = good.split("\n").findIndex((text) => text.includes("boot_timeout_ms")) + 1
  expect(exitCode).toBe(1)
  expect(stderr).toContain("tlskeep: config-invalid: ")
  expect(stderr).toContain(`${file}:${line}:3: unknown key "boot_timout_ms"`)
  expect(stderr).toContain("did you mean boot_timeout_ms?")
})

test("a wrong PIN: CKR_PIN_INCORRECT", async () => {
  const { exitCode, stderr } = await execa(
    "pkcs11-tool",
    ["--module", CHECKOUT.module, "--login", "--pin", "not-the-pin", "--list-objects"],
    { env: { TLSKEEP_ENDPOINT_FILE: deployment.endpointFile }, reject: false },
  )
  expect(exitCode).not.toBe(0)
  expect(stderr).toContain("CKR_PIN_INCORRECT")
})

describe("on the signing port", () => {
  let client: RawClient
  const open = async (): Promise<RawClient> => {
    client = await RawClient.connect(readFileSync(deployment.endpointFile, "utf8").trim())
    return client
  }
  afterEach(() => client?.close())

  test("a frame larger than allowed: frame-too-large, closed", async () => {
    await open()
    client.write(Buffer.from([0, 1, 0, 1, 0]))
    expect(await client.answer()).toEqual([0, SIGNING_STATUS["frame-too-large"]])
    await client.closed
  })

  test("a frame cut short: malformed-request, closed", async () => {
    await open()
    client.write(Buffer.from([0, 0, 0, 9, 0x83, 1]))
    client.end()
    expect(await client.answer()).toEqual([0, SIGNING_STATUS["malformed-request"]])
    await client.closed
  })

  test("what is not CBOR: malformed-request, closed", async () => {
    await open()
    client.write(encodeFrame(Buffer.from([0x9f, 0xff])))
    expect(await client.answer()).toEqual([0, SIGNING_STATUS["malformed-request"]])
    await client.closed
  })

  test("an unknown op: unknown-op, and the connection goes on", async () => {
    await open()
    await client.request([1, "hello", 1])
    expect(await client.request([2, "export"])).toEqual([2, SIGNING_STATUS["unknown-op"]])
    expect((await client.request([3, "generation"]))[1]).toBe(SIGNING_STATUS.ok)
  })

  const sha256Info = Buffer.from("3031300d060960864801650304020105000420", "hex")
  const sha1Info = Buffer.from("3021300906052b0e03021a05000414", "hex")
  const cases: [string, string, Buffer, CborValue, keyof typeof SIGNING_STATUS][] = [
    [
      "a mechanism outside the policy",
      "RSA_X_509",
      Buffer.alloc(256, 1),
      null,
      "mechanism-refused",
    ],
    ["a mechanism of other keys", "ECDSA", Buffer.alloc(32), null, "mechanism-refused"],
    [
      "a DigestInfo of SHA-1",
      "RSA_PKCS",
      Buffer.concat([sha1Info, Buffer.alloc(20)]),
      null,
      "data-refused",
    ],
    ["data that is no DigestInfo", "RSA_PKCS", Buffer.alloc(51), null, "data-refused"],
    [
      "a DigestInfo with more behind it",
      "RSA_PKCS",
      Buffer.concat([sha256Info, Buffer.alloc(33)]),
      null,
      "data-refused",
    ],
    ["PSS over SHA-1", "RSA_PKCS_PSS", Buffer.alloc(20), ["SHA-1", 20], "mechanism-param-refused"],
    ["PSS over a short value", "RSA_PKCS_PSS", Buffer.alloc(31), ["SHA-256", 32], "data-len-range"],
  ]
  test.each(cases)("%s", async (_name, mechanism, data, parameter, status) => {
    await open()
    await client.request([1, "hello", 1])
    const [, , listed] = await client.request([2, "list", 0])
    const [, , tokens] = listed as [number, number, { label: string; publicKey: Uint8Array }[]]
    const token = tokens.find(({ label }) => label === deployment.label)
    const fingerprint = fingerprintOf(token?.publicKey ?? Buffer.alloc(0))
    const pinFile = join(
      deployment.runDir,
      `pins/${Buffer.from(deployment.label).toString("hex")}.pin`,
    )
    await client.request([3, "login", deployment.label, readFileSync(pinFile, "utf8")])
    const sign = (name: string, value: Buffer, param: CborValue): Promise<unknown[]> =>
      client.request([4, "sign", fingerprint, name, value, param])
    expect(await sign(mechanism, data, parameter)).toEqual([4, SIGNING_STATUS[status]])
    const digestInfo = Buffer.concat([sha256Info, Buffer.alloc(32, 7)])
    expect((await sign("RSA_PKCS", digestInfo, null))[1]).toBe(SIGNING_STATUS.ok)
  })
})
