/** A signing service with three tokens for each test, over a Unix socket, and ways to talk to it. */
import { createHash, type KeyObject, verify } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect } from "vitest"
import { TLS_SERVER_POLICY } from "../../enclave/policy/tls-server.js"
import type { UsagePolicy } from "../../enclave/policy/usage-policy.js"
import type { LatencyMeter } from "../../enclave/server/latency.js"
import type { Service } from "../../enclave/server/serve.js"
import { serveSigning } from "../../enclave/server/serve-signing.js"
import { DirectoryPublication, type KeyPublication } from "../../enclave/token/key-publication.js"
import type { PinTiming } from "../../enclave/token/pin.js"
import { TokenStore } from "../../enclave/token/token-store.js"
import { KeyDirectory } from "../../native/addon/index.js"
import type { CborValue } from "../../shared/cbor.js"
import type { HashName } from "../../shared/protocol/signing.js"
import { SIGNING_STATUS, type SigningStatusName } from "../../shared/protocol/signing-status.js"
import { Client } from "./client.js"
import { makeKey, type TestKey, tokenContent } from "./keys.js"
import { recordingLog } from "./log.js"

export const PIN = "correct horse"
const QUICK: PinTiming = { firstDelayMs: 1, maxDelayMs: 2, maxWaiting: 64, forgetAfterMs: 60_000 }

/** Keys of the tokens `rsa`, `p256` and `p384`. */
export const rsa = makeKey("RSA-2048")
export const p256 = makeKey("P-256")
export const p384 = makeKey("P-384")

const MESSAGE = Buffer.from("message")
export const hashOf = (name: HashName) => createHash(name.replace("-", "")).update(MESSAGE).digest()

interface Options {
  pinTiming?: PinTiming
  maxConnections?: number
  /** Whether the signing threads are told of the keys; else every request comes to JavaScript. */
  published?: boolean
  /** In place of the service's own. */
  directory?: KeyDirectory
  publication?: KeyPublication
}

export interface SigningService {
  readonly path: string
  readonly store: TokenStore
  /** The log so far. */
  readonly lines: string[]
  readonly listener: Service
  readonly latency: LatencyMeter
  /** Starts anew with other options. */
  restart(options: Options): Promise<void>
  connect(): Promise<Client>
  /** A connection that has said hello. */
  greeted(): Promise<Client>
  loggedIn(...labels: string[]): Promise<Client>
  /** Asserts that the service still signs: on this connection, or on a new one. */
  stillServes(client?: Client): Promise<void>
}

/** Starts a service before each test of the file and ends it after. */
export function useSigningService(policy: UsagePolicy = TLS_SERVER_POLICY): SigningService {
  let dir: string
  let path: string
  let store: TokenStore
  let lines: string[]
  let listener: Service
  let latency: LatencyMeter
  const clients: Client[] = []

  async function start(options: Options = {}): Promise<void> {
    const { pinTiming = QUICK, maxConnections = 100, published = true } = options
    const recording = recordingLog()
    lines = recording.lines
    const { log } = recording
    const directory = options.directory ?? new KeyDirectory()
    const publication = options.publication ?? new DirectoryPublication(directory, policy)
    store = new TokenStore({ pinTiming, ...(published && { publication }) })
    store.put(tokenContent("rsa", rsa, { pin: PIN }))
    store.put(tokenContent("p256", p256, { pin: PIN }))
    store.put(tokenContent("p384", p384, { pin: PIN }))
    const address = { kind: "unix" as const, path }
    const serving = { address, maxConnections, threads: 2, directory, store, policy, log }
    const signing = await serveSigning(serving)
    listener = signing
    latency = signing.latency
  }

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "signing-"))
    path = join(dir, "s")
    await start()
  })
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close()
    await listener.close()
    await rm(dir, { recursive: true })
  })

  const service: SigningService = {
    get path() {
      return path
    },
    get store() {
      return store
    },
    get lines() {
      return lines
    },
    get listener() {
      return listener
    },
    get latency() {
      return latency
    },
    restart: async (options) => {
      await listener.close()
      await start(options)
    },
    connect: async () => {
      const client = await Client.connect(path)
      clients.push(client)
      return client
    },
    greeted: async () => {
      const client = await service.connect()
      expect(await client.ask("hello", 1)).toEqual([0, 1])
      return client
    },
    loggedIn: async (...labels) => {
      const client = await service.greeted()
      for (const label of labels) expect(await client.ask("login", label, PIN)).toEqual([0, null])
      return client
    },
    stillServes: async (client) => {
      const serving = client ?? (await service.loggedIn("p256"))
      if (client !== undefined) expect(await client.ask("login", "p256", PIN)).toEqual([0, null])
      const [status, signature] = await sign(serving, p256, "ECDSA", hashOf("SHA-256"))
      expect(status).toBe(0)
      expect(verifiesEcdsa(p256.publicKey, "SHA-256", signature)).toBe(true)
    },
  }
  return service
}

/** Asks for a signature; gives `[status, signature]`. */
export function sign(
  client: Client,
  key: TestKey,
  mechanism: string,
  data: Uint8Array,
  parameter: CborValue = null,
): Promise<[number | string, unknown]> {
  return client.ask("sign", key.fingerprint, mechanism, data, parameter)
}

/** The name of the status that a request is answered with; a refusal brings nothing else. */
export async function statusOf(
  answer: Promise<[number | string, unknown]>,
): Promise<SigningStatusName> {
  const [status, result] = await answer
  const name = Object.entries(SIGNING_STATUS).find(([, number]) => number === status)?.[0]
  if (name !== "ok") expect(result).toBeUndefined()
  return name as SigningStatusName
}

/** Whether node:crypto takes an ECDSA signature over the message of {@link hashOf}. */
export function verifiesEcdsa(key: KeyObject, hash: HashName, signature: unknown): boolean {
  const verifier = { key, dsaEncoding: "ieee-p1363" as const }
  return verify(hash.replace("-", ""), MESSAGE, verifier, Buffer.from(signature as Uint8Array))
}

/** Whether node:crypto takes an RSA signature over the message of {@link hashOf}. */
export function verifiesRsa(
  key: KeyObject,
  hash: HashName,
  signature: unknown,
  pss: { padding?: number; saltLength?: number } = {},
): boolean {
  const verifier = { key, ...pss }
  return verify(hash.replace("-", ""), MESSAGE, verifier, Buffer.from(signature as Uint8Array))
}
