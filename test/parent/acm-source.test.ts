/** Certificates of ACM, as the simulated association publishes them, by the agent's own clients. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { type Aws, createAws } from "../../parent/aws.js"
import { AcmSource } from "../../parent/source/acm-source.js"
import { createSource } from "../../parent/source/create-source.js"
import { associateCertificate, certificateArn } from "../../sim/acm/associate.js"
import { attachRole } from "../../sim/iam/principals.js"
import { writeImdsSettings } from "../../sim/imds/settings.js"
import { ACCOUNT_ID, ROLE_ARN } from "../../sim/paths.js"
import { writeS3Settings } from "../../sim/s3/settings.js"
import { startTestSimulator, type TestSimulator } from "../sim/simulator.js"
import { makeKey } from "./key-objects.js"
import { refusalOf } from "./refusal.js"
import { type Doors, openDoors, stubInstance } from "./sim-environment.js"

const WITH_PATH = `arn:aws:iam::${ACCOUNT_ID}:role/servers/front`
const KMS_KEY = "arn:aws:kms:us-east-1:123456789012:key/ours"

let sim: TestSimulator
let doors: Doors
let arn: string
let aws: Aws
beforeAll(async () => {
  sim = await startTestSimulator()
  doors = await openDoors(sim)
})
afterAll(async () => {
  await doors.close()
  await sim.stop()
})
beforeEach(async () => {
  stubInstance(sim, doors)
  writeImdsSettings(sim.paths, {})
  attachRole(sim.paths, ROLE_ARN)
  arn = certificateArn(ACCOUNT_ID)
  aws = await createAws({})
})
afterEach(() => vi.unstubAllEnvs())

/** Publishes a fresh certificate; returns its fingerprint. */
async function publish(change: { roleArn?: string; suite?: "beta" } = {}): Promise<string> {
  const { web, object } = await makeKey()
  associateCertificate(sim.paths, {
    certificateArn: arn,
    roleArn: ROLE_ARN,
    certificate: web.certificate,
    certificateChain: web.chain,
    privateKey: Buffer.from("ciphertext's plaintext"),
    ...change,
  })
  return object.certificates[0]?.fingerprint256 ?? ""
}

function source(): AcmSource {
  return new AcmSource(aws, { certificateArn: arn })
}

async function fingerprint(from: AcmSource): Promise<string | undefined> {
  const fetched = await from.fetch()
  return fetched.changed ? fetched.object.certificates[0]?.fingerprint256 : "unchanged"
}

describe("a certificate", () => {
  it("is fetched by the instance's role, and again when ACM renewed it", async () => {
    const first = await publish()
    const acm = source()
    expect(acm.name).toBe(arn)
    expect(await fingerprint(acm)).toBe(first)
    expect(await fingerprint(acm)).toBe("unchanged")
    const second = await publish()
    expect(second).not.toBe(first)
    expect(await fingerprint(acm)).toBe(second)
    expect(await fingerprint(acm)).toBe("unchanged")
  })

  it("has its chain in order and no KMS key of its own", async () => {
    await publish()
    const fetched = await source().fetch()
    expect(fetched).toMatchObject({ object: { keyId: null, encryptionContext: null } })
    expect(fetched.changed && fetched.object.certificates).toHaveLength(2)
    const bound = createSource({ kind: "Acm", certificate_arn: arn, kms_key_id: KMS_KEY }, aws)
    expect(bound).toMatchObject({ name: arn, acceptedKeyId: KMS_KEY })
    expect(await bound.fetch()).toMatchObject({ object: { keyId: KMS_KEY } })
  })

  it("of a role with a path is found by what IAM says of it", async () => {
    attachRole(sim.paths, WITH_PATH)
    writeImdsSettings(sim.paths, { instanceTags: false })
    const expected = await publish({ roleArn: WITH_PATH })
    expect(await fingerprint(source())).toBe(expected)
  })

  it("in another of AWS's buckets is found by its name", async () => {
    const expected = await publish({ suite: "beta" })
    expect((await refusalOf(source().fetch())).code).toBe("s3-access-denied")
    const acm = new AcmSource(aws, { certificateArn: arn, bucket: "beta" })
    expect(await fingerprint(acm)).toBe(expected)
  })

  it("is fetched with the role known before while IMDS is away", async () => {
    await publish()
    const acm = source()
    await acm.fetch()
    writeImdsSettings(sim.paths, { status: 503, tokenStatus: 503 })
    const renewed = await publish()
    expect(await fingerprint(acm)).toBe(renewed)
  })
})

describe("what is refused", () => {
  it("a certificate that no role is associated with, as one that may not be read", async () => {
    await publish({ roleArn: WITH_PATH })
    const { code, message, advice } = await refusalOf(source().fetch())
    expect(code).toBe("s3-access-denied")
    expect(message).toContain(`${arn} is not associated with the role ${ROLE_ARN}`)
    expect(message).toContain("s3:GetObject")
    const command = `aws ec2 associate-enclave-certificate-iam-role --region us-east-1 --certificate-arn ${arn} --role-arn ${ROLE_ARN}`
    expect(advice).toContain(command)
    const bucket = "aws-ec2-enclave-certificate-us-east-1-prod"
    expect(JSON.parse(/\{.*?\}/.exec(advice)?.[0] ?? "")).toEqual({
      Effect: "Allow",
      Action: "s3:GetObject",
      Resource: `arn:aws:s3:::${bucket}/${ROLE_ARN}/${arn}`,
    })
  })

  it("a bucket that AWS has not", async () => {
    const acm = new AcmSource(aws, { certificateArn: arn, bucket: "none" })
    const { code, message, advice } = await refusalOf(acm.fetch())
    expect(code).toBe("acm-not-associated")
    expect(message).toContain("no bucket aws-ec2-enclave-certificate-us-east-1-none")
    expect(advice).toContain("aws ec2 associate-enclave-certificate-iam-role")
  })

  it("a role without the permission, until it has the one advised", async () => {
    await publish()
    attachRole(sim.paths, ROLE_ARN, { Version: "2012-10-17", Statement: [] })
    const acm = source()
    const { code, advice } = await refusalOf(acm.fetch())
    expect(code).toBe("s3-access-denied")
    const Statement = [JSON.parse(/\{.*?\}/.exec(advice)?.[0] ?? "")]
    attachRole(sim.paths, ROLE_ARN, { Version: "2012-10-17", Statement })
    expect((await acm.fetch()).changed).toBe(true)
  })

  it("a certificate of another region", async () => {
    arn = arn.replace("us-east-1", "eu-west-1")
    const { code, message, advice } = await refusalOf(source().fetch())
    expect(code).toBe("acm-wrong-region")
    expect(message).toContain("of eu-west-1, and the instance is in us-east-1")
    expect(advice).toContain("us-east-1")
  })

  it("a role that is not known", async () => {
    writeImdsSettings(sim.paths, { status: 503 })
    expect((await refusalOf(source().fetch())).code).toBe("role-unknown")
  })

  it("credentials that have been refused, without a word of associations", async () => {
    await publish()
    vi.stubEnv("AWS_ACCESS_KEY_ID", "AKIA0123456789ABCDEF")
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "wr0ng")
    aws = await createAws({})
    const { code, message, advice } = await refusalOf(source().fetch())
    expect(code).toBe("s3-access-denied")
    expect(message).toContain("InvalidAccessKeyId")
    expect(advice).not.toContain("associate")
    expect(`${message}${advice}`).not.toContain("wr0ng")
  })

  it("a fetch that was called off, while the role is looked for and while S3 is silent", async () => {
    await publish()
    writeImdsSettings(sim.paths, { delayMs: 200 })
    const acm = source()
    expect((await refusalOf(acm.fetch(AbortSignal.abort()))).code).toBe("fetch-aborted")
    writeImdsSettings(sim.paths, {})
    await aws.roleArn()
    writeS3Settings(sim.paths, { delayMs: 600_000 })
    const leaving = new AbortController()
    const fetching = refusalOf(acm.fetch(leaving.signal))
    setTimeout(() => leaving.abort(), 50)
    expect((await fetching).code).toBe("fetch-aborted")
    writeS3Settings(sim.paths, {})
    expect((await acm.fetch()).changed).toBe(true)
  })
})
