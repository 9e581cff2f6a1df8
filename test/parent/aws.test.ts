/** Region and credentials of the host side, as the environment gives them. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { awsClients, requireRegion } from "../../parent/aws.js"
import { credentialsSchema } from "../../shared/protocol/control.js"
import { refusalOf } from "./refusal.js"

let home: string
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aws-"))
})
afterAll(() => rm(home, { recursive: true }))
beforeEach(() => {
  for (const name of Object.keys(process.env)) {
    if (name.startsWith("AWS_")) vi.stubEnv(name, undefined)
  }
  vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true")
  vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", join(home, "credentials"))
  vi.stubEnv("AWS_CONFIG_FILE", join(home, "config"))
})
afterEach(() => vi.unstubAllEnvs())

describe("the region", () => {
  it("is the configured one before the environment's", () => {
    vi.stubEnv("AWS_REGION", "eu-west-1")
    expect(requireRegion("us-east-1")).toBe("us-east-1")
    expect(requireRegion(undefined)).toBe("eu-west-1")
  })

  it.each([undefined, ""])("is unknown where the environment has %j", async (value) => {
    vi.stubEnv("AWS_REGION", value)
    const { code, advice } = await refusalOf(() => awsClients(undefined))
    expect(code).toBe("region-unknown")
    expect(advice).toContain("aws.region")
  })
})

describe("credentials", () => {
  it("are what the enclave takes", async () => {
    vi.stubEnv("AWS_ACCESS_KEY_ID", "ASIA0123456789ABCDEF")
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    const lasting = await awsClients("us-east-1").credentials()
    expect(lasting).toEqual({
      accessKeyId: "ASIA0123456789ABCDEF",
      secretAccessKey: "s3cr3t",
      sessionToken: null,
    })
    expect(credentialsSchema.safeParse(lasting).success).toBe(true)
    vi.stubEnv("AWS_SESSION_TOKEN", "t0ken")
    expect((await awsClients("us-east-1").credentials()).sessionToken).toBe("t0ken")
  })

  it("that nobody gives are named as missing", async () => {
    const { code, advice } = await refusalOf(awsClients("us-east-1").credentials())
    expect(code).toBe("credentials-unavailable")
    expect(advice).toContain("instance profile")
  })
})
