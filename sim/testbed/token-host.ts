/** One enclave with a token per kind of key, and no web server: what a consumer under test is pointed at. */
import { X509Certificate } from "node:crypto"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { BackgroundProcess } from "./background-process.js"
import { CHECKOUT } from "./checkout.js"
import { type OpensslBinding, opensslConf } from "./openssl-conf.js"
import { Testbed } from "./testbed.js"
import type { KeyType } from "./web-certificates.js"

/** A token, as its consumers see it. */
export interface HostedToken {
  label: string
  keyType: KeyType
  certificate: X509Certificate
  /** The certificate with its chain, PEM. */
  certificateFile: string
  pin: string
  pinFile: string
  /** PKCS #11 URI of the private key, without and with `pin-source`. */
  keyUri: string
  keyUriWithPin: string
  /** The lines that the agent writes for a virtual host of Apache. */
  snippet: string
}

const ENCLAVE_NAME = "consumers"
const LABELS = { "RSA-2048": "rsa", "P-256": "p256", "P-384": "p384", Ed25519: "ed25519" } as const

export class TokenHost {
  readonly testbed: Testbed
  readonly #tokens: Readonly<Partial<Record<KeyType, HostedToken>>>
  readonly #agent: BackgroundProcess

  private constructor(
    testbed: Testbed,
    tokens: Partial<Record<KeyType, HostedToken>>,
    agent: BackgroundProcess,
  ) {
    this.testbed = testbed
    this.#tokens = tokens
    this.#agent = agent
  }

  /** Brings up the local AWS, an agent and an enclave; returns when every token signs. */
  static async up(
    keyTypes: readonly KeyType[] = ["RSA-2048", "P-256"],
    imagePath: string = CHECKOUT.image,
  ): Promise<TokenHost> {
    const testbed = await Testbed.up()
    try {
      const keyArn = await testbed.kmsKey(imagePath)
      const made = await Promise.all(
        keyTypes.map(async (keyType) => {
          const label = LABELS[keyType]
          const web = await testbed.issue(keyType)
          return { keyType, label, web, uri: await testbed.seal(web, keyArn, label) }
        }),
      )
      const config = await testbed.writeAgentConfig("agent", {
        ...{ enclaveName: ENCLAVE_NAME, imagePath, runDir: testbed.runDir },
        // The consumers under test are not the agent's to reload.
        commands: { test: ["/bin/true"], reload: ["/bin/true"], start: ["/bin/true"] },
        tokens: made.map(({ label, uri }) => ({
          ...{ label, uri, target: "Snippet", path: snippetFile(testbed, label) },
        })),
      })
      const agent = testbed.startAgent(config)
      const tokens: Partial<Record<KeyType, HostedToken>> = {}
      for (const { keyType, label, web } of made) {
        await said(agent, "web server reloaded", { label })
        tokens[keyType] = await describeToken(testbed, keyType, web.certificate)
      }
      return new TokenHost(testbed, tokens, agent)
    } catch (error) {
      await testbed.down()
      throw error
    }
  }

  get dir(): string {
    return this.testbed.dir
  }

  get tokens(): HostedToken[] {
    return Object.values(this.#tokens)
  }

  /** @throws RangeError for a kind of key that the host was not brought up with. */
  token(keyType: KeyType): HostedToken {
    const token = this.#tokens[keyType]
    if (token === undefined) throw new RangeError(`the host has no ${keyType} token`)
    return token
  }

  /** What a consumer is run with: the module's endpoint and log, a HOME of its own. */
  get env(): Record<string, string> {
    return {
      PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin`,
      HOME: this.dir,
      LC_ALL: "C.UTF-8",
      TLSKEEP_ENDPOINT_FILE: this.testbed.endpointFile,
      TLSKEEP_LOG: join(this.dir, "log", "pkcs11.log"),
    }
  }

  /** An openssl.cnf that loads the module by the given library; returns the variables that name it. */
  async opensslEnv(
    binding: OpensslBinding,
    modulePath: string = CHECKOUT.module,
  ): Promise<Record<string, string>> {
    const name = modulePath === CHECKOUT.module ? binding : `${binding}-proxy`
    const file = join(this.dir, `openssl-${name}.cnf`)
    await writeFile(file, opensslConf(binding, modulePath))
    return { ...this.env, OPENSSL_CONF: file }
  }

  /**
   * A HOME whose p11-kit configuration has the module file of the token and none of the system's.
   *
   * @returns the environment, with HOME and XDG_CONFIG_HOME set to it
   * @see p11-kit.conf(5): `user-config: only` leaves out what the system configures
   */
  async p11KitEnv(): Promise<Record<string, string>> {
    const home = join(this.dir, "p11-kit-home")
    const config = join(home, ".config", "pkcs11")
    await mkdir(join(config, "modules"), { recursive: true })
    await writeFile(join(config, "pkcs11.conf"), "user-config: only\n")
    await writeFile(join(config, "modules", "tlskeep.module"), `module: ${CHECKOUT.module}\n`)
    return { ...this.env, HOME: home, XDG_CONFIG_HOME: join(home, ".config") }
  }

  /** Ends the enclave; returns when the agent has every token in the one that takes its place. */
  async replaceEnclave(): Promise<void> {
    const from = this.#agent.lines.length
    await this.#terminateEnclave()
    for (const { label } of this.tokens) {
      await said(this.#agent, "token provisioned", { label, from })
    }
  }

  async down(): Promise<void> {
    await this.#agent.stop()
    await this.#terminateEnclave()
    await this.testbed.down()
  }

  async #terminateEnclave(): Promise<void> {
    await this.testbed.nitroCli("terminate-enclave", "--enclave-name", ENCLAVE_NAME)
  }
}

function snippetFile(testbed: Testbed, label: string): string {
  return join(testbed.dir, `${label}-snippet.conf`)
}

/** Waits for a message of the agent about a token, from its `from`th line on. */
async function said(
  agent: BackgroundProcess,
  message: string,
  { label, from = 0 }: { label: string; from?: number },
): Promise<void> {
  const [what, about] = [`"msg":"${message}"`, `"tokenLabel":"${label}"`]
  await agent.waitForLine((line) => line.includes(what) && line.includes(about), { from })
}

async function describeToken(
  testbed: Testbed,
  keyType: KeyType,
  certificate: string,
): Promise<HostedToken> {
  const label = LABELS[keyType]
  const snippet = await readFile(snippetFile(testbed, label), "utf8")
  const directive = (name: string): string =>
    new RegExp(`^${name} "([^"]+)"$`, "m").exec(snippet)?.[1] ?? ""
  const keyUriWithPin = directive("SSLCertificateKeyFile")
  const [keyUri = "", pinFile = ""] = keyUriWithPin.split("?pin-source=file:")
  return {
    label,
    keyType,
    certificate: new X509Certificate(certificate),
    certificateFile: directive("SSLCertificateFile"),
    pin: await readFile(pinFile, "utf8"),
    pinFile,
    keyUri,
    keyUriWithPin,
    snippet: snippetFile(testbed, label),
  }
}
