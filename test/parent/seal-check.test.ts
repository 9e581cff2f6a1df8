/** `tlskeep seal --check` against the simulated KMS: what it finds right, wrong, open, and cannot know. */

import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pino } from "pino"
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { startAgentApi } from "../../parent/agent-api/server.js"
import { policiesFor } from "../../parent/policy/policies.js"
import { readReleasePolicy, satisfies } from "../../parent/policy/release.js"
import { readAdmin } from "../../sim/iam/principals.js"
import { simEnvironment } from "../../sim/info.js"
import { DEFAULT_KEY_POLICY } from "../../sim/kms/key-store.js"
import { ADMIN_ARN, ROLE_ARN } from "../../sim/paths.js"
import { seedKmsKey } from "../../sim/seed.js"
import { Compiled } from "../compiled.js"
import { type Outcome, run } from "../sim/process.js"
import { startTestSimulator, type TestSimulator } from "../sim/simulator.js"
import { agentStatus, fakeControl, PCR0 } from "./agent-statuses.js"
import { makeKey } from "./key-objects.js"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const OTHER = "cc".repeat(48)
const NOT_KNOWN = /^not checked: whether the enclave's instance has the role/m

let sim: TestSimulator
let cli: Compiled
let dir: string
let files: string[]
beforeAll(async () => {
  ;[sim, cli] = await Promise.all([startTestSimulator(), Compiled.cli()])
  dir = await mkdtemp(join(tmpdir(), "seal-check-"))
  const { web } = await makeKey("P-256")
  await writeFile(join(dir, "key.pem"), web.privateKey)
  await writeFile(join(dir, "certificate.pem"), web.certificate + web.chain)
  files = ["--key", join(dir, "key.pem"), "--certificate", join(dir, "certificate.pem")]
})
afterAll(async () => {
  await Promise.all([sim.stop(), cli.remove(), rm(dir, { recursive: true })])
})

/** The policy that `tlskeep policy` prints for an image. */
function released(pcr0: string): string {
  const { keyPolicy } = policiesFor({
    ...{ pcr0: [pcr0], pcr3: false, signed: false, roleArn: ROLE_ARN, adminArn: [ADMIN_ARN] },
    ...{ sealerArn: [], accountRoot: false, s3Uri: [] },
  })
  return JSON.stringify(keyPolicy)
}

function withStatements(policy: string, ...more: object[]): string {
  const document = JSON.parse(policy) as { Statement: object[] }
  return JSON.stringify({ ...document, Statement: [...document.Statement, ...more] })
}

/** Seals under a new key with this policy, and checks. */
async function seal(policy: string): Promise<Outcome> {
  const keyArn = await seedKmsKey({ dir: sim.dir, policy })
  const { accessKeyId, secretAccessKey } = readAdmin(sim.paths)
  return run(
    process.execPath,
    [
      ...[cli.path("parent/cli.js"), "seal", ...files, "--kms-key-id", keyArn, "--check"],
      ...["--output", join(dir, "out.json"), "--run-dir", dir],
    ],
    {
      ...simEnvironment(sim.info),
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_MAX_ATTEMPTS: "1",
    },
  )
}

describe("beside an agent", () => {
  const open: { close(): Promise<void> }[] = []
  beforeEach(async () => {
    const control = fakeControl(agentStatus())
    const socketPath = join(dir, "agent.sock")
    const api = await startAgentApi({ control, socketPath, log: pino({ level: "silent" }) })
    open.push(api)
    return async () => {
      await Promise.all(open.splice(0).map((one) => one.close()))
    }
  })

  it("finds that the running enclave can open what is released to its image", async () => {
    const { code, stdout, stderr } = await seal(released(PCR0))
    expect([code, stderr]).toEqual([0, ""])
    const lines = stdout.trim().split("\n")
    expect(lines).toEqual([
      expect.stringMatching(/^sealed under arn:/),
      `checked: the key policy releases by attestation: ReleaseToTheEnclave to ${ROLE_ARN} with PCR0 abababababababab…`,
      "checked: the running enclave (PCR0 abababababababab…) satisfies ReleaseToTheEnclave",
      "checked: KMS refuses the caller to decrypt without attestation",
      expect.stringMatching(NOT_KNOWN),
    ])
  })

  it("finds that it cannot open what is released to another", async () => {
    const { code, stdout, stderr } = await seal(released(OTHER))
    expect([code, stdout]).toEqual([1, ""])
    expect(stderr).toMatch(
      /^tlskeep: seal-check-failed: sealed under .*, but no enclave can open it/,
    )
    expect(stderr).toMatch(/^WRONG: the running enclave \(PCR0 abab.*\) satisfies no statement/m)
    expect(stderr).toContain("tlskeep policy")
  })

  it("warns of who may decrypt without attestation", async () => {
    const { code, stdout } = await seal(DEFAULT_KEY_POLICY)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^WARNING: the key policy asks for no attestation at all$/m)
    expect(stdout).toMatch(/^WARNING: .* lets arn:aws:iam::\d+:root decrypt without .*IAM policy/m)
    expect(stdout).toMatch(/^WARNING: KMS would let the caller decrypt without attestation/m)
  })
})

describe("where no agent runs", () => {
  it("says that no enclave was compared", async () => {
    const { code, stdout } = await seal(released(PCR0))
    expect(code).toBe(0)
    expect(stdout).toMatch(/^not checked: whether an enclave satisfies the key policy: no agent/m)
  })

  it("finds a policy that lets nobody decrypt", async () => {
    const policy = JSON.stringify({
      Version: "2012-10-17",
      Statement: [
        {
          Effect: "Allow",
          Principal: { AWS: ADMIN_ARN },
          Action: ["kms:Encrypt", "kms:PutKeyPolicy", "kms:GetKeyPolicy"],
          Resource: "*",
        },
      ],
    })
    const { code, stderr } = await seal(policy)
    expect(code).toBe(1)
    expect(stderr).toContain("WRONG: the key policy lets nobody decrypt")
  })

  it("does not vouch for what it does not evaluate", async () => {
    const policy = withStatements(released(PCR0), {
      Sid: "NotOnSundays",
      Effect: "Deny",
      Principal: "*",
      Action: "kms:*",
      Resource: "*",
      Condition: { StringEquals: { "aws:PrincipalArn": "arn:aws:iam::123456789012:role/x" } },
    })
    const { code, stdout } = await seal(policy)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^not checked: whether NotOnSundays of the key policy denies/m)
  })

  it("says so where the policy cannot be read", async () => {
    const policy = JSON.stringify({
      Version: "2012-10-17",
      Statement: [
        {
          Effect: "Allow",
          Principal: { AWS: ADMIN_ARN },
          Action: ["kms:Encrypt", "kms:PutKeyPolicy"],
          Resource: "*",
        },
      ],
    })
    const { code, stdout } = await seal(policy)
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^not checked: what the key policy asks for: AccessDenied.*GetKeyPolicy/m,
    )
  })
})

it("shows what it is doing on a terminal, one without a size too", async () => {
  const keyArn = await seedKmsKey({ dir: sim.dir, policy: released(PCR0) })
  const { accessKeyId, secretAccessKey } = readAdmin(sim.paths)
  const out = join(dir, "terminal.json")
  const words = [
    process.execPath,
    cli.path("parent/cli.js"),
    "seal",
    ...files,
    "--kms-key-id",
    keyArn,
  ]
  const command = `exec ${[...words, "--output", out].join(" ")} 2>/dev/tty`
  const { code, stdout } = await run("script", ["-qec", command, "/dev/null"], {
    ...simEnvironment(sim.info),
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    TERM: "xterm",
  })
  expect(code).toBe(0)
  expect(stdout).toMatch(/^encrypting the private key under the KMS key\r?$/m)
  expect(stdout).toContain(`sealed under ${keyArn}: ${out}`)
})

describe("a key policy", () => {
  const policy = (Condition: object, more: object = {}) =>
    JSON.stringify({
      Statement: { Effect: "Allow", Principal: "*", Action: "kms:Decrypt", Condition, ...more },
    })
  const image = "kms:RecipientAttestation:ImageSha384"

  it.each([
    ["the image", { StringEquals: { [image]: PCR0 } }, true],
    ["the image by PCR0", { StringEquals: { "kms:RecipientAttestation:PCR0": PCR0 } }, true],
    ["a name in another case", { StringEquals: { [image.toUpperCase()]: PCR0 } }, true],
    ["a value in another case", { StringEquals: { [image]: PCR0.toUpperCase() } }, false],
    ["no case", { StringEqualsIgnoreCase: { [image]: PCR0.toUpperCase() } }, true],
    ["one of two images", { StringEquals: { [image]: [OTHER, PCR0] } }, true],
    ["another image", { StringEquals: { [image]: OTHER } }, false],
    ["a pattern", { StringLike: { [image]: "abab*" } }, true],
    ["a star without a pattern's operator", { StringEquals: { [image]: "*" } }, false],
    ["a PCR that is not there", { StringEquals: { "kms:RecipientAttestation:PCR8": "88" } }, false],
    [
      "two PCRs, one of them another",
      { StringEquals: { [image]: PCR0, "kms:RecipientAttestation:PCR1": OTHER } },
      false,
    ],
  ])("that asks for %s", (_name, condition, expected) => {
    const [statement] = readReleasePolicy(policy(condition)).releasing
    if (statement === undefined) throw new Error("it releases nothing")
    expect(satisfies({ "0": PCR0, "1": "11".repeat(48) }, statement)).toBe(expected)
  })

  it.each([
    ["kms:*", true],
    ["*", true],
    ["KMS:decrypt", true],
    ["kms:De*", true],
    ["kms:Encrypt", false],
    ["kms:Decrypt*Key", false],
  ])("for %s is about decryption: %s", (Action, expected) => {
    expect(readReleasePolicy(policy({}, { Action })).releasing.length > 0).toBe(expected)
  })

  it("whose conditions it does not know is not taken for attested", () => {
    const condition = {
      StringNotEquals: { [image]: OTHER },
      Bool: { "aws:SecureTransport": "true" },
    }
    expect(readReleasePolicy(policy(condition)).releasing[0]).toMatchObject({
      pcrs: [],
      others: true,
    })
  })
})
