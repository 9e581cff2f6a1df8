/** Command-line programs of TLS, with a private key of the token: openssl, curl, GnuTLS. */
import { X509Certificate } from "node:crypto"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { execa } from "execa"
import { afterAll, beforeAll, expect } from "vitest"
import { freePort } from "../../../sim/testbed/free-port.js"
import { handshake } from "../../../sim/testbed/handshake.js"
import type { OpensslBinding } from "../../../sim/testbed/openssl-conf.js"
import { asWwwData, startServer } from "../../../sim/testbed/server-process.js"
import { type HostedToken, TokenHost } from "../../../sim/testbed/token-host.js"
import { Trial } from "./table.js"

const BINDINGS = ["engine", "provider"] as const
/** Options by which a command of openssl takes a key from the engine; the provider needs none. */
const KEY_OPTIONS = { engine: ["-engine", "pkcs11", "-keyform", "engine"], provider: [] } as const

let host: TokenHost
/** A server's key in a file and its certificate, for clients with a key of the token. */
let serverFiles: { key: string; certificate: string }
beforeAll(async () => {
  host = await TokenHost.up()
  const { privateKey, certificate, chain } = await host.testbed.issue("P-256")
  const key = join(host.dir, "server-key.pem")
  await writeFile(key, privateKey, { mode: 0o600 })
  await writeFile(join(host.dir, "server.pem"), certificate + chain)
  serverFiles = { key, certificate: join(host.dir, "server.pem") }
}, 90_000)
afterAll(() => host?.down(), 60_000)

const trial = new Trial("tls-tools.test.ts")

async function openssl(binding: OpensslBinding, ...args: string[]): Promise<string> {
  const { stdout } = await execa("openssl", args, {
    env: await host.opensslEnv(binding),
    input: "",
  })
  return stdout
}

/** An openssl s_server that demands a client certificate and shows what it was given. */
async function demandingServer(port: number) {
  const { key, certificate } = serverFiles
  return startServer({
    name: "s_server",
    command: "openssl",
    args: [
      ...["s_server", "-accept", String(port), "-key", key, "-cert", certificate],
      ...["-cert_chain", certificate, "-Verify", "3", "-CAfile", host.testbed.caFile],
      ...["-verify_return_error", "-www"],
    ],
    env: { PATH: process.env.PATH },
    logFile: join(host.dir, "log", "s_server.log"),
    port,
  })
}

for (const binding of BINDINGS) {
  const id = `openssl-${binding}`
  const eachToken = async (body: (token: HostedToken) => Promise<void>): Promise<void> => {
    for (const token of host.tokens) await body(token)
  }

  trial.test(id, "req -new makes a request that verifies", () =>
    eachToken(async ({ keyUriWithPin, label, certificate }) => {
      const file = join(host.dir, `${label}.csr`)
      const key = [...KEY_OPTIONS[binding], "-key", keyUriWithPin]
      await openssl(binding, "req", "-new", ...key, "-subj", `/CN=${label}`, "-out", file)
      const { stderr } = await execa("openssl", ["req", "-in", file, "-verify", "-noout"])
      expect(stderr).toContain("verify OK")
      const { stdout } = await execa("openssl", ["req", "-in", file, "-pubkey", "-noout"])
      const spki = certificate.publicKey.export({ type: "spki", format: "pem" })
      expect(stdout.trim()).toBe(String(spki).trim())
    }),
  )

  trial.test(id, "cms -sign makes a message that verifies", () =>
    eachToken(async ({ keyUriWithPin, label, certificateFile }) => {
      const [text, signed, chainFile] = ["text", `${label}.cms`, "chain.pem"].map((name) =>
        join(host.dir, name),
      ) as [string, string, string]
      await writeFile(text, "what is signed\n")
      const [, ...chain] = (await readFile(certificateFile, "utf8")).split(/(?=-----BEGIN)/)
      await writeFile(chainFile, chain.join(""))
      await openssl(
        ...([binding, "cms", "-sign", "-nodetach", "-binary", "-md", "sha256"] as const),
        ...KEY_OPTIONS[binding],
        ...["-inkey", keyUriWithPin, "-signer", certificateFile],
        ...["-certfile", chainFile, "-in", text, "-outform", "DER", "-out", signed],
      )
      const trust = ["-CAfile", host.testbed.caFile, "-purpose", "any"]
      const { stdout } = await execa("openssl", [
        ...["cms", "-verify", "-inform", "DER", "-in", signed, "-binary", ...trust],
      ])
      expect(stdout).toBe("what is signed")
    }),
  )

  trial.test(id, "s_server serves", () =>
    eachToken(async ({ keyUriWithPin, certificateFile }) => {
      const port = await freePort()
      const server = await startServer({
        name: "s_server",
        command: "openssl",
        args: [
          ...["s_server", "-accept", String(port), ...KEY_OPTIONS[binding], "-key", keyUriWithPin],
          ...["-cert", certificateFile, "-cert_chain", certificateFile, "-www"],
        ],
        env: await host.opensslEnv(binding),
        logFile: join(host.dir, "log", "s_server.log"),
        port,
      })
      try {
        for (const protocol of ["TLSv1.2", "TLSv1.3"] as const) {
          await handshake({ port, protocol, ca: host.testbed.authority.rootPem })
        }
      } finally {
        await server.stop()
      }
    }),
  )

  trial.test(id, "s_client proves itself by a client certificate", () =>
    eachToken(async ({ keyUriWithPin, certificateFile, certificate }) => {
      const port = await freePort()
      const server = await demandingServer(port)
      try {
        for (const protocol of ["-tls1_2", "-tls1_3"]) {
          const { stdout } = await execa(
            "openssl",
            [
              ...["s_client", "-connect", `localhost:${port}`, protocol, "-quiet"],
              ...["-CAfile", host.testbed.caFile, "-verify_return_error"],
              ...[...KEY_OPTIONS[binding], "-key", keyUriWithPin],
              ...["-cert", certificateFile, "-cert_chain", certificateFile],
            ],
            { env: await host.opensslEnv(binding), input: "GET / HTTP/1.0\r\n\r\n" },
          )
          expectClient(stdout, certificate)
        }
      } finally {
        await server.stop()
      }
    }),
  )
}

/** The page of `s_server -www` shows the certificate that the client proved itself by. */
function expectClient(page: string, certificate: X509Certificate): void {
  expect(page.replace(/[^0-9a-f]/gi, "").toLowerCase()).toContain(
    certificate.serialNumber.toLowerCase(),
  )
}

trial.test("curl-engine", "proves itself by a client certificate", async () => {
  const port = await freePort()
  const server = await demandingServer(port)
  try {
    for (const { keyUriWithPin, certificateFile, certificate } of host.tokens) {
      const { stdout } = await execa(
        "curl",
        [
          ...["-sS", "--fail", "--cacert", host.testbed.caFile, "--engine", "pkcs11"],
          ...["--key-type", "ENG", "--key", keyUriWithPin, "--cert", certificateFile],
          `https://localhost:${port}/`,
        ],
        { env: await host.opensslEnv("engine") },
      )
      expectClient(stdout, certificate)
    }
  } finally {
    await server.stop()
  }
})

/** A command of GnuTLS with the token's p11-kit module file; the PIN by GNUTLS_PIN. */
async function p11tool(pin: string, ...args: string[]): Promise<string> {
  const [command, commandArgs] = asWwwData("p11tool", ["--batch", ...args])
  const env = { ...(await host.p11KitEnv()), GNUTLS_PIN: pin }
  const { all } = await execa(command, commandArgs, { env, all: true })
  return all
}

trial.test("p11-kit", "lists the module and its tokens by the module file", async () => {
  const [command, args] = asWwwData("p11-kit", ["list-modules"])
  const { stdout } = await execa(command, args, { env: await host.p11KitEnv() })
  expect(stdout).toContain("library-manufacturer: tlskeep")
  for (const { label } of host.tokens) expect(stdout).toContain(`token: ${label}`)
})

trial.test("p11tool", "--list-all shows the objects, with login the private key", async () => {
  for (const { label, pin } of host.tokens) {
    const open = await p11tool(pin, "--list-all", `pkcs11:token=${label}`)
    expect(open).toContain("type=cert")
    expect(open).toContain("type=public")
    expect(open).not.toContain("type=private")
    const loggedIn = await p11tool(pin, "--login", "--list-all", `pkcs11:token=${label}`)
    expect(loggedIn).toContain(`object=${label};type=private`)
    expect(loggedIn).toContain("CKA_PRIVATE; CKA_SENSITIVE;")
  }
})

trial.test("p11tool", "--export gives the certificate", async () => {
  for (const { label, pin, certificate } of host.tokens) {
    const uri = `pkcs11:token=${label};object=${label};type=cert`
    const exported = new X509Certificate(await p11tool(pin, "--export", uri))
    expect(exported.fingerprint256).toBe(certificate.fingerprint256)
  }
})

trial.test("p11tool", "--test-sign makes signatures that verify", async () => {
  for (const { keyUri, pin } of host.tokens) {
    const said = await p11tool(pin, "--login", "--test-sign", keyUri)
    expect(said).toMatch(/Signing using .*ok/)
    expect(said).toMatch(/Verifying against public key in the token.*ok/)
  }
})

trial.test(
  "gnutls-serv",
  "serves",
  async () => {
    for (const { keyUri, pin, certificateFile } of host.tokens) {
      const port = await freePort()
      const [command, args] = asWwwData("gnutls-serv", [
        ...["--port", String(port), "--echo", "--noticket"],
        ...["--x509keyfile", keyUri, "--x509certfile", certificateFile],
      ])
      const server = await startServer({
        name: "gnutls-serv",
        command,
        args,
        env: { ...(await host.p11KitEnv()), GNUTLS_PIN: pin },
        logFile: join(host.dir, "log", "gnutls-serv.log"),
        port,
      })
      try {
        for (const protocol of ["TLSv1.2", "TLSv1.3"] as const) {
          expect(await handshake({ port, protocol, ca: host.testbed.authority.rootPem })).toBe(
            protocol,
          )
        }
      } finally {
        await server.stop()
      }
    }
  },
  60_000,
)

trial.finish()
