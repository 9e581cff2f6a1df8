/** The simulated IMDSv2, asked as the agent asks it and by the AWS SDK's own provider. */
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3"
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest"
import { attachRole, readPrincipals } from "../../sim/iam/principals.js"
import { writeImdsSettings } from "../../sim/imds/settings.js"
import {
  ACCOUNT_ID,
  INSTANCE_ID,
  INSTANCE_PROFILE_ARN,
  ROLE_ARN,
  ROLE_NAME,
} from "../../sim/paths.js"
import { seedS3Object, simS3Client } from "../../sim/seed.js"
import { startTestSimulator, type TestSimulator } from "./simulator.js"

const TTL = "x-aws-ec2-metadata-token-ttl-seconds"
const TOKEN = "x-aws-ec2-metadata-token"
/** Sessions are renewed at half their life: soon enough to see it. */
const SESSION_TTL_SECS = 6

let sim: TestSimulator
beforeAll(async () => {
  sim = await startTestSimulator({ sessionTtlSecs: SESSION_TTL_SECS })
})
afterAll(() => sim.stop())
afterEach(() => {
  vi.unstubAllEnvs()
})

function ask(path: string, headers: Record<string, string> = {}, method = "GET") {
  return fetch(`${sim.info.urls.imds}/latest/${path}`, { method, headers })
}

async function token(ttlSecs = 60): Promise<string> {
  const response = await ask("api/token", { [TTL]: String(ttlSecs) }, "PUT")
  expect(response.status).toBe(200)
  return response.text()
}

async function read(path: string): Promise<string> {
  const response = await ask(path, { [TOKEN]: await token() })
  expect(response.status, path).toBe(200)
  return response.text()
}

describe("tokens", () => {
  it("are demanded, live as long as asked and no longer", async () => {
    expect((await ask("meta-data/instance-id")).status).toBe(401)
    expect((await ask("meta-data/instance-id", { [TOKEN]: "guess" })).status).toBe(401)
    const brief = await token(1)
    expect((await ask("meta-data/instance-id", { [TOKEN]: brief })).status).toBe(200)
    await new Promise((resolve) => setTimeout(resolve, 1100))
    expect((await ask("meta-data/instance-id", { [TOKEN]: brief })).status).toBe(401)
  })

  it.each(["", "0", "21601", "1.5", "x"])("are refused for a life of '%s'", async (ttl) => {
    expect((await ask("api/token", { [TTL]: ttl }, "PUT")).status).toBe(400)
  })

  it("are refused to a proxy", async () => {
    const headers = { [TTL]: "60", "x-forwarded-for": "10.0.0.1" }
    expect((await ask("api/token", headers, "PUT")).status).toBe(403)
  })
})

describe("documents", () => {
  it("name the instance, its region and its role", async () => {
    expect(await read("meta-data/instance-id")).toBe(INSTANCE_ID)
    expect(await read("meta-data/placement/region")).toBe("us-east-1")
    expect(await read("meta-data/services/partition")).toBe("aws")
    expect(await read("meta-data/tags/instance/InstanceRoleArn")).toBe(ROLE_ARN)
    expect(await read("meta-data/iam/security-credentials/")).toBe(ROLE_NAME)
    const profile = JSON.parse(await read("meta-data/iam/info"))
    expect(profile).toMatchObject({ Code: "Success", InstanceProfileArn: INSTANCE_PROFILE_ARN })
    const identity = JSON.parse(await read("dynamic/instance-identity/document"))
    expect(identity).toMatchObject({ instanceId: INSTANCE_ID, region: "us-east-1" })
    expect((await ask("meta-data/nothing", { [TOKEN]: await token() })).status).toBe(404)
  })

  it("hand out credentials that are renewed before they end", async () => {
    const path = `meta-data/iam/security-credentials/${ROLE_NAME}`
    const next = async () => JSON.parse(await read(path))
    const first = await next()
    expect(first).toMatchObject({ Code: "Success", Type: "AWS-HMAC" })
    expect((await next()).AccessKeyId).toBe(first.AccessKeyId)
    await new Promise((resolve) => setTimeout(resolve, (SESSION_TTL_SECS * 1000) / 2 + 100))
    const second = await next()
    expect(second.AccessKeyId).not.toBe(first.AccessKeyId)
    // The first has not ended: whoever holds it may go on until it does.
    expect(Date.parse(first.Expiration)).toBeGreaterThan(Date.now())
    const known = readPrincipals(sim.paths).map(({ accessKeyId }) => accessKeyId)
    expect(known).toEqual(expect.arrayContaining([first.AccessKeyId, second.AccessKeyId]))
  })
})

describe("settings", () => {
  afterEach(() => writeImdsSettings(sim.paths, {}))

  it("hide the instance's tags", async () => {
    writeImdsSettings(sim.paths, { instanceTags: false })
    for (const path of ["meta-data/tags/instance", "meta-data/tags/instance/InstanceRoleArn"]) {
      expect((await ask(path, { [TOKEN]: await token() })).status).toBe(404)
    }
    expect(await read("meta-data/instance-id")).toBe(INSTANCE_ID)
  })

  it("play faults, of tokens and of documents", async () => {
    const known = await token()
    writeImdsSettings(sim.paths, { tokenStatus: 403, status: 503 })
    expect((await ask("api/token", { [TTL]: "60" }, "PUT")).status).toBe(403)
    expect((await ask("meta-data/instance-id", { [TOKEN]: known })).status).toBe(503)
  })
})

describe("another role", () => {
  it("is the instance's once it is attached, with credentials of its own", async () => {
    const arn = `arn:aws:iam::${ACCOUNT_ID}:role/servers/front`
    attachRole(sim.paths, arn)
    expect(await read("meta-data/tags/instance/InstanceRoleArn")).toBe(arn)
    expect(await read("meta-data/iam/security-credentials/")).toBe("front")
    const { AccessKeyId } = JSON.parse(await read("meta-data/iam/security-credentials/front"))
    const owner = readPrincipals(sim.paths).find(({ accessKeyId }) => accessKeyId === AccessKeyId)
    expect(owner?.roleArn).toBe(arn)
    const former = `meta-data/iam/security-credentials/${ROLE_NAME}`
    expect((await ask(former, { [TOKEN]: await token() })).status).toBe(404)
    attachRole(sim.paths, ROLE_ARN)
  })
})

describe("the SDK's default provider chain", () => {
  it("finds the role's credentials here, and S3 accepts them", async () => {
    await seedS3Object({ dir: sim.dir, bucket: "imds-test", key: "k", body: "b" })
    vi.stubEnv("AWS_EC2_METADATA_SERVICE_ENDPOINT", sim.info.urls.imds)
    for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"]) {
      vi.stubEnv(name, undefined)
    }
    vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    vi.stubEnv("AWS_CONFIG_FILE", "/dev/null")
    const admin = simS3Client(sim.dir)
    const chain = new S3Client({
      region: "us-east-1",
      endpoint: sim.info.urls.s3,
      forcePathStyle: true,
      requestHandler: admin.config.requestHandler,
    })
    const credentials = await chain.config.credentials()
    expect(credentials.sessionToken).toBeDefined()
    const answer = await chain.send(new GetObjectCommand({ Bucket: "imds-test", Key: "k" }))
    expect(await answer.Body?.transformToString()).toBe("b")
    chain.destroy()
    admin.destroy()
  })
})
