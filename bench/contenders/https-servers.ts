/** The contenders of the handshakes: the same Apache and key, and the key in five places. */
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import type { Site } from "../../sim/testbed/site.js"
import type { BenchHost } from "../host/bench-host.js"
import { P11_KIT_CLIENT, P11KitServer, SOFTHSM_MODULE } from "../host/softhsm.js"
import { runSignLoad } from "../measure/sign-load.js"
import type { ServedKeyType } from "../report/schema.js"
import { HttpsServer } from "./https-server.js"

const WARM_UP_SECONDS = 2

/** The key in a file: the baseline. */
export class KeyFileServer extends HttpsServer {
  readonly name = "key-file"

  async prepare(): Promise<void> {
    const { certificateFile, keyFile } = await this.host.webKey(this.keyType)
    await this.makeServer({ binding: "none", snippet: { certificateFile, key: keyFile } })
  }
}

/** The key in an enclave, by the engine: agent, enclave and Apache as an operator has them. */
export class TlskeepEngineServer extends HttpsServer {
  readonly name = "tlskeep-engine"
  #site: Site | undefined

  async prepare(): Promise<void> {
    this.#site = await this.host.site(this.keyType)
    this.take(this.#site.server)
  }

  override async start(): Promise<void> {
    await super.start()
    if (this.#site !== undefined) await warmUpEnclave(this.host, this.#site, this.keyType)
  }

  override async pids(): Promise<number[]> {
    return [...(await super.pids()), ...pidsOf(this.#site)]
  }
}

/** The same enclave's key, by the provider, from an Apache of its own. */
export class TlskeepProviderServer extends HttpsServer {
  readonly name = "tlskeep-provider"
  #site: Site | undefined

  async prepare(): Promise<void> {
    const site = await this.host.site(this.keyType)
    this.#site = site
    await this.makeServer({
      binding: "provider",
      snippet: { path: site.token.targetFile },
      endpointFile: join(site.runDir, "endpoint"),
    })
  }

  override async pids(): Promise<number[]> {
    return [...(await super.pids()), ...pidsOf(this.#site)]
  }
}

/** The key in SoftHSM behind p11-kit's remoting, by the engine. */
export class SofthsmRemoteServer extends HttpsServer {
  readonly name = "softhsm-p11-kit"
  readonly #socket: string
  #remote: P11KitServer | undefined

  constructor(host: BenchHost, keyType: ServedKeyType) {
    super(host, keyType)
    this.#socket = join(host.dir, `p11-kit-${keyType.toLowerCase()}.sock`)
  }

  async prepare(): Promise<void> {
    await this.makeServer({
      ...{ binding: "engine", modulePath: P11_KIT_CLIENT },
      snippet: await softhsmSnippet(this.host, this.keyType),
      env: { P11_KIT_SERVER_ADDRESS: `unix:path=${this.#socket}` },
    })
  }

  override async start(): Promise<void> {
    this.#remote ??= await startRemote(this.host, this.#socket)
    await super.start()
  }

  override async pids(): Promise<number[]> {
    return [...(await super.pids()), ...(this.#remote === undefined ? [] : [this.#remote.pid])]
  }
}

/** The key in SoftHSM in Apache's own processes, by the engine. */
export class SofthsmServer extends HttpsServer {
  readonly name = "softhsm"

  async prepare(): Promise<void> {
    await this.makeServer({
      ...{ binding: "engine", modulePath: SOFTHSM_MODULE },
      snippet: await softhsmSnippet(this.host, this.keyType),
      env: (await this.host.softhsm()).env,
    })
  }
}

/** p11-kit's server at this socket, stopped with everything. */
export async function startRemote(host: BenchHost, socket: string): Promise<P11KitServer> {
  const remote = await P11KitServer.start(await host.softhsm(), socket)
  host.testbed.stopWithAll(remote)
  return remote
}

/**
 * Some ten thousand signatures: an enclave serves for weeks, and its JavaScript is compiled after its first
 * minutes. Handshakes alone would take as many to come to that.
 */
async function warmUpEnclave(host: BenchHost, site: Site, keyType: ServedKeyType): Promise<void> {
  const [pin = ""] = await readdir(join(site.runDir, "pins"))
  await runSignLoad({
    with: {
      module: CHECKOUT.module,
      token: site.token.label,
      pinFile: join(site.runDir, "pins", pin),
      env: {
        TLSKEEP_ENDPOINT_FILE: join(site.runDir, "endpoint"),
        TLSKEEP_LOG: join(host.dir, "log", "load.log"),
      },
    },
    ...{ keyType, threads: 16, seconds: WARM_UP_SECONDS, warmupSeconds: 0 },
  })
}

/** Agent and enclave of a site. */
function pidsOf(site: Site | undefined): number[] {
  return site === undefined ? [] : [site.agent.pid, ...site.vmmPids]
}

/** Certificate and key URI for an Apache whose key is in SoftHSM. */
export async function softhsmSnippet(host: BenchHost, keyType: ServedKeyType) {
  const { certificateFile, keyFile, label } = await host.webKey(keyType)
  const token = await host.softhsm()
  await host.once(`import-${label}`, () => token.importKey(label, keyFile))
  return { certificateFile, key: token.uriOf(label) }
}
