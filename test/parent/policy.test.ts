/** What `tlskeep policy` prints, put to the simulator's KMS and IAM: it must be possible to be refused. */
import { createHash } from "node:crypto"
import {
  CreateKeyCommand,
  DecryptCommand,
  EncryptCommand,
  GetKeyPolicyCommand,
  type KMSClient,
  KMSServiceException,
  PutKeyPolicyCommand,
} from "@aws-sdk/client-kms"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { type PolicyInput, policiesFor } from "../../parent/policy/policies.js"
import { conditionContext } from "../../sim/iam/conditions.js"
import { evaluateAccess } from "../../sim/iam/evaluate.js"
import { policySchema, resourcePolicySchema } from "../../sim/iam/policy-document.js"
import { currentRoleSession, SESSION_TTL_SECS } from "../../sim/iam/principals.js"
import { ACCOUNT_ID, ADMIN_ARN, ROLE_ARN, ROLE_SESSION_ARN } from "../../sim/paths.js"
import { simKmsClient } from "../../sim/seed.js"
import { makeRecipient, startTestSimulator, type TestSimulator } from "../sim/simulator.js"
import { refusalOf } from "./refusal.js"

vi.setConfig({ testTimeout: 30_000, hookTimeout: 60_000 })

const IMAGE = Buffer.alloc(48, 0xaa)
const OTHER_IMAGE = Buffer.alloc(48, 0xbb)
const KEY = `arn:aws:kms:us-east-1:${ACCOUNT_ID}:key/11111111-2222-3333-4444-555555555555`
const CERTIFICATE = `arn:aws:acm:eu-west-1:${ACCOUNT_ID}:certificate/0a1b2c3d`
const ROOT = `arn:aws:iam::${ACCOUNT_ID}:root`

function input(change: Partial<PolicyInput> = {}): PolicyInput {
  return {
    pcr0: [IMAGE.toString("hex")],
    pcr3: false,
    signed: false,
    roleArn: ROLE_ARN,
    kmsKeyId: KEY,
    adminArn: [ADMIN_ARN],
    sealerArn: [],
    accountRoot: false,
    s3Uri: ["s3://example-keys/web.json"],
    ...change,
  }
}

/** Input of ACM alone, as far as it is the same everywhere. */
function acmInput(change: Partial<PolicyInput> = {}): PolicyInput {
  const { kmsKeyId: _own, ...rest } = input({ pcr0: [], s3Uri: [], adminArn: [], ...change })
  return { ...rest, certificateArn: CERTIFICATE }
}

describe("the key policy, in a KMS", () => {
  let sim: TestSimulator
  let admin: KMSClient
  let role: KMSClient
  beforeAll(async () => {
    sim = await startTestSimulator()
    admin = simKmsClient(sim.dir)
    role = simKmsClient(sim.dir, currentRoleSession(sim.paths, SESSION_TTL_SECS))
  })
  afterAll(async () => {
    admin.destroy()
    role.destroy()
    await sim.stop()
  })

  /** A key with the policy, made as its administrator makes it: KMS refuses one that locks him out. */
  async function key(change: Partial<PolicyInput> = {}, ...more: object[]): Promise<string> {
    const { keyPolicy } = policiesFor(input(change))
    const document = { ...keyPolicy, Statement: [...(keyPolicy?.Statement ?? []), ...more] }
    const made = await admin.send(new CreateKeyCommand({ Policy: JSON.stringify(document) }))
    return made.KeyMetadata?.Arn ?? ""
  }

  /** Decrypts what the administrator sealed; returns `allowed` or KMS's words. */
  async function decrypt(keyArn: string, by: KMSClient, pcr0?: Buffer): Promise<string> {
    const { CiphertextBlob } = await admin.send(
      new EncryptCommand({ KeyId: keyArn, Plaintext: Buffer.from("key") }),
    )
    const recipient =
      pcr0 === undefined
        ? {}
        : {
            Recipient: {
              KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256" as const,
              AttestationDocument: (await makeRecipient(sim.pki, { pcr0 })).document,
            },
          }
    try {
      await by.send(new DecryptCommand({ KeyId: keyArn, CiphertextBlob, ...recipient }))
      return "allowed"
    } catch (error) {
      if (!(error instanceof KMSServiceException)) throw error
      return `${error.name}: ${error.message}`
    }
  }

  it("releases to the image, and to no other", async () => {
    const keyArn = await key()
    expect(await decrypt(keyArn, role, IMAGE)).toBe("allowed")
    expect(await decrypt(keyArn, role, OTHER_IMAGE)).toMatch(
      /^AccessDeniedException: .*no resource-based policy allows the kms:Decrypt action/,
    )
  })

  it("releases to each of several images, as an upgrade needs it", async () => {
    const keyArn = await key({ pcr0: [IMAGE.toString("hex"), OTHER_IMAGE.toString("hex")] })
    expect(await decrypt(keyArn, role, IMAGE)).toBe("allowed")
    expect(await decrypt(keyArn, role, OTHER_IMAGE)).toBe("allowed")
    expect(await decrypt(keyArn, role, Buffer.alloc(48, 0xcc))).toMatch(/^AccessDenied/)
  })

  it("denies everyone without attestation, whatever other statements allow", async () => {
    const allowAll = {
      Effect: "Allow",
      Principal: { AWS: [ROOT, ROLE_ARN, ADMIN_ARN] },
      Action: "kms:*",
      Resource: "*",
    }
    const keyArn = await key({}, allowAll)
    for (const by of [role, admin]) {
      expect(await decrypt(keyArn, by)).toMatch(
        /^AccessDeniedException: .*with an explicit deny in a resource-based policy/,
      )
    }
  })

  it("is its administrator's to read and change, and not the role's", async () => {
    const keyArn = await key()
    const { Policy } = await admin.send(new GetKeyPolicyCommand({ KeyId: keyArn }))
    await admin.send(new PutKeyPolicyCommand({ KeyId: keyArn, Policy }))
    const byRole = role.send(new PutKeyPolicyCommand({ KeyId: keyArn, Policy }))
    await expect(byRole).rejects.toMatchObject({ name: "AccessDeniedException" })
  })

  it("with the account's root leaves decryption to nobody's IAM policy", async () => {
    // The administrator's own policy allows everything.
    const keyArn = await key({ adminArn: [], accountRoot: true })
    expect(await decrypt(keyArn, admin)).toMatch(/^AccessDeniedException/)
    expect(await decrypt(keyArn, admin, IMAGE)).toMatch(/^AccessDeniedException/)
    expect(await decrypt(keyArn, role, IMAGE)).toBe("allowed")
  })
})

describe("the key policy", () => {
  const pcr3 = createHash("sha384").update(Buffer.alloc(48)).update(ROLE_ARN).digest("hex")
  const pcr8 = "88".repeat(48)

  /** The decision on a Decrypt by the role, from an enclave with these PCRs. */
  function decision(change: Partial<PolicyInput>, pcrs: Record<string, string>): boolean {
    const policy = resourcePolicySchema.parse(policiesFor(input(change)).keyPolicy)
    const own = policySchema.parse(policiesFor(input(change)).rolePolicy)
    const request = {
      principal: { arn: ROLE_SESSION_ARN, roleArn: ROLE_ARN, policy: own },
      action: "kms:Decrypt",
      resource: KEY,
      context: conditionContext(
        Object.entries(pcrs).map(([name, value]) => [`kms:RecipientAttestation:${name}`, value]),
      ),
    }
    return evaluateAccess(request, policy, "must-allow-or-delegate").allowed
  }
  const ImageSha384 = IMAGE.toString("hex")

  it.each([
    ["PCR3 of the role", { pcr3: true }, { PCR3: pcr3 }, { PCR3: "33".repeat(48) }],
    ["PCR8 given", { pcr8: pcr8.toUpperCase() }, { PCR8: pcr8 }, { PCR8: "99".repeat(48) }],
  ])("may require %s", (_name, change, right, wrong) => {
    expect(decision(change, { ImageSha384, ...right })).toBe(true)
    expect(decision(change, { ImageSha384, ...wrong })).toBe(false)
    expect(decision(change, { ImageSha384 })).toBe(false)
    expect(decision(change, { ImageSha384: OTHER_IMAGE.toString("hex"), ...right })).toBe(false)
  })

  it("takes image and signer from what nitro-cli printed", () => {
    const measurements = JSON.stringify({
      EifVersion: 4,
      Measurements: { HashAlgorithm: "Sha384 { ... }", PCR0: ImageSha384, PCR8: pcr8 },
    })
    const change = { pcr0: [], measurements, signed: true }
    expect(decision(change, { ImageSha384, PCR8: pcr8 })).toBe(true)
    expect(decision(change, { ImageSha384 })).toBe(false)
    expect(decision({ pcr0: [], measurements }, { ImageSha384 })).toBe(true)
  })

  it("gives nobody kms:CreateGrant, kms:ReEncrypt* or kms:*", () => {
    const policy = policiesFor(input({ accountRoot: true })).keyPolicy
    const allowed = (policy?.Statement ?? [])
      .filter(({ Effect }) => Effect === "Allow")
      .flatMap(({ Action }) => Action)
    expect(allowed.filter((action) => /\*|Grant$|ReEncrypt|Generate/.test(action))).toEqual([
      "kms:RevokeGrant",
    ])
    expect(allowed.filter((action) => action === "kms:Decrypt")).toHaveLength(1)
  })

  it("lets the sealer encrypt, and neither change the policy nor decrypt", () => {
    const sealer = `arn:aws:iam::${ACCOUNT_ID}:role/ci/sealer`
    const printed = policiesFor(input({ sealerArn: [sealer] })).keyPolicy
    const policy = resourcePolicySchema.parse(printed)
    const may = (arn: string, action: string) =>
      evaluateAccess(
        {
          principal: { arn, policy: { Statement: [] } },
          action,
          resource: KEY,
          context: conditionContext([]),
        },
        policy,
        "must-allow-or-delegate",
      ).allowed
    expect(may(sealer, "kms:Encrypt")).toBe(true)
    expect(may(sealer, "kms:PutKeyPolicy")).toBe(false)
    expect(may(sealer, "kms:Decrypt")).toBe(false)
    expect(may(ADMIN_ARN, "kms:Encrypt")).toBe(false)
    expect(may(ADMIN_ARN, "kms:PutKeyPolicy")).toBe(true)
  })

  it("says what account-root delegation means, where it is asked for", () => {
    expect(policiesFor(input({ accountRoot: true })).notes.join()).toContain("--account-root")
    expect(policiesFor(input()).notes.join()).not.toContain("--account-root")
    expect(JSON.stringify(policiesFor(input()))).not.toContain(":root")
  })
})

describe("the role policy", () => {
  /** Whether the role's policy alone allows it. */
  function may(
    given: PolicyInput,
    action: string,
    resource: string,
    context: [string, string][] = [],
  ): boolean {
    const policy = policySchema.parse(policiesFor(given).rolePolicy)
    const principal = { arn: ROLE_SESSION_ARN, roleArn: ROLE_ARN, policy }
    const request = { principal, action, resource, context: conditionContext(context) }
    return evaluateAccess(request, undefined, "may-allow").allowed
  }

  it("allows what the agent does, and no more", () => {
    const given = input()
    expect(may(given, "s3:GetObject", "arn:aws:s3:::example-keys/web.json")).toBe(true)
    expect(may(given, "s3:GetObject", "arn:aws:s3:::example-keys/other.json")).toBe(false)
    expect(may(given, "s3:PutObject", "arn:aws:s3:::example-keys/web.json")).toBe(false)
    expect(may(given, "iam:GetRole", ROLE_ARN)).toBe(true)
    expect(may(given, "iam:GetRole", `${ROLE_ARN}-other`)).toBe(false)
  })

  it("allows decryption with attestation only, so that no delegation goes round it", () => {
    const image: [string, string] = ["kms:RecipientAttestation:ImageSha384", IMAGE.toString("hex")]
    expect(may(input(), "kms:Decrypt", KEY, [image])).toBe(true)
    expect(may(input(), "kms:Decrypt", KEY)).toBe(false)
    expect(may(input(), "kms:Decrypt", KEY.replace("1111", "9999"), [image])).toBe(false)
  })

  it("finds ACM's object and key as the association names them", () => {
    const given = {
      ...acmInput(),
      certificateBucket: "aws-ec2-enclave-certificate-eu-west-1-prod",
      encryptionKmsKeyId: "0000-1111",
    }
    const object = `arn:aws:s3:::aws-ec2-enclave-certificate-eu-west-1-prod/${ROLE_ARN}/${CERTIFICATE}`
    expect(may(given, "s3:GetObject", object)).toBe(true)
    expect(may(acmInput(), "s3:GetObject", object)).toBe(true)
    const key = "arn:aws:kms:eu-west-1:999988887777:key/0000-1111"
    expect(may(given, "kms:Decrypt", key)).toBe(true)
    expect(may(given, "kms:Decrypt", KEY)).toBe(false)
    expect(policiesFor(given).keyPolicy).toBeUndefined()
    expect(policiesFor(given).notes.join()).toContain("is not published")
  })

  it("stays in the role's partition", () => {
    const roleArn = "arn:aws-cn:iam::123456789012:role/path/web"
    const { rolePolicy } = policiesFor(input({ roleArn }))
    expect(rolePolicy.Statement[0]?.Resource).toBe("arn:aws-cn:s3:::example-keys/web.json")
  })

  it("takes a key's characters for what they are", () => {
    const { rolePolicy } = policiesFor(input({ s3Uri: ["s3://example-keys/a*b?c$d"] }))
    // biome-ignore lint/suspicious/noTemplateCurlyInString: IAM's own syntax
    expect(rolePolicy.Statement[0]?.Resource).toBe("arn:aws:s3:::example-keys/a${*}b${?}c${$}d")
  })
})

describe("what makes no policy", () => {
  const { kmsKeyId: _none, ...keyless } = input()
  it.each<[string, PolicyInput, RegExp]>([
    ["no image", input({ pcr0: [] }), /neither --pcr0 nor --measurements/],
    ["no image and no key", { ...keyless, pcr0: [] }, /neither --pcr0 nor --measurements/],
    ["a PCR that is short", input({ pcr0: ["aa"] }), /--pcr0 is not a PCR/],
    ["the PCR of debug mode", input({ pcr0: ["0".repeat(96)] }), /--pcr0 is zero/],
    ["a measurement that is none", input({ measurements: "{}" }), /holds no measurements/],
    ["measurements that are no JSON", input({ measurements: "PCR0" }), /holds no measurements/],
    ["no signature", input({ signed: true }), /no PCR8/],
    ["nobody to manage the key", input({ adminArn: [] }), /nobody could manage/],
    ["a role with a wildcard", input({ roleArn: `${ROLE_ARN}*` }), /--role-arn is not/],
    ["a user for a role", input({ roleArn: ADMIN_ARN }), /--role-arn is not/],
    ["everyone as administrator", input({ adminArn: ["*"] }), /--admin-arn is not/],
    ["root as administrator, unsaid", input({ adminArn: [ROOT] }), /--admin-arn is not/],
    ["an alias for a key", input({ kmsKeyId: KEY.replace(/key.*/, "alias/x") }), /--kms-key-id/],
    ["a bucket without a key", input({ s3Uri: ["s3://example-keys"] }), /--s3-uri is not/],
    ["a key id with a wildcard", { ...acmInput(), encryptionKmsKeyId: "*" }, /--encryption-kms/],
  ])("%s", async (_name, given, said) => {
    const { code, message } = await refusalOf(() => policiesFor(given))
    expect(code).toBe("policy-input-invalid")
    expect(message).toMatch(said)
  })
})
