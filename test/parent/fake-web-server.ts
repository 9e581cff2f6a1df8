/**
 * A web server for tests of the publisher: includes snippets as httpd does, reads them when it is
 * reloaded and shakes hands with what it has read. It can be made to fail at every step.
 */
import { X509Certificate } from "node:crypto"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import { mkdir, writeFile } from "node:fs/promises"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { createSecureContext, createServer, type SecureContext, type Server } from "node:tls"
import type { CommandOutcome, CommandRunner } from "../../parent/target/command.js"
import type { WebCertificate } from "../../sim/testbed/web-certificates.js"

const OK: CommandOutcome = { failure: undefined, output: "" }

export class FakeWebServer {
  readonly #dir: string
  readonly #port: number
  #server: Server | undefined
  /** By server name. */
  #contexts = new Map<string, SecureContext>()
  /** What stands for the enclave: private keys by leaf certificate, PEM. */
  readonly #keys = new Map<string, string>()
  /** Snippets that its configuration includes if they are there, by server name. */
  readonly includes = new Map<string, string>()
  /** Every command that it was given: `test`, `reload`, `start`. */
  readonly commands: string[] = []
  /** Leaf certificates that it fails its test for, ends by when reloaded, never comes to present. */
  readonly refused = new Set<string>()
  readonly deadly = new Set<string>()
  readonly ignored = new Set<string>()
  /** What it says and fails with, by command. */
  readonly failures = new Map<string, string>()
  /** Keeps a command from ever ending. */
  readonly hanging = new Set<string>()

  private constructor(dir: string, port: number) {
    this.#dir = dir
    this.#port = port
  }

  /** It does not run yet. */
  static async prepare(dir: string): Promise<FakeWebServer> {
    await mkdir(join(dir, "engines"), { recursive: true })
    await writeFile(join(dir, "engines", "pkcs11.so"), "")
    const probe = createServer().listen(0, "127.0.0.1")
    await once(probe, "listening")
    const { port } = probe.address() as AddressInfo
    await new Promise((resolve) => probe.close(resolve))
    return new FakeWebServer(dir, port)
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`
  }

  get running(): boolean {
    return this.#server !== undefined
  }

  know({ certificate, privateKey }: WebCertificate): void {
    this.#keys.set(certificate.trim(), privateKey)
  }

  /** Commands are `["test"]`, `["reload"]` and `["start"]`; OpenSSL's say what is installed. */
  readonly run: CommandRunner = async ([command = "", ...args]) => {
    if (command === "openssl") {
      return { ...OK, output: args[0] === "version" ? `ENGINESDIR: "${this.#dir}/engines"\n` : "" }
    }
    this.commands.push(command)
    if (this.hanging.has(command)) return new Promise(() => {})
    const output = this.failures.get(command)
    if (output !== undefined) return { failure: `${command} ended with exit code 1`, output }
    if (command === "test") return this.#test()
    if (command === "start") await this.start()
    else if (this.#server === undefined) return { failure: "reload: no server", output: "" }
    else await this.#load()
    return OK
  }

  count(command: string): number {
    return this.commands.filter((given) => given === command).length
  }

  async start(): Promise<void> {
    const server = createServer({
      SNICallback: (name, answer) => answer(null, this.#contexts.get(name)),
    })
    this.#server = server
    server.on("tlsClientError", () => {})
    server.listen(this.#port, "127.0.0.1")
    await once(server, "listening")
    await this.#load()
  }

  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server !== undefined) await new Promise((resolve) => server.close(resolve))
  }

  #test(): CommandOutcome {
    const refused = [...this.#certificates()].find(([, leaf]) => this.refused.has(leaf))
    if (refused === undefined) return OK
    const [name] = refused
    const snippet = readFileSync(this.includes.get(name) ?? "", "utf8")
    return { failure: "test ended with exit code 1", output: `bad ${name}:\n${snippet}` }
  }

  async #load(): Promise<void> {
    const contexts = new Map<string, SecureContext>()
    for (const [name, leaf, chain] of this.#certificates()) {
      if (this.deadly.has(leaf)) return this.stop()
      const former = this.#contexts.get(name)
      if (this.ignored.has(leaf)) {
        if (former !== undefined) contexts.set(name, former)
        continue
      }
      contexts.set(name, createSecureContext({ cert: chain, key: this.#keys.get(leaf) }))
    }
    this.#contexts = contexts
  }

  /** Server name, leaf and whole file of each snippet that is there. */
  *#certificates(): Generator<[string, string, string]> {
    for (const [name, path] of this.includes) {
      if (!existsSync(path)) continue
      const [, file = ""] = /^ *SSLCertificateFile "(.+)"$/m.exec(readFileSync(path, "utf8")) ?? []
      const chain = readFileSync(file, "utf8")
      yield [name, new X509Certificate(chain).toString().trim(), chain]
    }
  }
}
