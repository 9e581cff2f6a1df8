/** Doctor's checks of the metadata service, credentials, clock, KMS and sources, at the simulator's servers. */
import { readFile, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { DisableKeyCommand } from "@aws-sdk/client-kms"
import { S3Client } from "@aws-sdk/client-s3"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { Imds } from "../../parent/aws/imds.js"
import { createAws } from "../../parent/aws.js"
import { clock } from "../../parent/doctor/checks/clock.js"
import { credentials } from "../../parent/doctor/checks/credentials.js"
import { imds } from "../../parent/doctor/checks/imds.js"
import { kms } from "../../parent/doctor/checks/kms.js"
import { sources } from "../../parent/doctor/checks/sources.js"
import type { HostContextOptions } from "../../parent/doctor/context.js"
import { httpRequest } from "../../parent/doctor/http.js"
import {
  associateCertificate,
  certificateArn as newCertificateArn,
} from "../../sim/acm/associate.js"
import {
  attachRole,
  currentRoleSession,
  type Principal,
  readAdmin,
} from "../../sim/iam/principals.js"
import { writeImdsSettings } from "../../sim/imds/settings.js"
import { DEFAULT_KEY_POLICY } from "../../sim/kms/key-store.js"
import { ACCOUNT_ID, REGION, ROLE_ARN, ROLE_NAME } from "../../sim/paths.js"
import { writeS3Settings } from "../../sim/s3/settings.js"
import {
  releaseKeyPolicy,
  seedKmsKey,
  seedS3Object,
  simKmsClient,
  simS3Client,
} from "../../sim/seed.js"
import { startTestSimulator, type TestSimulator } from "../sim/simulator.js"
import { type ConfigChange, DoctorHost, outcomes, PCR0 } from "./doctor-fixture.js"
import { makeKey } from "./key-objects.js"
import { type Doors, openDoors, stubInstance } from "./sim-environment.js"

let sim: TestSimulator
let ca: string
let doors: Doors
let role: Principal
beforeAll(async () => {
  sim = await startTestSimulator()
  doors = await openDoors(sim)
  ca = await readFile(sim.paths.caFile, "utf8")
  role = currentRoleSession(sim.paths, 3_600)
})
afterAll(async () => {
  await doors.close()
  await sim.stop()
})

let host: DoctorHost
beforeEach(async () => {
  stubInstance(sim, doors)
  writeImdsSettings(sim.paths, {})
  host = await DoctorHost.create()
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await host.remove()
})

const CLOSED = "127.0.0.1:1"
const MINUTE_MS = 60_000

/** The host on an instance of the simulated account, as its role. */
function onInstance(change: { principal?: Principal; env?: NodeJS.ProcessEnv } = {}) {
  const { principal = role, env = {} } = change
  return {
    env: {
      PATH: host.bin,
      AWS_ENDPOINT_URL_KMS: sim.info.urls.kms,
      ...env,
    },
    imds: new Imds(),
    request: (request) => httpRequest({ ...request, ca }),
    aws: () => ({ s3: simS3Client(sim.dir, principal), kms: simKmsClient(sim.dir, principal) }),
  } satisfies Partial<HostContextOptions>
}

/** A server whose answers have this Date header. */
async function clockServer(date: Date): Promise<{ url: string; stop(): void }> {
  const server = createServer((_, response) => {
    response.sendDate = false
    response.setHeader("date", date.toUTCString()).writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, stop: () => server.close() }
}

describe("imds", () => {
  it("names the instance's role", async () => {
    const [finding] = await host.find(imds, {}, onInstance())
    expect([finding?.level, finding?.title]).toEqual([
      "ok",
      `the instance has the role ${ROLE_NAME}`,
    ])
  })

  it.each([
    ["AWS_EC2_METADATA_SERVICE_ENDPOINT", `http://${CLOSED}`, /ECONNREFUSED/],
    ["AWS_EC2_METADATA_DISABLED", "true", /switched off/],
  ])("does not answer: %s=%s", async (name, value, said) => {
    vi.stubEnv(name, value)
    const [finding] = await host.find(imds, {}, onInstance())
    expect([finding?.level, finding?.code]).toEqual(["warning", "imds-unreachable"])
    expect(finding?.detail).toMatch(said)
  })

  it("knows of no role", async () => {
    writeImdsSettings(sim.paths, { status: 404 })
    expect(outcomes(await host.find(imds, {}, onInstance()))).toEqual([
      "warning instance-profile-missing",
    ])
  })
})

describe("credentials", () => {
  const NOW = Date.parse("2026-01-01T00:00:00Z")

  /** The SDK's chain ends in this identity. */
  function withIdentity(identity: { sessionToken?: string; expiration?: Date } | undefined) {
    const provide = async () => {
      if (identity === undefined)
        throw Object.assign(new Error(), { name: "CredentialsProviderError" })
      return { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "n0tsh0wn", ...identity }
    }
    const s3 = () => new S3Client({ region: REGION, credentials: provide })
    return { aws: () => ({ s3: s3(), kms: simKmsClient(sim.dir) }), now: () => NOW }
  }

  it.each([
    [undefined, ["problem credentials-unavailable"]],
    [{}, ["warning credentials-long-lived"]],
    [{ sessionToken: "t" }, ["ok"]],
    [{ sessionToken: "t", expiration: new Date(NOW + 60 * MINUTE_MS) }, ["ok"]],
    [
      { sessionToken: "t", expiration: new Date(NOW + 2 * MINUTE_MS) },
      ["warning credentials-expiring"],
    ],
    [{ sessionToken: "t", expiration: new Date(NOW - 1) }, ["problem credentials-expired"]],
  ])("%j: %j", async (identity, expected) => {
    const findings = await host.find(credentials, {}, withIdentity(identity))
    expect(outcomes(findings)).toEqual(expected)
    expect(JSON.stringify(findings)).not.toMatch(/n0tsh0wn|AKIAIOSFODNN7EXAMPLE/)
  })

  it("of the instance's role are temporary", async () => {
    expect(outcomes(await host.find(credentials, {}, onInstance()))).toEqual(["ok"])
  })

  it("are of no use without a region", async () => {
    const aws = { region: undefined }
    const found = async () => outcomes(await host.find(credentials, { aws }, onInstance()))
    expect(await found()).toEqual(["ok"])
    vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true")
    expect(await found()).toEqual(["problem region-unknown", "ok"])
    vi.stubEnv("AWS_REGION", "eu-west-1")
    expect(await found()).toEqual(["ok"])
  })
})

describe("clock", () => {
  const NOW = Date.parse("2026-01-01T00:00:00Z")

  it.each([
    [0, "ok"],
    [29_000, "ok"],
    [-31_000, "warning clock-drifting"],
    [4 * MINUTE_MS, "warning clock-drifting"],
    [5 * MINUTE_MS, "problem clock-skewed"],
    [-48 * 60 * MINUTE_MS, "problem clock-skewed"],
  ])("%i ms off: %s", async (skew, expected) => {
    const server = await clockServer(new Date(NOW))
    const env = { AWS_ENDPOINT_URL_KMS: server.url }
    const findings = await host.find(clock, {}, { ...onInstance({ env }), now: () => NOW + skew })
    server.stop()
    expect(outcomes(findings)).toEqual([expected])
  })

  it("is right by the simulated KMS", async () => {
    expect(outcomes(await host.find(clock, {}, onInstance()))).toEqual(["ok"])
  })

  it("cannot be told where KMS is silent", async () => {
    const env = { AWS_ENDPOINT_URL_KMS: `https://${CLOSED}` }
    expect(outcomes(await host.find(clock, {}, onInstance({ env })))).toEqual([
      "unknown clock-unknown",
    ])
  })
})

describe("kms", () => {
  const withKey = (arn: string) => ({
    tokens: [
      {
        label: "web",
        source: { S3: { uri: "s3://keys/web.json", kms_key_id: arn } },
        target: { Snippet: { path: "/tmp/web.conf" } },
      },
    ],
  })

  it("answers and takes our signature", async () => {
    const [finding] = await host.find(kms, {}, onInstance())
    expect(finding?.title).toBe("KMS answers and takes our signature")
  })

  it("need not let the role describe the key", async () => {
    const arn = await seedKmsKey({ dir: sim.dir, policy: releaseKeyPolicy({ pcr0: PCR0 }) })
    expect(outcomes(await host.find(kms, withKey(arn), onInstance()))).toEqual(["ok"])
  })

  it("cannot be reached", async () => {
    const env = { AWS_ENDPOINT_URL_KMS: `https://${CLOSED}` }
    const [finding] = await host.find(kms, {}, onInstance({ env }))
    expect([finding?.code, finding?.detail]).toEqual([
      "kms-unreachable",
      `https://${CLOSED}: ECONNREFUSED`,
    ])
  })

  it("is not trusted with a certificate of somebody else's", async () => {
    const findings = await host.find(kms, {}, { ...onInstance(), request: httpRequest })
    expect(outcomes(findings)).toEqual(["problem kms-unreachable"])
  })

  it("refuses a signature by another secret, once for all keys", async () => {
    const principal = { ...role, secretAccessKey: "another" }
    const arn = await seedKmsKey({ dir: sim.dir, policy: DEFAULT_KEY_POLICY })
    const findings = await host.find(kms, withKey(arn), onInstance({ principal }))
    expect(outcomes(findings)).toEqual(["problem kms-credentials-refused"])
    expect(findings[0]?.detail).toContain("InvalidSignatureException")
  })

  it("does not have the key, has it switched off, or has it elsewhere", async () => {
    const principal = readAdmin(sim.paths)
    const arn = await seedKmsKey({ dir: sim.dir, policy: DEFAULT_KEY_POLICY })
    const as = onInstance({ principal })
    expect(outcomes(await host.find(kms, withKey(arn), as))).toEqual(["ok"])

    const client = simKmsClient(sim.dir)
    await client.send(new DisableKeyCommand({ KeyId: arn }))
    client.destroy()
    expect(outcomes(await host.find(kms, withKey(arn), as))).toEqual(["problem kms-key-unusable"])

    const missing = `arn:aws:kms:${REGION}:123456789012:key/00000000-0000-4000-8000-000000000000`
    expect(outcomes(await host.find(kms, withKey(missing), as))).toEqual([
      "problem kms-key-not-found",
    ])
    const elsewhere = missing.replace(REGION, "eu-west-1")
    expect(outcomes(await host.find(kms, withKey(elsewhere), as))).toEqual([
      "problem kms-key-elsewhere",
    ])
  })

  it("fails", async () => {
    const arn = await seedKmsKey({ dir: sim.dir, policy: DEFAULT_KEY_POLICY })
    const settings = `${sim.paths.kmsDir}/settings.json`
    await writeFile(settings, JSON.stringify({ unavailableNext: 10 }))
    const findings = await host.find(kms, withKey(arn), {
      ...onInstance(),
      aws: () => ({
        s3: simS3Client(sim.dir, role),
        kms: simKmsClient(sim.dir, role, { maxAttempts: 1 }),
      }),
    })
    await writeFile(settings, "{}")
    expect(outcomes(findings)).toEqual(["unknown kms-failed"])
  })
})

describe("sources", () => {
  const token = (source: object, label = "web") => ({
    label,
    source,
    target: { Snippet: { path: `/tmp/${label}.conf` } },
  })
  const s3 = (uri: string) => ({ tokens: [token({ S3: { uri } })] })
  const find = (change: ConfigChange) =>
    host.find(sources, change, { ...onInstance(), agentAws: (config) => createAws(config.aws) })

  let keyObject: string
  beforeAll(async () => {
    const { web, object } = await makeKey()
    keyObject = JSON.stringify({
      certificate: web.certificate,
      certificateChain: web.chain,
      encryptedPrivateKey: object.encryptedPrivateKey.toString("base64"),
      encryptionMethod: "KMS",
      encryptionKmsKeyId: "arn:aws:kms:us-east-1:123456789012:key/ours",
    })
    const seed = { dir: sim.dir, bucket: "keys" }
    await seedS3Object({ ...seed, key: "web.json", body: keyObject })
    await seedS3Object({ ...seed, key: "broken.json", body: "{}" })
  })

  it("can be read, from S3 and from files", async () => {
    expect(outcomes(await find(s3("s3://keys/web.json")))).toEqual(["ok"])
    const path = await host.file("web.json", keyObject)
    const tokens = [
      token({ S3: { uri: "s3://keys/web.json" } }),
      token({ FileDb: { path } }, "two"),
    ]
    const [finding] = await find({ tokens })
    expect(finding?.title).toBe("the key objects of all 2 tokens can be read")
  })

  it("of ACM are found by the role that the instance tells", async () => {
    const certificateArn = newCertificateArn(ACCOUNT_ID)
    const { web } = await makeKey()
    associateCertificate(sim.paths, {
      certificateArn,
      roleArn: ROLE_ARN,
      certificate: web.certificate,
      certificateChain: web.chain,
      privateKey: Buffer.from("a private key"),
    })
    const tokens = [token({ Acm: { certificate_arn: certificateArn } })]
    expect(outcomes(await find({ tokens }))).toEqual(["ok"])
    const elsewhere = certificateArn.replace(REGION, "eu-west-1")
    expect(
      outcomes(await find({ tokens: [token({ Acm: { certificate_arn: elsewhere } })] })),
    ).toEqual(["problem source-elsewhere"])
    writeImdsSettings(sim.paths, { instanceTags: false })
    vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true")
    expect(outcomes(await find({ tokens }))).toEqual(["problem role-arn-unknown"])
  })

  it("are missing, or are none, each said for its token", async () => {
    const path = "/nowhere/db.json"
    const tokens = [
      token({ S3: { uri: "s3://keys/missing.json" } }, "one"),
      token({ FileDb: { path } }, "two"),
      token({ S3: { uri: "s3://keys/broken.json" } }, "three"),
    ]
    const findings = await find({ tokens })
    expect(findings.map(({ code, title }) => [code, title])).toEqual([
      ["source-not-found", "token one: its key object cannot be had"],
      ["source-not-found", "token two: its key object cannot be had"],
      ["source-malformed", "token three: its key object cannot be had"],
    ])
    expect(findings[1]?.detail).toContain(path)
  })

  it("are refused, and the permission and its statement named", async () => {
    attachRole(sim.paths, ROLE_ARN, { Version: "2012-10-17", Statement: [] })
    const [finding] = await find(s3("s3://keys/web.json"))
    attachRole(sim.paths, ROLE_ARN)
    expect(finding?.code).toBe("source-access-denied")
    expect(finding?.advice).toContain('"Action":"s3:GetObject"')
    expect(finding?.advice).toContain("arn:aws:s3:::keys/web.json")
  })

  it("cannot be reached, or asked for", async () => {
    vi.stubEnv("AWS_ENDPOINT_URL_S3", `http://${CLOSED}`)
    expect(outcomes(await find(s3("s3://keys/web.json")))).toEqual(["problem source-unreachable"])
    vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true")
    const nowhere = { ...s3("s3://keys/web.json"), aws: { region: undefined } }
    const [finding] = await find(nowhere)
    expect([finding?.code, finding?.title]).toEqual([
      "source-unreachable",
      "no token's key object can be asked for",
    ])
  })

  it("fail", async () => {
    writeS3Settings(sim.paths, { throttleNext: 10 })
    const findings = await find(s3("s3://keys/web.json"))
    writeS3Settings(sim.paths, {})
    expect(outcomes(findings)).toEqual(["unknown source-failed"])
  })
})
