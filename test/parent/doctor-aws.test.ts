/** Doctor's checks of the metadata service, credentials, clock, KMS and sources, at the simulator's servers. */
import { readFile, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { DisableKeyCommand } from "@aws-sdk/client-kms"
import { S3Client } from "@aws-sdk/client-s3"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { clock } from "../../parent/doctor/checks/clock.js"
import { credentials } from "../../parent/doctor/checks/credentials.js"
import { imds } from "../../parent/doctor/checks/imds.js"
import { kms } from "../../parent/doctor/checks/kms.js"
import { sources } from "../../parent/doctor/checks/sources.js"
import type { HostContextOptions } from "../../parent/doctor/context.js"
import { httpRequest } from "../../parent/doctor/http.js"
import { currentRoleSession, type Principal, readAdmin } from "../../sim/iam/principals.js"
import { DEFAULT_KEY_POLICY } from "../../sim/kms/key-store.js"
import { REGION, ROLE_ARN, ROLE_NAME } from "../../sim/paths.js"
import {
  releaseKeyPolicy,
  seedKmsKey,
  seedS3Object,
  simKmsClient,
  simS3Client,
} from "../../sim/seed.js"
import { startTestSimulator, type TestSimulator } from "../sim/simulator.js"
import { DoctorHost, outcomes, PCR0 } from "./doctor-fixture.js"

let sim: TestSimulator
let ca: string
let role: Principal
beforeAll(async () => {
  sim = await startTestSimulator()
  ca = await readFile(sim.paths.caFile, "utf8")
  role = currentRoleSession(sim.paths, 3_600)
})
afterAll(() => sim.stop())

let host: DoctorHost
beforeEach(async () => {
  host = await DoctorHost.create()
})
afterEach(() => host.remove())

const CLOSED = "127.0.0.1:1"
const MINUTE_MS = 60_000

/** The host on an instance of the simulated account, as its role. */
function onInstance(change: { principal?: Principal; env?: NodeJS.ProcessEnv } = {}) {
  const { principal = role, env = {} } = change
  return {
    env: {
      PATH: host.bin,
      AWS_EC2_METADATA_SERVICE_ENDPOINT: sim.info.urls.imds,
      AWS_ENDPOINT_URL_KMS: sim.info.urls.kms,
      ...env,
    },
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
    { AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://${CLOSED}` },
    { AWS_EC2_METADATA_DISABLED: "true" },
  ])("does not answer: %j", async (env) => {
    const findings = await host.find(imds, {}, onInstance({ env }))
    expect(outcomes(findings)).toEqual(["warning imds-unreachable"])
  })

  it("knows of no role", async () => {
    const server = createServer((request, response) => {
      response.writeHead(request.method === "PUT" ? 200 : 404).end("token")
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as AddressInfo
    const env = { AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://127.0.0.1:${port}` }
    const findings = await host.find(imds, {}, onInstance({ env }))
    server.close()
    expect(outcomes(findings)).toEqual(["warning instance-profile-missing"])
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
    const nowhere = onInstance({ env: { AWS_EC2_METADATA_DISABLED: "true" } })
    expect(outcomes(await host.find(credentials, { aws }, nowhere))).toEqual([
      "problem region-unknown",
      "ok",
    ])
    const env = { AWS_REGION: "eu-west-1", AWS_EC2_METADATA_DISABLED: "true" }
    expect(outcomes(await host.find(credentials, { aws }, onInstance({ env })))).toEqual(["ok"])
    expect(outcomes(await host.find(credentials, { aws }, onInstance()))).toEqual(["ok"])
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
  const CERTIFICATE_ARN = `arn:aws:acm:${REGION}:123456789012:certificate/0aa1b2c3`
  const target = { Snippet: { path: "/tmp/web.conf" } }
  const token = (source: object, label = "web") => ({ label, source, target })
  const s3 = (uri: string) => token({ S3: { uri } })

  beforeAll(async () => {
    const seed = { dir: sim.dir, body: "{}" }
    await seedS3Object({ ...seed, bucket: "keys", key: "web.json" })
    const bucket = `aws-ec2-enclave-certificate-${REGION}-prod`
    await seedS3Object({ ...seed, bucket, key: `${ROLE_ARN}/${CERTIFICATE_ARN}` })
  })

  it("can be read", async () => {
    const tokens = [s3("s3://keys/web.json")]
    expect(outcomes(await host.find(sources, { tokens }, onInstance()))).toEqual(["ok"])
  })

  it("of ACM are found by the role that the instance tells", async () => {
    const tokens = [token({ Acm: { certificate_arn: CERTIFICATE_ARN } })]
    expect(outcomes(await host.find(sources, { tokens }, onInstance()))).toEqual(["ok"])
    const env = { AWS_EC2_METADATA_DISABLED: "true" }
    expect(outcomes(await host.find(sources, { tokens }, onInstance({ env })))).toEqual([
      "problem role-arn-unknown",
    ])
    const aws = { role_arn: ROLE_ARN }
    expect(outcomes(await host.find(sources, { tokens, aws }, onInstance({ env })))).toEqual(["ok"])
  })

  it("are missing, each said for its token", async () => {
    const missing = "s3://keys/missing.json"
    const path = "/nowhere/db.json"
    const files = [
      token({ S3: { uri: missing } }, "one"),
      { ...token({ FileDb: { path } }, "two"), target: { Snippet: { path: "/tmp/two.conf" } } },
    ]
    const findings = await host.find(sources, { tokens: files }, onInstance())
    expect(findings.map(({ code, detail }) => [code, detail])).toEqual([
      ["source-not-found", missing],
      ["source-not-found", `${path}: ENOENT`],
    ])
  })

  it("in a file can be read", async () => {
    const path = await host.file("db.json", "[]")
    const tokens = [token({ FileDb: { path } })]
    expect(outcomes(await host.find(sources, { tokens }, onInstance()))).toEqual(["ok"])
  })

  it("are refused, and the permission named", async () => {
    const tokens = [s3("s3://keys/web.json")]
    const principal = { ...role, secretAccessKey: "another" }
    const [finding] = await host.find(sources, { tokens }, onInstance({ principal }))
    expect(finding?.code).toBe("source-access-denied")
    expect(finding?.advice).toContain("s3:GetObject on arn:aws:s3:::keys/web.json")
  })

  /** S3 as it answers a HEAD from elsewhere, or when it fails. */
  it.each([
    [301, "problem source-elsewhere"],
    [400, "problem source-elsewhere"],
    [503, "unknown source-failed"],
  ])("with status %i: %s", async (status, expected) => {
    const server = createServer((_, response) => response.writeHead(status).end())
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as AddressInfo
    const findings = await host.find(sources, {}, { ...onInstance(), aws: () => s3At(port) })
    server.close()
    server.closeAllConnections()
    expect(outcomes(findings)).toEqual([expected])
  })

  it("cannot be reached", async () => {
    const findings = await host.find(sources, {}, { ...onInstance(), aws: () => s3At(1) })
    expect(outcomes(findings)).toEqual(["problem source-unreachable"])
  })

  function s3At(port: number) {
    const { accessKeyId, secretAccessKey } = role
    const client = new S3Client({
      region: REGION,
      endpoint: `http://127.0.0.1:${port}`,
      forcePathStyle: true,
      maxAttempts: 1,
      credentials: { accessKeyId, secretAccessKey },
    })
    return { s3: client, kms: simKmsClient(sim.dir, role) }
  }
})
