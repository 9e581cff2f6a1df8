/** Key objects from the simulated S3, by the real SDK. */
import { once } from "node:events"
import { rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { S3Client } from "@aws-sdk/client-s3"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { S3Source } from "../../parent/source/s3-source.js"
import type { Fetched } from "../../parent/source/source.js"
import {
  attachRole,
  currentRoleSession,
  type Principal,
  SESSION_TTL_SECS,
} from "../../sim/iam/principals.js"
import { ACCOUNT_ID, REGION } from "../../sim/paths.js"
import { writeS3Settings } from "../../sim/s3/settings.js"
import { seedS3Object, simS3Client } from "../../sim/seed.js"
import { startTestSimulator, type TestSimulator } from "../sim/simulator.js"
import { makeKey } from "./key-objects.js"
import { refusalOf } from "./refusal.js"
import { closedAddress, openSilentServer } from "./silent-server.js"

const BUCKET = "keys-of-the-test"
const KEY = "a b/www (1).json"
const URI = `s3://${BUCKET}/${KEY}`
const LIMITED_ROLE = `arn:aws:iam::${ACCOUNT_ID}:role/limited`
const KMS_KEY = "arn:aws:kms:us-east-1:123456789012:key/ours"

let sim: TestSimulator
let session: Principal
let client: S3Client
let body: string
beforeAll(async () => {
  sim = await startTestSimulator()
  session = currentRoleSession(sim.paths, SESSION_TTL_SECS)
  client = simS3Client(sim.dir, session, { maxAttempts: 1 })
  body = await keyObjectJson()
})
beforeEach(() => put(body))
afterAll(async () => {
  client.destroy()
  await sim.stop()
})

async function keyObjectJson(): Promise<string> {
  const { web } = await makeKey()
  return JSON.stringify({
    certificate: web.certificate,
    certificateChain: web.chain,
    encryptedPrivateKey: "AAAA",
    encryptionMethod: "KMS",
  })
}

function put(content: string, key = KEY): Promise<string> {
  return seedS3Object({ dir: sim.dir, bucket: BUCKET, key, body: content })
}

/** Of the leaf, where there is a new object. */
function fingerprintOf(fetched: Fetched): string | undefined {
  return fetched.changed ? fetched.object.certificates[0]?.fingerprint256 : undefined
}

/** What a source is refused by a client with these credentials. */
async function refusedTo(principal: Principal, uri = URI) {
  const other = simS3Client(sim.dir, principal, { maxAttempts: 1 })
  try {
    const error = await refusalOf(new S3Source(other, uri).fetch())
    const told = `${error.message} ${error.advice}`
    expect(told).not.toContain(principal.secretAccessKey)
    if (principal.sessionToken) expect(told).not.toContain(principal.sessionToken)
    return error
  } finally {
    other.destroy()
  }
}

describe("fetch", () => {
  it("gives the object first, then nothing until it changes", async () => {
    const source = new S3Source(client, URI)
    const first = await source.fetch()
    expect(fingerprintOf(first)).toBeDefined()
    expect(await source.fetch()).toEqual({ changed: false })
    expect(await source.fetch()).toEqual({ changed: false })
    await put(await keyObjectJson())
    const second = await source.fetch()
    expect(fingerprintOf(second)).toBeDefined()
    expect(fingerprintOf(second)).not.toBe(fingerprintOf(first))
    expect(await source.fetch()).toEqual({ changed: false })
  })

  it("goes on after a failure as if it had not been", async () => {
    const source = new S3Source(client, URI)
    await source.fetch()
    await put("not JSON")
    expect((await refusalOf(source.fetch())).code).toBe("key-object-not-json")
    // It is refused again, not taken for unchanged.
    expect((await refusalOf(source.fetch())).code).toBe("key-object-not-json")
    await put(body)
    expect(await source.fetch()).toEqual({ changed: false })
  })
})

describe("the KMS key", () => {
  it("is the one that the object names", async () => {
    await put(JSON.stringify({ ...JSON.parse(body), encryptionKmsKeyId: KMS_KEY }))
    const source = new S3Source(client, URI)
    expect(source.acceptedKeyId).toBeNull()
    expect(await source.fetch()).toMatchObject({ object: { keyId: KMS_KEY } })
  })

  it("is the configured one whatever the object names", async () => {
    const other = KMS_KEY.replace("ours", "another")
    await put(JSON.stringify({ ...JSON.parse(body), encryptionKmsKeyId: other }))
    const source = new S3Source(client, URI, { acceptedKeyId: KMS_KEY })
    expect(source.acceptedKeyId).toBe(KMS_KEY)
    expect(await source.fetch()).toMatchObject({ object: { keyId: KMS_KEY } })
  })
})

describe("S3 under stress", () => {
  let patient: S3Client
  beforeAll(() => {
    patient = simS3Client(sim.dir, session, { maxAttempts: 3 })
  })
  afterEach(() => writeS3Settings(sim.paths, {}))
  afterAll(() => patient.destroy())

  it.each([
    ["throttles", { throttleNext: 2 }],
    ["is unavailable", { unavailableNext: 2 }],
  ])("that %s for a moment is not noticed", async (_name, settings) => {
    writeS3Settings(sim.paths, settings)
    expect((await new S3Source(patient, URI).fetch()).changed).toBe(true)
  })

  it.each([
    ["s3-throttled", { throttleNext: 3 }, "SlowDown"],
    ["s3-failed", { unavailableNext: 3 }, "ServiceUnavailable"],
  ])("is told as %s", async (expected, settings, name) => {
    writeS3Settings(sim.paths, settings)
    const { code, message } = await refusalOf(new S3Source(patient, URI).fetch())
    expect(code).toBe(expected)
    expect(message).toContain(name)
  })

  it("is not waited for once the fetch is called off", async () => {
    writeS3Settings(sim.paths, { delayMs: 600_000 })
    const leaving = new AbortController()
    const source = new S3Source(patient, URI)
    const fetching = refusalOf(source.fetch(leaving.signal))
    setTimeout(() => leaving.abort(), 50)
    expect((await fetching).code).toBe("fetch-aborted")
    expect((await refusalOf(source.fetch(AbortSignal.abort()))).code).toBe("fetch-aborted")
    writeS3Settings(sim.paths, {})
    expect((await source.fetch(new AbortController().signal)).changed).toBe(true)
  })
})

describe("what is refused", () => {
  it.each([
    ["an object that is missing", `s3://${BUCKET}/none.json`, /no such object/],
    ["a bucket that is missing", "s3://no-such-bucket/x", /no such bucket/],
  ])("%s", async (_name, uri, reason) => {
    const { code, message, advice } = await refusalOf(new S3Source(client, uri).fetch())
    expect(code).toBe("s3-object-not-found")
    expect(message).toMatch(reason)
    expect(message).toContain(uri)
    expect(advice).toBe("Check the source's uri.")
  })

  describe("to a role", () => {
    const RESOURCE = `arn:aws:s3:::${BUCKET}`
    const GET = { Effect: "Allow" as const, Action: "s3:GetObject", Resource: `${RESOURCE}/*` }
    const LIST = { Effect: "Allow" as const, Action: "s3:ListBucket", Resource: RESOURCE }

    /** What the source is refused under this identity policy, and the statement that it advises. */
    async function refusedUnder(statements: (typeof GET)[], key: string) {
      attachRole(sim.paths, LIMITED_ROLE, { Version: "2012-10-17", Statement: statements })
      const limited = currentRoleSession(sim.paths, SESSION_TTL_SECS)
      const error = await refusedTo(limited, `s3://${BUCKET}/${key}`)
      const [statement] = /\{.*\}/.exec(error.advice) ?? []
      return { ...error, message: error.message, statement: statement && JSON.parse(statement) }
    }

    it("without the permission, with the statement that grants it", async () => {
      const { code, message, statement } = await refusedUnder([LIST], KEY)
      expect(code).toBe("s3-access-denied")
      expect(message).toContain("S3 refused s3:GetObject")
      const granting = { ...GET, Resource: `${RESOURCE}/${KEY}` }
      expect(statement).toEqual(granting)
      // The statement does what is said of it.
      attachRole(sim.paths, LIMITED_ROLE, { Version: "2012-10-17", Statement: [statement] })
      const limited = currentRoleSession(sim.paths, SESSION_TTL_SECS)
      const other = simS3Client(sim.dir, limited, { maxAttempts: 1 })
      expect((await new S3Source(other, URI).fetch()).changed).toBe(true)
      other.destroy()
    })

    it("that may not learn that an object is missing, with that statement too", async () => {
      const { code, message, statement } = await refusedUnder([GET], "none.json")
      expect(code).toBe("s3-access-denied")
      expect(message).toContain("no such object")
      expect(statement).toEqual(LIST)
      const told = await refusedUnder([GET, statement], "none.json")
      expect(told.code).toBe("s3-object-not-found")
    })

    it("that a policy denies explicitly, without a statement that would not help", async () => {
      const deny = { ...GET, Effect: "Deny" as const, Principal: "*" }
      const file = join(sim.paths.s3Dir, `${BUCKET}.policy.json`)
      writeFileSync(file, JSON.stringify({ Statement: [deny] }))
      const { code, message, advice, statement } = await refusedUnder([GET, LIST], KEY)
      rmSync(file)
      expect(code).toBe("s3-access-denied")
      expect(message).toContain("a resource-based policy denies it explicitly")
      expect(advice).toBe(`Take s3:GetObject on ${RESOURCE}/${KEY} out of that deny.`)
      expect(statement).toBeUndefined()
    })
  })

  it("a clock that is not S3's", async () => {
    const systemClockOffset = 16 * 60_000
    const other = simS3Client(sim.dir, session, { maxAttempts: 1, systemClockOffset })
    const { code, advice } = await refusalOf(new S3Source(other, URI).fetch())
    other.destroy()
    expect(code).toBe("s3-clock-skew")
    expect(advice).toContain("169.254.169.123")
  })

  it("a bucket of another region, which is named", async () => {
    const { credentials, requestHandler } = client.config
    const other = new S3Client({
      region: "eu-west-1",
      credentials,
      endpoint: sim.info.urls.s3,
      requestHandler,
      forcePathStyle: true,
      maxAttempts: 1,
    })
    const { code, message, advice } = await refusalOf(new S3Source(other, URI).fetch())
    expect(code).toBe("s3-wrong-region")
    expect(message).toContain("the bucket is in us-east-1")
    expect(advice).toContain("aws.region")
  })

  it.each([
    ["an unknown access key", { accessKeyId: "AKIA0123456789ABCDEF" }, "InvalidAccessKeyId"],
    ["a wrong secret", { secretAccessKey: "wr0ng-s3cr3t" }, "SignatureDoesNotMatch"],
    ["a wrong session token", { sessionToken: "wr0ng-t0ken" }, "InvalidToken"],
  ])("%s", async (_name, change, name) => {
    const { code, message } = await refusedTo({ ...session, ...change })
    expect(code).toBe("s3-access-denied")
    expect(message).toContain(name)
  })

  it("no credentials at all", async () => {
    const none = new S3Client({
      region: REGION,
      credentials: () => {
        throw Object.assign(new Error("none"), { name: "CredentialsProviderError" })
      },
    })
    const { code, advice } = await refusalOf(new S3Source(none, URI).fetch())
    expect(code).toBe("credentials-unavailable")
    expect(advice).toContain("instance profile")
  })

  it.each([
    ["key-object-not-json", "<xml/>", "is not JSON"],
    ["key-object-malformed", "{}", "certificate, certificateChain"],
    ["key-object-malformed", " ".repeat(262_145), "256 KiB"],
  ])("%s: %.10j…", async (expected, content, reason) => {
    await put(content, "malformed.json")
    const uri = `s3://${BUCKET}/malformed.json`
    const { code, message } = await refusalOf(new S3Source(client, uri).fetch())
    expect(code).toBe(expected)
    expect(message).toContain(uri)
    expect(message).toContain(reason)
  })
})

describe("S3 out of reach", () => {
  function clientFor(endpoint: string, timeoutMs = 300): S3Client {
    const { accessKeyId, secretAccessKey } = session
    return new S3Client({
      region: REGION,
      endpoint,
      forcePathStyle: true,
      maxAttempts: 1,
      credentials: { accessKeyId, secretAccessKey },
      requestHandler: { connectionTimeout: timeoutMs, socketTimeout: timeoutMs },
    })
  }

  it("nobody listens", async () => {
    const source = new S3Source(clientFor(await closedAddress()), URI)
    const { code, message, advice } = await refusalOf(source.fetch())
    expect(code).toBe("s3-unreachable")
    expect(message).toContain("ECONNREFUSED")
    expect(advice).toContain("VPC endpoint")
  })

  it("somebody listens and says nothing", async () => {
    const silent = await openSilentServer()
    const source = new S3Source(clientFor(silent.url), URI)
    expect((await refusalOf(source.fetch())).code).toBe("s3-unreachable")
    await silent.close()
  })

  it("somebody stops in the middle of the object, and is left when the fetch is called off", async () => {
    const leaving = new AbortController()
    const server = createServer((_request, response) => {
      response.writeHead(200, { etag: '"1"', "content-length": 1_000 })
      response.write("{")
      setTimeout(() => leaving.abort(), 50)
    })
    const left = once(server, "connection").then(([socket]) => once(socket, "close"))
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as AddressInfo
    const source = new S3Source(clientFor(`http://127.0.0.1:${port}`, 10_000), URI)
    expect((await refusalOf(source.fetch(leaving.signal))).code).toBe("fetch-aborted")
    await left
    await new Promise((resolve) => server.close(resolve))
  })

  it("its certificate is of no authority that is trusted", async () => {
    const { code, message, advice } = await refusalOf(
      new S3Source(clientFor(sim.info.urls.s3), URI).fetch(),
    )
    expect(code).toBe("s3-unreachable")
    expect(message).toMatch(/CERT|SIGNATURE|ISSUER/)
    expect(advice).toContain("NODE_EXTRA_CA_CERTS")
  })
})
