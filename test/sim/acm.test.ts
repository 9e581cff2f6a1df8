/** Associations of ACM's certificates with roles: what is published, and who gets it. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import {
  DecryptCommand,
  DescribeKeyCommand,
  type KMSClient,
  KMSServiceException,
  PutKeyPolicyCommand,
} from "@aws-sdk/client-kms"
import {
  CreateBucketCommand,
  GetObjectCommand,
  PutObjectCommand,
  type S3Client,
  S3ServiceException,
} from "@aws-sdk/client-s3"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  type Association,
  type AssociationAnswer,
  associateCertificate,
  certificateArn,
} from "../../sim/acm/associate.js"
import { attachRole, currentRoleSession, SESSION_TTL_SECS } from "../../sim/iam/principals.js"
import { ACCOUNT_ID, ROLE_ARN } from "../../sim/paths.js"
import { simKmsClient, simS3Client } from "../../sim/seed.js"
import { Compiled } from "../compiled.js"
import { run } from "./process.js"
import { makeRecipient, startTestSimulator, type TestSimulator } from "./simulator.js"

const OTHER_ROLE = `arn:aws:iam::${ACCOUNT_ID}:role/other`
const PRIVATE_KEY = Buffer.from("a private key")

let sim: TestSimulator
let s3: S3Client
let kms: KMSClient
let answer: AssociationAnswer
const arn = certificateArn(ACCOUNT_ID)
beforeAll(async () => {
  sim = await startTestSimulator()
  const session = currentRoleSession(sim.paths, SESSION_TTL_SECS)
  s3 = simS3Client(sim.dir, session)
  kms = simKmsClient(sim.dir, session)
  answer = associate({})
})
afterAll(async () => {
  s3.destroy()
  kms.destroy()
  await sim.stop()
})

function associate(change: Partial<Association>) {
  return associateCertificate(sim.paths, {
    certificateArn: arn,
    roleArn: ROLE_ARN,
    certificate: "leaf",
    certificateChain: "chain",
    privateKey: PRIVATE_KEY,
    ...change,
  })
}

/** HTTP status and error code of S3's or KMS's refusal. */
async function refusalOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return "no error"
  } catch (error) {
    if (error instanceof S3ServiceException || error instanceof KMSServiceException) {
      return `${error.$metadata.httpStatusCode} ${error.name}`
    }
    throw error
  }
}

function get(client: S3Client, key: string, bucket = answer.CertificateS3BucketName) {
  return client.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
}

async function published(key = answer.CertificateS3ObjectKey): Promise<Record<string, string>> {
  const { Body } = await get(s3, key)
  return JSON.parse((await Body?.transformToString()) ?? "")
}

async function decrypt(Recipient?: { AttestationDocument: Uint8Array }) {
  const { encryptedPrivateKey = "" } = await published()
  return kms.send(
    new DecryptCommand({
      CiphertextBlob: Buffer.from(encryptedPrivateKey, "base64"),
      ...(Recipient && {
        Recipient: { ...Recipient, KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256" },
      }),
    }),
  )
}

describe("an association", () => {
  it("publishes the certificate where the role's agent looks", async () => {
    expect(answer).toEqual({
      CertificateS3BucketName: "aws-ec2-enclave-certificate-us-east-1-prod",
      CertificateS3ObjectKey: `${ROLE_ARN}/${arn}`,
      EncryptionKmsKeyId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    })
    expect(await published()).toEqual({
      certificate: "leaf",
      certificateChain: "chain",
      encryptedPrivateKey: expect.stringMatching(/^[A-Za-z0-9+/]+=*$/),
      encryptionMethod: "KMS",
    })
  })

  it("lets the role's enclaves decrypt, and nobody without attestation", async () => {
    expect(await refusalOf(decrypt())).toBe("400 AccessDeniedException")
    const { document } = await makeRecipient(sim.pki)
    const { CiphertextForRecipient, KeyId } = await decrypt({ AttestationDocument: document })
    expect(CiphertextForRecipient?.length).toBeGreaterThan(0)
    expect(KeyId).toContain(answer.EncryptionKmsKeyId)
  })

  it("can be made for one image", async () => {
    associate({ pcr0: "bb".repeat(48) })
    const asks = async (pcr0: number) => {
      const { document } = await makeRecipient(sim.pki, { pcr0: Buffer.alloc(48, pcr0) })
      return refusalOf(decrypt({ AttestationDocument: document }))
    }
    expect(await asks(0xaa)).toBe("400 AccessDeniedException")
    expect(await asks(0xbb)).toBe("no error")
    answer = associate({})
  })

  it("makes a key of AWS's, which the account's owner cannot change", async () => {
    const admin = simKmsClient(sim.dir)
    const KeyId = answer.EncryptionKmsKeyId
    const change = new PutKeyPolicyCommand({ KeyId, Policy: '{"Statement":[]}' })
    expect(await refusalOf(admin.send(change))).toBe("400 AccessDeniedException")
    expect(await refusalOf(admin.send(new DescribeKeyCommand({ KeyId })))).toBe(
      "400 AccessDeniedException",
    )
    admin.destroy()
  })

  it.each([
    ["a certificate of another region", { certificateArn: arn.replace("us-east-1", "eu-west-1") }],
    ["a role that is none", { roleArn: "arn:aws:iam::123456789012:user/x" }],
    ["a key that KMS cannot encrypt", { privateKey: Buffer.alloc(4_097) }],
  ])("is refused for %s", (_name, change) => {
    expect(() => associate(change)).toThrow(expect.objectContaining({ code: "bad-argument" }))
  })
})

describe("AWS's bucket", () => {
  it("gives each role its own objects, and tells nothing of the rest", async () => {
    const other = associate({ roleArn: OTHER_ROLE })
    expect(other.CertificateS3BucketName).toBe(answer.CertificateS3BucketName)
    expect(await refusalOf(get(s3, answer.CertificateS3ObjectKey))).toBe("no error")
    expect(await refusalOf(get(s3, other.CertificateS3ObjectKey))).toBe("403 AccessDenied")
    expect(await refusalOf(get(s3, `${ROLE_ARN}/missing`))).toBe("403 AccessDenied")
    const none = get(s3, answer.CertificateS3ObjectKey, "aws-ec2-enclave-certificate-us-east-1-x")
    expect(await refusalOf(none)).toBe("404 NoSuchBucket")
  })

  it("is another account's, its administrator included", async () => {
    const admin = simS3Client(sim.dir)
    const Bucket = answer.CertificateS3BucketName
    expect(await refusalOf(get(admin, answer.CertificateS3ObjectKey))).toBe("403 AccessDenied")
    const put = new PutObjectCommand({ Bucket, Key: "x", Body: "x" })
    expect(await refusalOf(admin.send(put))).toBe("403 AccessDenied")
    expect(await refusalOf(admin.send(new CreateBucketCommand({ Bucket })))).toBe(
      "409 BucketAlreadyExists",
    )
    admin.destroy()
  })

  it("demands that the role's own policy allows as well", async () => {
    attachRole(sim.paths, OTHER_ROLE, { Version: "2012-10-17", Statement: [] })
    const { CertificateS3ObjectKey } = associate({ roleArn: OTHER_ROLE })
    const session = () => currentRoleSession(sim.paths, SESSION_TTL_SECS)
    const limited = simS3Client(sim.dir, session())
    expect(await refusalOf(get(limited, CertificateS3ObjectKey))).toBe("403 AccessDenied")
    attachRole(sim.paths, OTHER_ROLE)
    expect(await refusalOf(get(limited, CertificateS3ObjectKey))).toBe("no error")
    limited.destroy()
  })
})

describe("main.js acm associate", () => {
  it("prints what the AWS CLI does, and the names that it chose", async () => {
    const compiled = await Compiled.simulator()
    const dir = mkdtempSync(join(tmpdir(), "acm-"))
    try {
      const file = (name: string) => {
        writeFileSync(join(dir, name), name)
        return join(dir, name)
      }
      const files = ["--certificate", file("leaf"), "--private-key", file("key")]
      const args = ["acm", "associate", "--dir", dir, ...files]
      const { code, stdout } = await run(process.execPath, [compiled.path("sim/main.js"), ...args])
      expect(code).toBe(0)
      const told = JSON.parse(stdout)
      expect(told).toMatchObject({
        RoleArn: ROLE_ARN,
        CertificateArn: expect.stringMatching(/^arn:aws:acm:/),
      })
      const { CertificateS3BucketName: bucket, CertificateS3ObjectKey: key } = told
      expect(key).toBe(`${ROLE_ARN}/${told.CertificateArn}`)
      const object = JSON.parse(readFileSync(join(dir, "s3", bucket, key), "utf8"))
      expect(object).toMatchObject({ certificate: "leaf", certificateChain: "" })
    } finally {
      rmSync(dir, { recursive: true })
      await compiled.remove()
    }
  }, 60_000)
})
