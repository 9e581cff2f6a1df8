/** Round trips of a TLS handshake, counted on the socket between the web server and where the key is. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { parseAddress } from "../../shared/address.js"
import { CodedError } from "../../shared/errors.js"
import { handshake } from "../../sim/testbed/handshake.js"
import { HttpsServer, type ServerSetup } from "../contenders/https-server.js"
import { softhsmSnippet, startRemote } from "../contenders/https-servers.js"
import type { BenchHost } from "../host/bench-host.js"
import { P11_KIT_CLIENT } from "../host/softhsm.js"
import type { Say } from "../profile.js"
import type { ContenderName, RoundTrips, ServedKeyType } from "../report/schema.js"
import { CountingRelay } from "./counting-relay.js"

const PROTOCOLS = ["TLS1.2", "TLS1.3"] as const
/** Each of Apache's two processes has its connection, login and search behind it then. */
const WARM_UP = 40

/** An Apache before whose key's socket a relay stands. */
class RelayedServer extends HttpsServer {
  readonly name: ContenderName
  readonly #setup: Setup
  #relay: CountingRelay | undefined

  constructor(host: BenchHost, keyType: ServedKeyType, name: ContenderName, setup: Setup) {
    super(host, keyType)
    this.name = name
    this.#setup = setup
  }

  get roundTrips(): number {
    return this.#relay?.roundTrips ?? 0
  }

  async prepare(): Promise<void> {
    const path = join(this.host.dir, `relay-${this.name}-${this.keyType.toLowerCase()}.sock`)
    const { target, server } = await this.#setup(this.host, this.keyType, path)
    this.#relay = await CountingRelay.start(path, target)
    this.host.testbed.stopWithAll(this.#relay)
    await this.makeServer(server)
  }

  protected override get folder(): string {
    return `relayed-${super.folder}`
  }
}

interface Relayed {
  /** Socket that the relay speaks to. */
  target: string
  server: ServerSetup
}

type Setup = (host: BenchHost, keyType: ServedKeyType, socket: string) => Promise<Relayed>

export async function measureRoundTrips(
  host: BenchHost,
  options: {
    keys: readonly ServedKeyType[]
    contenders: readonly ContenderName[]
    handshakes: number
  },
  say: Say,
): Promise<RoundTrips[]> {
  const results: RoundTrips[] = []
  for (const key of options.keys) {
    for (const [contender, setup] of SETUPS) {
      if (!options.contenders.includes(contender)) continue
      say(`round trips per handshake, ${key}, ${contender}`)
      const server = new RelayedServer(host, key, contender, setup)
      await server.prepare()
      await server.start()
      for (const protocol of PROTOCOLS) {
        const round_trips_per_handshake = await countOf(server, host, protocol, options.handshakes)
        const { handshakes } = options
        results.push({ contender, key, protocol, handshakes, round_trips_per_handshake })
      }
      await server.stop()
    }
  }
  return results
}

/** One handshake after the other, so that each has the socket for itself. */
async function countOf(
  server: RelayedServer,
  host: BenchHost,
  protocol: (typeof PROTOCOLS)[number],
  handshakes: number,
): Promise<number> {
  const ca = host.testbed.authority.rootPem
  const version = protocol === "TLS1.2" ? "TLSv1.2" : "TLSv1.3"
  const shake = async (count: number) => {
    for (let i = 0; i < count; i++) await handshake({ port: server.port, ca, protocol: version })
  }
  await shake(WARM_UP)
  const before = server.roundTrips
  await shake(handshakes)
  return (server.roundTrips - before) / handshakes
}

async function tlskeep(
  host: BenchHost,
  keyType: ServedKeyType,
  socket: string,
  binding: "engine" | "provider",
): Promise<Relayed> {
  const site = await host.site(keyType)
  const address = parseAddress((await readFile(join(site.runDir, "endpoint"), "utf8")).trim())
  if (address.kind !== "unix") throw new CodedError("bad-endpoint", "the simulator's are sockets")
  const env = { TLSKEEP_ENDPOINT: `unix:${socket}` }
  const snippet = { path: site.token.targetFile }
  return { target: address.path, server: { binding, snippet, env } }
}

async function softhsm(host: BenchHost, keyType: ServedKeyType, socket: string): Promise<Relayed> {
  const target = `${socket}.p11-kit`
  await startRemote(host, target)
  const snippet = await softhsmSnippet(host, keyType)
  const env = { P11_KIT_SERVER_ADDRESS: `unix:path=${socket}` }
  return { target, server: { binding: "engine", modulePath: P11_KIT_CLIENT, snippet, env } }
}

const SETUPS: readonly [ContenderName, Setup][] = [
  ["tlskeep-engine", (host, keyType, socket) => tlskeep(host, keyType, socket, "engine")],
  ["tlskeep-provider", (host, keyType, socket) => tlskeep(host, keyType, socket, "provider")],
  ["softhsm-p11-kit", softhsm],
]
