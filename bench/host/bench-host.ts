/** Everything that stands before the first measurement: the local AWS, keys, and what contenders share. */
import { createPublicKey } from "node:crypto"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Site } from "../../sim/testbed/site.js"
import { Testbed } from "../../sim/testbed/testbed.js"
import type { WebCertificate } from "../../sim/testbed/web-certificates.js"
import type { ServedKeyType, SigningKeyType } from "../report/schema.js"
import { Enclave } from "./enclave.js"
import { SofthsmToken } from "./softhsm.js"

/** A key that every contender of a case has, and its certificate. */
export interface BenchKey {
  keyType: SigningKeyType
  label: string
  web: WebCertificate
  /** PKCS #8, PEM. */
  keyFile: string
  /** SubjectPublicKeyInfo, PEM. */
  publicKeyFile: string
  /** With its chain. */
  certificateFile: string
}

/**
 * Apache for all contenders alike: two processes, one a core, that never end in a round, and an error log
 * that costs nothing.
 */
export const SERVER_DIRECTIVES = [
  "LogLevel warn",
  "StartServers 2",
  "ServerLimit 2",
  "ThreadsPerChild 32",
  "MaxRequestWorkers 64",
  "MinSpareThreads 1",
  "MaxSpareThreads 64",
  "MaxConnectionsPerChild 0",
]

export class BenchHost {
  readonly testbed: Testbed
  readonly #shared = new Map<string, Promise<unknown>>()

  private constructor(testbed: Testbed) {
    this.testbed = testbed
  }

  static async up(): Promise<BenchHost> {
    return new BenchHost(await Testbed.up())
  }

  get dir(): string {
    return this.testbed.dir
  }

  /** A site with an agent, an enclave and Apache through the engine, for handshakes. */
  site(keyType: ServedKeyType): Promise<Site> {
    return this.#once(`site-${keyType}`, () =>
      Site.create(this.testbed, {
        ...{ name: `bench-${keyType.toLowerCase()}`, service: "httpd", target: "Snippet" },
        ...{ directives: SERVER_DIRECTIVES, tokens: [{ label: "web", keyType }] },
      }),
    )
  }

  /** Ends a site's agent and enclave, if there are any. */
  async stopSite(keyType: ServedKeyType): Promise<void> {
    const site = (await this.#shared.get(`site-${keyType}`)) as Site | undefined
    await site?.stop()
  }

  /** The key that the site of this type has. */
  webKey(keyType: ServedKeyType): Promise<BenchKey> {
    return this.#once(`web-key-${keyType}`, async () => {
      const site = await this.site(keyType)
      return this.#write(keyType, `web-${keyType.toLowerCase()}`, site.token.web)
    })
  }

  /** A key for raw signatures. */
  signingKey(keyType: SigningKeyType): Promise<BenchKey> {
    return this.#once(`signing-key-${keyType}`, async () => {
      const web = await this.testbed.issue(keyType)
      return this.#write(keyType, `sign-${keyType.toLowerCase()}`, web)
    })
  }

  /** An enclave with no more than the tokens that it is given. */
  enclave(name: string): Promise<Enclave> {
    return this.#once(`enclave-${name}`, () => Enclave.start(this.testbed, name))
  }

  /** Ends it; the next of that name is another. */
  async stopEnclave(name: string): Promise<void> {
    const enclave = (await this.#shared.get(`enclave-${name}`)) as Enclave | undefined
    this.#shared.delete(`enclave-${name}`)
    await enclave?.stop()
  }

  softhsm(): Promise<SofthsmToken> {
    return this.#once("softhsm", () => SofthsmToken.create(join(this.dir, "softhsm")))
  }

  /** Does something once; whoever asks again gets what came of it. */
  once<Value>(name: string, make: () => Promise<Value>): Promise<Value> {
    return this.#once(`once-${name}`, make)
  }

  down(): Promise<void> {
    return this.testbed.down()
  }

  #once<Value>(name: string, make: () => Promise<Value>): Promise<Value> {
    const known = this.#shared.get(name) as Promise<Value> | undefined
    if (known !== undefined) return known
    const made = make()
    this.#shared.set(name, made)
    return made
  }

  async #write(keyType: SigningKeyType, label: string, web: WebCertificate): Promise<BenchKey> {
    const dir = join(this.dir, "keys")
    await mkdir(dir, { recursive: true })
    const file = (what: string) => join(dir, `${label}-${what}.pem`)
    const key = {
      ...{ keyType, label, web, keyFile: file("key") },
      ...{ publicKeyFile: file("public"), certificateFile: file("certificate") },
    }
    await writeFile(key.keyFile, web.privateKey, { mode: 0o600 })
    await writeFile(key.certificateFile, web.certificate + web.chain)
    const publicKey = createPublicKey(web.certificate).export({ type: "spki", format: "pem" })
    await writeFile(key.publicKeyFile, publicKey)
    return key
  }
}
