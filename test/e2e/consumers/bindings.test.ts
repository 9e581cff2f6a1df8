/** Programs that load the module themselves: OpenSC, OpenSSH, Node's and Python's bindings, Java. */
import { constants, verify, X509Certificate } from "node:crypto"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { execa } from "execa"
import { afterAll, beforeAll, expect } from "vitest"
import { fingerprintOf, publicKeyOf } from "../../../shared/public-key.js"
import { BackgroundProcess } from "../../../sim/testbed/background-process.js"
import { CHECKOUT } from "../../../sim/testbed/checkout.js"
import { handshake } from "../../../sim/testbed/handshake.js"
import { type HostedToken, TokenHost } from "../../../sim/testbed/token-host.js"
import { Trial } from "./table.js"

const HASHED = {
  "RSA-2048": [256, 384, 512].flatMap((bits) => [
    `CKM_SHA${bits}_RSA_PKCS`,
    `CKM_SHA${bits}_RSA_PKCS_PSS`,
  ]),
  "P-256": [256, 384, 512].map((bits) => `CKM_ECDSA_SHA${bits}`),
} as const
const RAW = { "RSA-2048": ["CKM_RSA_PKCS", "CKM_RSA_PKCS_PSS"], "P-256": ["CKM_ECDSA"] } as const
const SALT_BYTES = 32
// CK_RVs of PKCS #11 v2.40
const CKR_ATTRIBUTE_SENSITIVE = 0x11
const CKR_KEY_HANDLE_INVALID = 0x60
const CKR_MECHANISM_INVALID = 0x70
const CKR_OPERATION_NOT_INITIALIZED = 0x91
const CKR_PIN_INCORRECT = 0xa0
const CKR_SESSION_HANDLE_INVALID = 0xb3
const CKR_USER_ALREADY_LOGGED_IN = 0x100
const CKR_BUFFER_TOO_SMALL = 0x150

let host: TokenHost
beforeAll(async () => {
  host = await TokenHost.up()
}, 90_000)
afterAll(() => host?.down(), 60_000)

const trial = new Trial("bindings.test.ts")

const beside = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** Whether a signature of the token, in hex, is one over the data by the mechanism. */
function verifies(token: HostedToken, mechanism: string, data: Buffer, hex: string): boolean {
  const [, bits = "256"] = /SHA(\d+)/.exec(mechanism) ?? []
  const { RSA_PKCS1_PSS_PADDING, RSA_PKCS1_PADDING } = constants
  const key = {
    key: token.certificate.publicKey,
    dsaEncoding: "ieee-p1363" as const,
    ...(mechanism.includes("RSA")
      ? {
          padding: mechanism.includes("PSS") ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING,
          saltLength: SALT_BYTES,
        }
      : {}),
  }
  return verify(`sha${bits}`, data, key, Buffer.from(hex, "hex"))
}

interface Answer {
  data: string
  signatures: Record<string, string>
}

/** Runs a program that signs by each mechanism; all signatures verify. */
async function signsBy<A extends Answer>(
  command: readonly [string, string],
  token: HostedToken,
  mechanisms: readonly string[],
): Promise<A> {
  const [program, script] = command
  const args = [beside(script), CHECKOUT.module, token.label, mechanisms.join(",")]
  const { stdout } = await execa(program, args, { env: { ...host.env, TOKEN_PIN: token.pin } })
  const answer = JSON.parse(stdout) as A
  expect(Object.keys(answer.signatures)).toEqual(mechanisms)
  for (const [mechanism, signature] of Object.entries(answer.signatures)) {
    const data = Buffer.from(answer.data, "hex")
    expect(verifies(token, mechanism, data, signature), mechanism).toBe(true)
  }
  return answer
}

function mechanismsOf({ keyType }: HostedToken): string[] {
  if (keyType === "P-384" || keyType === "Ed25519")
    throw new RangeError("the host has no such token")
  return [...HASHED[keyType], ...RAW[keyType]]
}

trial.test("pkcs11js", "finds and signs; its errors are the specification's", async () => {
  for (const token of host.tokens) {
    const answer = await signsBy<
      Answer & {
        beforeLogin: number
        afterShortBuffer: string
        hashed: string
        idAndLabel: string[]
        codes: Record<string, number>
      }
    >([process.execPath, "pkcs11js-child.mjs"], token, mechanismsOf(token))
    expect(answer.beforeLogin).toBe(0)
    const id = fingerprintOf(publicKeyOf(token.certificate)).toString("hex")
    expect(answer.idAndLabel).toEqual([id, Buffer.from(token.label).toString("hex")])
    expect(answer.codes).toEqual({
      wrongPin: CKR_PIN_INCORRECT,
      secondLogin: CKR_USER_ALREADY_LOGGED_IN,
      shortBuffer: CKR_BUFFER_TOO_SMALL,
      signWithoutInit: CKR_OPERATION_NOT_INITIALIZED,
      value: CKR_ATTRIBUTE_SENSITIVE,
      mechanism: CKR_MECHANISM_INVALID,
      keyHandle: CKR_KEY_HANDLE_INVALID,
      sessionHandle: CKR_SESSION_HANDLE_INVALID,
    })
    const data = Buffer.from(answer.data, "hex")
    expect(verifies(token, answer.hashed, data, answer.afterShortBuffer)).toBe(true)
  }
})

trial.test("graphene", "finds and signs, in parts where the mechanism hashes", async () => {
  for (const token of host.tokens) {
    const answer = await signsBy<Answer & { certificate: string; publicKeyLabel: string }>(
      [process.execPath, "graphene-child.mjs"],
      token,
      mechanismsOf(token),
    )
    const certificate = new X509Certificate(Buffer.from(answer.certificate, "hex"))
    expect(certificate.fingerprint256).toBe(token.certificate.fingerprint256)
    expect(answer.publicKeyLabel).toBe(token.label)
  }
})

trial.test("pykcs11", "finds and signs", async () => {
  for (const token of host.tokens) {
    const { keyType } = token
    if (keyType === "P-384" || keyType === "Ed25519") continue
    // Debian's own Python, which its packages are for.
    await signsBy(["/usr/bin/python3", "pykcs11_child.py"], token, HASHED[keyType])
  }
})

/** OpenSC's pkcs11-tool; resolves with what it wrote, whatever its exit code. */
async function tool(...args: string[]): Promise<{ all: string; exitCode: number | undefined }> {
  const { all, exitCode } = await execa("pkcs11-tool", ["--module", CHECKOUT.module, ...args], {
    env: host.env,
    all: true,
    reject: false,
  })
  return { all, exitCode }
}

trial.test("pkcs11-tool", "-L, -M and -O show slots, mechanisms and objects", async () => {
  const { all: slots } = await tool("-L")
  for (const { label, pin, keyType } of host.tokens) {
    expect(slots).toContain(`token label        : ${label}`)
    const { all: mechanisms } = await tool("-M", "--token-label", label)
    expect(mechanisms).toMatch(keyType === "RSA-2048" ? /RSA-PKCS-PSS.*sign/ : /ECDSA-SHA256.*sign/)
    const { all: objects } = await tool("-O", "--token-label", label, "--login", "--pin", pin)
    for (const kind of ["Private Key Object", "Public Key Object", "Certificate Object"]) {
      expect(objects).toContain(kind)
    }
  }
})

trial.test("pkcs11-tool-test", "--test --login", async ({ result, note = "" }) => {
  const results = await Promise.all(
    host.tokens.map(({ label, pin }) =>
      tool("--test", "--token-label", label, "--login", "--pin", pin),
    ),
  )
  const said = results.map(({ all }) => all).join("\n")
  const worked = results.map(({ all, exitCode }) => exitCode === 0 && all.includes("No errors"))
  const all = worked.every(Boolean) ? "works" : worked.some(Boolean) ? "partly" : "does not work"
  expect(all, said).toBe(result)
  const [refusal] = /CKR_[A-Z_]+/.exec(said) ?? []
  if (refusal !== undefined) expect(note).toContain(refusal)
})

trial.test("ssh-keygen", "lists the public keys", async ({ result }) => {
  const { exitCode, stdout, stderr } = await execa("ssh-keygen", ["-D", CHECKOUT.module], {
    env: host.env,
    reject: false,
  })
  const worked =
    exitCode === 0 && stdout.includes("ssh-rsa ") && stdout.includes("ecdsa-sha2-nistp256 ")
  expect(worked ? "works" : "does not work", stderr).toBe(result)
})

/** Writes a configuration of SunPKCS11 for a token, which it knows by its place among the slots. */
async function sunPkcs11({ label }: HostedToken): Promise<string> {
  const { all } = await tool("-L")
  const labels = [...all.matchAll(/token label +: (\S+)/g)].map(([, found]) => found)
  const file = join(host.dir, `sun-${label}.cfg`)
  const lines = ["name = tlskeep", `library = ${CHECKOUT.module}`]
  await writeFile(file, `${lines.join("\n")}\nslotListIndex = ${labels.indexOf(label)}\n`)
  return file
}

trial.test(
  "keytool",
  "lists the key",
  async () => {
    for (const token of host.tokens) {
      const config = await sunPkcs11(token)
      const { stdout } = await execa(
        "keytool",
        [
          ...["-list", "-keystore", "NONE", "-storetype", "PKCS11", "-storepass:env", "TOKEN_PIN"],
          ...["-providerClass", "sun.security.pkcs11.SunPKCS11", "-providerArg", config],
        ],
        { env: { ...host.env, TOKEN_PIN: token.pin } },
      )
      expect(stdout).toContain(`${token.label}, PrivateKeyEntry`)
      expect(stdout).toContain(token.certificate.fingerprint256)
    }
  },
  60_000,
)

trial.test(
  "java-tls",
  "a TLS server of SSLContext serves",
  async ({ result }) => {
    const served: Record<string, string> = {}
    for (const token of host.tokens) {
      const server = BackgroundProcess.start({
        name: "java",
        command: "java",
        args: [beside("TlsServer.java"), await sunPkcs11(token)],
        env: { ...host.env, TOKEN_PIN: token.pin },
        logFile: join(host.dir, "log", "java.log"),
      })
      try {
        const line = await server.waitForLine((each) => each.startsWith("listening on "))
        const port = Number(line.split(" ").at(-1))
        for (const protocol of ["TLSv1.2", "TLSv1.3"] as const) {
          served[`${token.keyType} ${protocol}`] = await handshake({
            ...{ port, protocol, ca: host.testbed.authority.rootPem },
          }).catch((error: Error) => error.message)
        }
      } finally {
        await server.stop()
      }
    }
    expect(served).toMatchObject({
      "RSA-2048 TLSv1.2": "TLSv1.2",
      "P-256 TLSv1.2": "TLSv1.2",
      "P-256 TLSv1.3": "TLSv1.3",
    })
    // SunPKCS11's RSA-PSS, which TLS 1.3 signs by, looks the hash up among the token's mechanisms.
    const { all: mechanisms } = await tool("-M", "--token-label", host.token("RSA-2048").label)
    const hashes = /^ +SHA256,/m.test(mechanisms)
    expect(served["RSA-2048 TLSv1.3"] === "TLSv1.3").toBe(hashes)
    expect(hashes ? "works" : "partly").toBe(result)
  },
  90_000,
)

trial.finish()
