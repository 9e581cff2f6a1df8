/** Region, partition and credentials of the host side, as environment and instance give them. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { partitionOf } from "../../parent/aws/region.js"
import { createAws } from "../../parent/aws.js"
import { credentialsSchema } from "../../shared/protocol/control.js"
import { readPrincipals } from "../../sim/iam/principals.js"
import { writeImdsSettings } from "../../sim/imds/settings.js"
import { startTestSimulator, type TestSimulator } from "../sim/simulator.js"
import { refusalOf } from "./refusal.js"
import { openSilentServer } from "./silent-server.js"
import { clearAwsEnvironment } from "./sim-environment.js"

const EAST = { region: "us-east-1" }

beforeEach(() => {
  clearAwsEnvironment()
  vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true")
})
afterEach(() => vi.unstubAllEnvs())

describe("the region", () => {
  it("is the configured one before the environment's", async () => {
    vi.stubEnv("AWS_REGION", "eu-west-1")
    vi.stubEnv("AWS_DEFAULT_REGION", "eu-west-2")
    expect((await createAws({ region: "us-east-1" })).region).toBe("us-east-1")
    expect((await createAws({})).region).toBe("eu-west-1")
    vi.stubEnv("AWS_REGION", "")
    expect((await createAws({})).region).toBe("eu-west-2")
  })

  it.each([undefined, ""])("is unknown where the environment has %j", async (value) => {
    vi.stubEnv("AWS_REGION", value)
    const { code, advice } = await refusalOf(createAws({}))
    expect(code).toBe("region-unknown")
    expect(advice).toContain("aws.region")
  })
})

describe("the partition", () => {
  it.each([
    ["us-east-1", "aws"],
    ["cn-northwest-1", "aws-cn"],
    ["us-gov-west-1", "aws-us-gov"],
    ["us-iso-east-1", "aws-iso"],
    ["us-isob-east-1", "aws-iso-b"],
    ["eusc-de-east-1", "aws-eusc"],
    ["xx-somewhere-1", "aws"],
  ])("of %s is %s where IMDS does not say", async (region, partition) => {
    expect(partitionOf(region)).toBe(partition)
    expect((await createAws({ region })).partition).toBe(partition)
  })
})

describe("on an instance", () => {
  let sim: TestSimulator
  beforeAll(async () => {
    sim = await startTestSimulator()
  })
  afterAll(() => sim.stop())
  beforeEach(() => {
    clearAwsEnvironment()
    vi.stubEnv("AWS_EC2_METADATA_SERVICE_ENDPOINT", sim.info.urls.imds)
    writeImdsSettings(sim.paths, {})
  })

  it("region, partition and credentials are the instance's", async () => {
    const aws = await createAws({})
    expect(aws).toMatchObject({ region: "us-east-1", partition: "aws" })
    const credentials = await aws.credentials()
    const [known] = readPrincipals(sim.paths).filter(
      ({ accessKeyId }) => accessKeyId === credentials.accessKeyId,
    )
    expect(known?.sessionToken).toBe(credentials.sessionToken)
    writeImdsSettings(sim.paths, { tokenStatus: 403, status: 503 })
    expect(await aws.credentials()).toEqual(credentials)
  })

  it("the region is unknown, with the reason, while IMDS refuses", async () => {
    writeImdsSettings(sim.paths, { tokenStatus: 403 })
    const { code, message } = await refusalOf(createAws({}))
    expect(code).toBe("region-unknown")
    expect(message).toContain("HTTP status 403")
  })
})

describe("credentials", () => {
  it("are what the enclave takes", async () => {
    vi.stubEnv("AWS_ACCESS_KEY_ID", "ASIA0123456789ABCDEF")
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    const lasting = await (await createAws(EAST)).credentials()
    expect(lasting).toEqual({
      accessKeyId: "ASIA0123456789ABCDEF",
      secretAccessKey: "s3cr3t",
      sessionToken: null,
    })
    expect(credentialsSchema.safeParse(lasting).success).toBe(true)
    vi.stubEnv("AWS_SESSION_TOKEN", "t0ken")
    expect((await (await createAws(EAST)).credentials()).sessionToken).toBe("t0ken")
  })

  it("that nobody gives are named as missing", async () => {
    const { code, advice } = await refusalOf((await createAws(EAST)).credentials())
    expect(code).toBe("credentials-unavailable")
    expect(advice).toContain("instance profile")
  })

  it("are not waited for once the caller leaves", async () => {
    const aws = await createAws(EAST)
    const silent = await openSilentServer()
    vi.stubEnv("AWS_EC2_METADATA_DISABLED", undefined)
    vi.stubEnv("AWS_EC2_METADATA_SERVICE_ENDPOINT", silent.url)
    const leaving = new AbortController()
    const waiting = aws.credentials(leaving.signal)
    leaving.abort(new Error("gone"))
    await expect(waiting).rejects.toThrow("gone")
    await silent.close()
  })
})
