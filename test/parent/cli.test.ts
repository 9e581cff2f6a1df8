/** The compiled `tlskeep` command: its help, its errors, and `tlskeep seal` against the simulator. */
import { createHash, generateKeyPairSync, X509Certificate } from "node:crypto"
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { RunDir } from "../../parent/run-dir.js"
import { parseKeyObject } from "../../parent/source/key-object.js"
import { SPKI_CONTEXT_KEY } from "../../shared/public-key.js"
import { VERSION } from "../../shared/version.js"
import { readAdmin } from "../../sim/iam/principals.js"
import { simEnvironment } from "../../sim/info.js"
import { DEFAULT_KEY_POLICY } from "../../sim/kms/key-store.js"
import { seedKmsKey, seedS3Bucket, simS3Client } from "../../sim/seed.js"
import type { WebCertificate } from "../../sim/testbed/web-certificates.js"
import { Compiled } from "../compiled.js"
import { certify, makeKey as makeServedKey } from "../enclave/keys.js"
import { type Outcome, run } from "../sim/process.js"
import { startTestSimulator, type TestSimulator } from "../sim/simulator.js"
import { ControlServer, enclaveDescription, PCR0, tokenDescription } from "./control-server.js"
import { fakeNitroCli, print, RUNNING } from "./fake-nitro-cli.js"
import { makeKey, webAuthority } from "./key-objects.js"

// Node takes a second to start where the machine is busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

let compiled: Compiled
let dir: string
let sim: TestSimulator
let keyArn: string
beforeAll(async () => {
  compiled = await Compiled.cli()
  dir = await mkdtemp(join(tmpdir(), "cli-"))
  sim = await startTestSimulator()
  keyArn = await seedKmsKey({ dir: sim.dir, policy: DEFAULT_KEY_POLICY })
})
afterAll(async () => {
  await sim.stop()
  await compiled.remove()
  await rm(dir, { recursive: true })
})

function tlskeep(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return run(process.execPath, [compiled.path("parent/cli.js"), ...args], env)
}

/** The environment of the simulated account's administrator. */
function admin(change: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { accessKeyId, secretAccessKey } = readAdmin(sim.paths)
  return {
    ...simEnvironment(sim.info),
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_MAX_ATTEMPTS: "1",
    ...change,
  }
}

function file(name: string, content: string): Promise<string> {
  const path = join(dir, name)
  return writeFile(path, content).then(() => path)
}

describe("tlskeep", () => {
  it("says its version", async () => {
    expect(await tlskeep(["--version"])).toEqual({ code: 0, stdout: `${VERSION}\n`, stderr: "" })
  })

  it("describes its commands and their options", async () => {
    const { code, stdout, stderr } = await tlskeep(["--help"])
    expect([code, stderr]).toEqual([0, ""])
    expect(stdout).toMatch(/agent .*\n *seal /s)
    const seal = await tlskeep(["seal", "--help"])
    for (const option of ["--key", "--certificate", "--chain", "--kms-key-id", "--output"]) {
      expect(seal.stdout).toContain(option)
    }
    expect((await tlskeep(["agent", "--help"])).stdout).toContain("/etc/tlskeep/tlskeep.yaml")
  })

  it.each([
    [["agnet"], /unknown command 'agnet'\n\(Did you mean agent\?\)/],
    [["agent", "--confg", "x"], /unknown option '--confg'\n\(Did you mean --config\?\)/],
    [["seal", "--key", "x"], /required option '--certificate <file>' not specified/],
    [["agent", "surplus"], /too many arguments/],
    [[], /Usage: tlskeep/],
  ])("%j exits with 1 and says what is wrong", async (args, said) => {
    const { code, stdout, stderr } = await tlskeep(args)
    expect([code, stdout]).toEqual([1, ""])
    expect(stderr).toMatch(said)
    expect(stderr).not.toContain("    at ")
  })
})

describe("tlskeep config check", () => {
  const TOKEN = "  - {label: www, source: {S3: {uri: 's3://keys/x'}}, target: {Conf: {path: /y}}}"

  it("says what a file comes to, without an addon", async () => {
    const config = await file("right.yaml", `tokens:\n${TOKEN}\n`)
    const { code, stdout, stderr } = await tlskeep(["config", "check", config])
    expect([code, stderr]).toEqual([0, ""])
    expect(stdout).toContain(`${config}: 1 token for nginx\n`)
    const json = await tlskeep(["config", "check", "--json", config])
    expect(JSON.parse(json.stdout)).toMatchObject({ tokens: [{ label: "www" }], notices: [{}] })
  })

  it("says what is wrong on stderr, and exits with 1", async () => {
    const config = await file("refused.yaml", `tokens:\n${TOKEN}\nlog: {level: loud}\n`)
    const { code, stdout, stderr } = await tlskeep(["config", "check", config])
    expect([code, stdout]).toEqual([1, ""])
    expect(stderr).toContain(`${config}:3:14: log.level: expected one of trace, debug, info`)
  })

  it("names the files that it reads unless told", async () => {
    const { stdout } = await tlskeep(["config", "check", "--help"])
    expect(stdout).toMatch(/tlskeep\.yaml, else\s+\/etc\/nitro_enclaves\/acm\.yaml/)
  })
})

it("says that its addon is not installed", async () => {
  const config = await file("any.yaml", "")
  const { code, stderr } = await tlskeep(["agent", "--config", config])
  expect(code).toBe(1)
  expect(stderr).toMatch(/^tlskeep: addon-missing: /)
  expect(stderr).not.toContain("    at ")
})

describe("tlskeep agent and status", () => {
  // Only here: sealing works where nothing native is installed.
  beforeAll(() => compiled.linkAddon())
  afterAll(() => rm(compiled.addon))

  it("names code, place and advice for a configuration that is wrong", async () => {
    const config = await file(
      "wrong.yaml",
      "enclave:\n  image_path: /x\n  memroy_mib: 1\ntokens: []\n",
    )
    const { code, stdout, stderr } = await tlskeep(["agent", "--config", config])
    expect([code, stdout]).toEqual([1, ""])
    const lines = stderr.split("\n")
    expect(lines[0]).toMatch(/^tlskeep: config-invalid: .*wrong\.yaml:/)
    expect(stderr).toContain(`${config}:3:3: unknown key "memroy_mib" (did you mean memory_mib?)`)
    expect(lines.at(-2)).toMatch(/^Correct the file; /)
    expect(stderr).not.toContain("    at ")
  })

  it("says that there is no configuration", async () => {
    const { code, stderr } = await tlskeep(["agent", "--config", join(dir, "none.yaml")])
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^tlskeep: config-unreadable: .*none\.yaml: ENOENT\nGive the file by --config/,
    )
  })

  /** A configuration whose enclaves are those of the fake nitro-cli in a directory of its own. */
  async function statusConfig(name: string, enclaves: unknown[]) {
    const at = join(dir, name)
    await mkdir(at)
    const { command } = await fakeNitroCli(at, { "describe-enclaves": print(enclaves) })
    const config = await file(
      `${name}.yaml`,
      JSON.stringify({
        enclave: {
          image_path: "/x",
          nitro_cli_path: command,
          address_pattern: `unix:${at}/{cid}_{port}.sock`,
          boot_timeout_ms: 200,
        },
        options: { run_dir: join(at, "run") },
        tokens: [
          {
            label: "www",
            source: { S3: { uri: "s3://keys/x" } },
            target: { Snippet: { path: join(at, "x.conf") } },
          },
        ],
      }),
    )
    return { at, config }
  }

  it("shows the running enclave and its tokens", async () => {
    const { at, config } = await statusConfig("running", [RUNNING])
    await (await RunDir.open(join(at, "run"))).newControlSecret()
    const signatures = { ECDSA: 40, RSA_PKCS_PSS: 2 }
    const description = enclaveDescription({ tokens: [tokenDescription({ signatures })] })
    const server = await ControlServer.start(join(at, "16_10000.sock"), (request, answer) => {
      const { offset } = request.fields as { offset: number }
      answer.result(offset === 0 ? description : { ...description, tokens: [] })
    })
    try {
      const { code, stdout, stderr } = await tlskeep(["status", "--config", config])
      expect([code, stderr]).toEqual([0, ""])
      expect(stdout).toContain(PCR0)
      expect(stdout).toMatch(
        /^www\n.*\n {2}served +P-256, 42 signatures \(ECDSA 40, RSA_PKCS_PSS 2\), 0 refusals/m,
      )
      const json = await tlskeep(["status", "--json", "--config", config])
      expect(JSON.parse(json.stdout)).toEqual(description)
    } finally {
      await server.stop()
    }
  })

  it("shows decryptions where there are any", async () => {
    const { at, config } = await statusConfig("decrypting", [RUNNING])
    await (await RunDir.open(join(at, "run"))).newControlSecret()
    const tokens = [tokenDescription({ decryptions: { RSA_PKCS_OAEP: 7 } })]
    const server = await ControlServer.start(join(at, "16_10000.sock"), (request, answer) => {
      const { offset } = request.fields as { offset: number }
      answer.result(enclaveDescription({ tokens: tokens.slice(offset) }))
    })
    try {
      const { stdout } = await tlskeep(["status", "--config", config])
      expect(stdout).toMatch(/served +P-256, 0 signatures, 7 decryptions, 0 refusals/)
    } finally {
      await server.stop()
    }
  })

  it.each([
    ["none runs", "idle", [], "agent-not-running", "Start the agent"],
    [
      "it is not this run directory's",
      "foreign",
      [RUNNING],
      "enclave-not-adoptable",
      "Terminate it",
    ],
  ])("says that %s", async (_name, name, enclaves, expected, advice) => {
    const { at, config } = await statusConfig(name, enclaves)
    await RunDir.open(join(at, "run"))
    const { code, stdout, stderr } = await tlskeep(["status", "--config", config])
    expect([code, stdout]).toEqual([1, ""])
    expect(stderr).toMatch(new RegExp(`^tlskeep: ${expected}: `))
    expect(stderr).toContain(`\n${advice}`)
    expect(stderr).not.toContain("    at ")
  })

  it("needs a region", async () => {
    const config = await file(
      "regionless.yaml",
      JSON.stringify({
        enclave: { image_path: "/x" },
        options: { run_dir: join(dir, "run") },
        tokens: [
          {
            label: "www",
            source: { S3: { uri: "s3://keys/x" } },
            target: { Snippet: { path: join(dir, "x.conf") } },
          },
        ],
      }),
    )
    const { code, stderr } = await tlskeep(["agent", "--once", "--config", config])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^tlskeep: region-unknown: .*\nSet aws\.region/)
  })
})

describe("tlskeep seal", () => {
  let count = 0

  async function inputs(web: WebCertificate, certificate = web.certificate + web.chain) {
    const name = `in-${count++}`
    return {
      key: await file(`${name}-key.pem`, web.privateKey),
      certificate: await file(`${name}-certificate.pem`, certificate),
      output: join(dir, `${name}.json`),
    }
  }

  async function seal(
    from: { key: string; certificate: string; output: string },
    options: { env?: NodeJS.ProcessEnv; kmsKeyId?: string; chain?: string } = {},
  ): Promise<Outcome> {
    const { env = admin(), kmsKeyId = keyArn, chain } = options
    const outcome = await tlskeep(
      [
        ...["seal", "--key", from.key, "--certificate", from.certificate],
        ...["--kms-key-id", kmsKeyId, "--output", from.output],
        ...(chain === undefined ? [] : ["--chain", chain]),
      ],
      env,
    )
    await expectSecretsKept(outcome, from.key)
    return outcome
  }

  /** No line of the key, and no credential, is ever printed. */
  async function expectSecretsKept({ stdout, stderr }: Outcome, keyFile: string): Promise<void> {
    const { secretAccessKey } = readAdmin(sim.paths)
    const key = await readFile(keyFile, "utf8").catch(() => "")
    const lines = key.split("\n").filter((line) => line.length > 8)
    for (const secret of [secretAccessKey, "PRIVATE KEY", ...lines]) {
      expect(stdout + stderr).not.toContain(secret)
    }
    expect(stderr).not.toContain("    at ")
  }

  function expectRefusal({ code, stdout, stderr }: Outcome, expected: string): string {
    expect([code, stdout]).toEqual([1, ""])
    expect(stderr).toMatch(new RegExp(`^tlskeep: ${expected}: `))
    return stderr
  }

  it.each(["RSA-2048", "P-256", "P-384"] as const)(
    "makes a key object that the agent reads, bound to the public key: %s",
    async (keyType) => {
      const { web } = await makeKey(keyType)
      const from = await inputs(web)
      expect(await seal(from)).toMatchObject({
        code: 0,
        stdout: `sealed under ${keyArn}: ${from.output}\n`,
        stderr: "",
      })
      const body = await readFile(from.output, "utf8")
      const object = parseKeyObject(body, from.output)
      expect(object.certificates.map(String)).toEqual([web.certificate, web.chain])
      expect(object.keyId).toBe(keyArn)
      const spki = new X509Certificate(web.certificate).publicKey.export({
        type: "spki",
        format: "der",
      })
      const fingerprint = createHash("sha256").update(spki).digest("hex")
      expect(object.encryptionContext).toEqual({ [SPKI_CONTEXT_KEY]: fingerprint })
      expect((await stat(from.output)).mode & 0o777).toBe(0o600)
      expect(body).not.toContain("PRIVATE KEY")
    },
  )

  it("makes a key object of an Ed25519 key", async () => {
    const key = makeServedKey("Ed25519")
    const der = (await certify(key)).toString("base64")
    const certificate = `-----BEGIN CERTIFICATE-----\n${der}\n-----END CERTIFICATE-----\n`
    const own = { privateKey: key.pem.toString(), certificate, chain: "" }
    const from = await inputs({ ...(await makeKey()).web, ...own })
    expect((await seal(from)).code).toBe(0)
    const object = parseKeyObject(await readFile(from.output, "utf8"), "object")
    expect(object.encryptionContext).toEqual({
      [SPKI_CONTEXT_KEY]: key.fingerprint.toString("hex"),
    })
  })

  it("takes the chain from a file of its own, in any order", async () => {
    const { web } = await makeKey()
    const from = await inputs(web, web.certificate)
    const chain = await file("chain.pem", `${(await webAuthority()).rootPem}\n${web.chain}`)
    expect((await seal(from, { chain })).code).toBe(0)
    const object = parseKeyObject(await readFile(from.output, "utf8"), "object")
    expect(object.certificates).toHaveLength(3)
  })

  it("writes to S3", async () => {
    await seedS3Bucket(sim.dir, "sealed")
    const { web } = await makeKey()
    const output = "s3://sealed/a/www.json"
    expect((await seal({ ...(await inputs(web)), output })).stdout).toContain(output)
    const client = simS3Client(sim.dir)
    const { GetObjectCommand } = await import("@aws-sdk/client-s3")
    const got = await client.send(new GetObjectCommand({ Bucket: "sealed", Key: "a/www.json" }))
    const body = (await got.Body?.transformToString()) ?? ""
    client.destroy()
    expect(parseKeyObject(body, output).keyId).toBe(keyArn)
  })

  it.each([
    ["a bucket that is missing", "s3://no-such-bucket/x", "NoSuchBucket"],
    ["a directory that is missing", "/no/such/dir/x.json", "ENOENT"],
  ])("says why it cannot write: %s", async (_name, output, reason) => {
    const { web } = await makeKey()
    const told = expectRefusal(await seal({ ...(await inputs(web)), output }), "seal-output-failed")
    expect(told).toContain(output)
    expect(told).toContain(reason)
  })

  it("refuses another certificate's key, and writes nothing", async () => {
    const { web } = await makeKey()
    const from = await inputs({ ...web, privateKey: (await makeKey()).web.privateKey })
    const told = expectRefusal(await seal(from), "seal-key-mismatch")
    expect(told).toContain("Give the certificate first")
    expect(await readdir(dir)).not.toContain(from.output.slice(dir.length + 1))
  })

  it.each([
    ["P-521", generateKeyPairSync("ec", { namedCurve: "P-521" })],
    ["secp256k1", generateKeyPairSync("ec", { namedCurve: "secp256k1" })],
    ["Ed448", generateKeyPairSync("ed448")],
    ["RSA-1024", generateKeyPairSync("rsa", { modulusLength: 1_024 })],
    ["RSA-PSS", generateKeyPairSync("rsa-pss", { modulusLength: 2_048 })],
  ])("refuses a key that is not served: %s", async (_name, { privateKey }) => {
    const { web } = await makeKey()
    const pem = String(privateKey.export({ type: "pkcs8", format: "pem" }))
    const told = expectRefusal(
      await seal(await inputs({ ...web, privateKey: pem })),
      "seal-key-unsupported",
    )
    expect(told).toContain("P-384 or Ed25519")
  })

  it("refuses an encrypted key", async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
    const encryption = { cipher: "aes-256-cbc", passphrase: "p4ssphrase" }
    const { web } = await makeKey()
    for (const type of ["pkcs8", "sec1"] as const) {
      const pem = String(privateKey.export({ type, format: "pem", ...encryption }))
      const told = expectRefusal(
        await seal(await inputs({ ...web, privateKey: pem })),
        "seal-input-unreadable",
      )
      expect(told).toContain("Give an unencrypted private key in PEM.")
    }
  })

  it("refuses a key file of more than KMS encrypts", async () => {
    const { web } = await makeKey()
    const privateKey = web.privateKey + "# padding\n".repeat(400)
    const told = expectRefusal(
      await seal(await inputs({ ...web, privateKey })),
      "seal-key-too-long",
    )
    expect(told).toContain("4096")
    expect(told).toContain("Remove everything but the private key from the file.")
  })

  it.each([
    ["a key that is none", { privateKey: "hello" }, undefined],
    ["a certificate that is none", {}, "hello"],
    [
      "a certificate of garbage",
      {},
      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
  ])("refuses %s", async (_name, change, certificate) => {
    const { web } = await makeKey()
    expectRefusal(
      await seal(await inputs({ ...web, ...change }, certificate)),
      "seal-input-unreadable",
    )
  })

  it("says which file cannot be read", async () => {
    const { web } = await makeKey()
    const from = await inputs(web)
    for (const name of ["key", "certificate"] as const) {
      const told = expectRefusal(
        await seal({ ...from, [name]: join(dir, `no-${name}`) }),
        "seal-input-unreadable",
      )
      expect(told).toContain(`${join(dir, `no-${name}`)}: ENOENT`)
    }
  })

  it("needs the KMS key's ARN", async () => {
    const { web } = await makeKey()
    const told = expectRefusal(
      await seal(await inputs(web), { kmsKeyId: "alias/tls" }),
      "malformed-key-id",
    )
    expect(told).toContain("arn:aws:kms:<region>:<account>:key/<id>")
  })

  it.each([
    [
      "a KMS key that is missing",
      { kmsKeyId: keyArnOf("00000000-0000-0000-0000-000000000000") },
      "NotFoundException",
    ],
    [
      "wrong credentials",
      { secret: "wr0ng-s3cr3t" },
      "InvalidSignatureException|IncompleteSignature|UnrecognizedClient",
    ],
  ])(
    "says what KMS said: %s",
    async (_name, { kmsKeyId, secret }: { kmsKeyId?: string; secret?: string }, reason) => {
      const { web } = await makeKey()
      const env = admin(secret === undefined ? {} : { AWS_SECRET_ACCESS_KEY: secret })
      const outcome = await seal(await inputs(web), { env, kmsKeyId: kmsKeyId ?? keyArn })
      const told = expectRefusal(outcome, "kms-encrypt-failed")
      expect(told).toMatch(new RegExp(reason))
      expect(told).toContain(`Allow the caller kms:Encrypt on ${kmsKeyId ?? keyArn}.`)
      expect(told).not.toContain("wr0ng")
    },
  )
})

function keyArnOf(id: string): string {
  return `arn:aws:kms:us-east-1:123456789012:key/${id}`
}

describe("the self-test", () => {
  it("fails with the worker's reason where there is no module", async () => {
    const script = `
      import { selfTest } from ${JSON.stringify(compiled.path("parent/self-test/self-test.js"))}
      try { await selfTest(JSON.parse(process.env.REQUEST)) } catch (error) {
        console.log(JSON.stringify({ code: error.code, message: error.message, advice: error.advice }))
      }`
    const { web } = await makeKey()
    const REQUEST = JSON.stringify({
      modulePath: "/no/such/module.so",
      endpointFile: join(dir, "endpoint"),
      label: "www",
      pin: "p1n-that-nobody-prints",
      certificate: web.certificate,
    })
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", script], {
      REQUEST,
    })
    const { code, message, advice } = JSON.parse(stdout)
    expect(code).toBe("self-test-failed")
    expect(message).toContain("/no/such/module.so")
    expect(message).not.toContain("p1n-that-nobody-prints")
    expect(advice).toContain("options.module_path")
  })
})
