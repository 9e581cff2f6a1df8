/**
 * A token in an enclave, renewed at will, for tests that publish it to web servers of their own: the
 * agent here provisions it and has no server to reload.
 */
import { X509Certificate } from "node:crypto"
import { existsSync } from "node:fs"
import { copyFile, readFile } from "node:fs/promises"
import { join } from "node:path"
import { pino } from "pino"
import { describe } from "vitest"
import type { OptionsConfig, TargetConfig } from "../../parent/config/config.js"
import { RunDir } from "../../parent/run-dir.js"
import type { CommandRunner } from "../../parent/target/command.js"
import { createPublisher } from "../../parent/target/create-publisher.js"
import { ownerOf } from "../../parent/target/files.js"
import type { Publication, Publisher } from "../../parent/target/publisher.js"
import type { BackgroundProcess } from "../../sim/testbed/background-process.js"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import { ENGINE_PATH, type OpensslBinding, PROVIDER_PATH } from "../../sim/testbed/openssl-conf.js"
import { Testbed } from "../../sim/testbed/testbed.js"
import type { KeyType, WebCertificate } from "../../sim/testbed/web-certificates.js"

const LABEL = "published"

function modulePathIn({ dir }: Testbed): string {
  return join(dir, "libtlskeep-pkcs11.so")
}
const GROUP = "www-data"

const LIBRARIES = { engine: ENGINE_PATH, provider: PROVIDER_PATH }

/** Declares a suite for each of OpenSSL's bindings to PKCS #11, skipped where it is not installed. */
export function describeBindings(server: string, suite: (binding: OpensslBinding) => void): void {
  describe.each(["engine", "provider"] as const)(`${server} through the %s`, (binding) => {
    // pkcs11-provider comes from bookworm-backports, which not every mirror has.
    describe.skipIf(!existsSync(LIBRARIES[binding]))(`${LIBRARIES[binding]} is installed`, () =>
      suite(binding),
    )
  })
}

export class PublishedToken {
  readonly testbed: Testbed
  readonly #agent: BackgroundProcess
  readonly #keyArn: string
  readonly pin: string
  /** The certificate that the enclave has. */
  web: WebCertificate

  private constructor(
    testbed: Testbed,
    parts: { agent: BackgroundProcess; keyArn: string; pin: string; web: WebCertificate },
  ) {
    this.testbed = testbed
    this.#agent = parts.agent
    this.#keyArn = parts.keyArn
    this.pin = parts.pin
    this.web = parts.web
  }

  /** Returns when the enclave has the token. */
  static async up(keyType: KeyType = "P-256"): Promise<PublishedToken> {
    const testbed = await Testbed.up()
    try {
      // Not the agent's to reload: it is told a server of its own, which does not exist.
      const apache = await testbed.apache("unused", { binding: "engine" })
      // A copy: its users are told from those of other tests by it.
      await copyFile(CHECKOUT.module, modulePathIn(testbed))
      const web = await testbed.issue(keyType)
      const keyArn = await testbed.kmsKey()
      const config = await testbed.agentConfig(LABEL, {
        label: LABEL,
        uri: await testbed.seal(web, keyArn, LABEL),
        apache,
        options: {
          test_command: ["/bin/true"],
          reload_command: ["/bin/true"],
          sync_interval_secs: 1,
          module_path: modulePathIn(testbed),
        },
      })
      const agent = testbed.startAgent(config)
      await agent.waitForLine((line) => line.includes('"msg":"web server reloaded"'))
      const agentRunDir = await RunDir.open(testbed.runDir)
      const pin = await readFile(agentRunDir.pinFile(LABEL), "utf8")
      return new PublishedToken(testbed, { agent, keyArn, pin, web })
    } catch (error) {
      await testbed.down()
      throw error
    }
  }

  /** What the servers under test load. */
  get modulePath(): string {
    return modulePathIn(this.testbed)
  }

  /** Has the enclave take a new key and certificate in. */
  async renew(keyType: KeyType = "P-256"): Promise<WebCertificate> {
    const web = await this.testbed.issue(keyType)
    const from = this.#agent.lines.length
    await this.testbed.seal(web, this.#keyArn, LABEL)
    await this.#agent.waitForLine((line) => line.includes('"msg":"web server reloaded"'), { from })
    this.web = web
    return web
  }

  /** A publication of a certificate, the enclave's own unless given. */
  publication(
    target: Omit<TargetConfig, "user" | "group">,
    { certificate, chain }: WebCertificate = this.web,
  ): Publication {
    return {
      token: {
        label: LABEL,
        source: { kind: "S3", uri: "s3://bucket/key" },
        target: { user: "root", group: GROUP, ...target },
        refresh_interval_secs: 43_200,
      },
      object: {
        certificates: [new X509Certificate(certificate), new X509Certificate(chain)],
        encryptedPrivateKey: Buffer.alloc(0),
        keyId: null,
        encryptionContext: null,
      },
      pin: this.pin,
    }
  }

  /**
   * A publisher with a run directory of its own below `dir`.
   */
  async publisher(
    dir: string,
    options: Pick<OptionsConfig, "service" | "test_command" | "reload_command" | "start_command"> &
      Partial<OptionsConfig>,
    run?: CommandRunner,
  ): Promise<{ publisher: Publisher; runDir: RunDir; lines: string[] }> {
    const runDir = await RunDir.open(join(dir, "run"))
    const { gid } = await ownerOf("root", GROUP)
    await runDir.pin(LABEL, this.pin, gid)
    const lines: string[] = []
    const publisher = await createPublisher({
      options: {
        ...{ force_start: true, reload_wait_ms: 10_000, sync_interval_secs: 600 },
        ...{ run_dir: runDir.path, module_path: this.modulePath },
        ...{ key_syntax: "auto", pin_delivery: "auto" },
        ...options,
      },
      runDir,
      log: pino({ level: "trace" }, { write: (line: string) => void lines.push(line) }),
      systemd: false,
      ...(run === undefined ? {} : { run }),
    })
    return { publisher, runDir, lines }
  }

  /** No line of a publisher's log may hold it. */
  isSecretIn(text: string): boolean {
    return text.includes(this.pin) || /pkcs11:[a-z]/.test(text)
  }

  async down(): Promise<void> {
    await this.#agent.stop()
    await this.testbed.nitroCli("terminate-enclave", "--enclave-name", LABEL)
    await this.testbed.down()
  }
}
