/**
 * A keeper for tests with an enclave that holds tokens as the real one does: every step that is taken is
 * recorded in order, and fails where a test says so.
 */
import pLimit from "p-limit"
import { pino } from "pino"
import { afterEach, beforeAll, beforeEach, expect, vi } from "vitest"
import type { KeptObjects } from "../../parent/agent/kept-objects.js"
import { type KeeperDeps, TokenKeeper } from "../../parent/agent/token-keeper.js"
import type { ControlClient } from "../../parent/enclave-host/control-client.js"
import type { OwnedEnclave } from "../../parent/enclave-host/enclave-host.js"
import { AgentError } from "../../parent/errors.js"
import type { KeyObject } from "../../parent/source/key-object.js"
import type { ProvisionRequest, TokenDescription } from "../../shared/protocol/control.js"
import { fingerprintOf, publicKeyOf } from "../../shared/public-key.js"
import { enclaveDescription, tokenDescription } from "./control-server.js"
import { makeKey } from "./key-objects.js"

export const PIN = "pin-that-nobody-logs"
export const CREDENTIALS = {
  accessKeyId: "ASIA0123456789ABCDEF",
  secretAccessKey: "secret-that-nobody-logs",
  sessionToken: "session-that-nobody-logs",
}
export const SOURCE_AWAY = new AgentError("s3-unreachable", "S3 could not be reached")

/** A new token from the source to the server, and a renewal. */
export const NEW = ["fetch", "provision", "self-test", "publish"]
export const RENEWAL = ["fetch", "stage", "self-test", "publish", "activate"]

export type FakeEnclave = OwnedEnclave & {
  provision: ReturnType<typeof vi.fn>
  /** Which object's key is current, staged and retiring there. */
  keys(): { current: KeyObject | undefined; next: KeyObject | undefined; retiring: number }
}

export interface KeeperBench {
  readonly first: KeyObject
  readonly second: KeyObject
  /** What the source holds. */
  held: KeyObject
  /** What outlives the agent. */
  stored: KeptObjects
  /** Settles the promises of former workers gone, the oldest first. */
  readonly workers: ((gone: boolean) => void)[]
  readonly logged: string
  failNext(step: string, ...errors: unknown[]): void
  /** The steps since the last call. */
  stepsSoFar(): string[]
  enclave(change?: Partial<OwnedEnclave>): FakeEnclave
  /** An enclave found running, with a token of this key in it. */
  adopted(object: KeyObject, attestedMsAgo?: number, clockOffsetMs?: number): FakeEnclave
  keeper(change?: Partial<KeeperDeps>): TokenKeeper
}

/** Makes the bench of a test file, new for each test. */
export function useKeeperBench(): KeeperBench {
  let first: KeyObject
  let second: KeyObject
  let steps: string[]
  let failures: Map<string, unknown[]>
  let fetched: KeyObject | undefined
  let logged: string
  beforeAll(async () => {
    first = (await makeKey()).object
    second = (await makeKey()).object
  })
  beforeEach(() => {
    steps = []
    failures = new Map()
    fetched = undefined
    logged = ""
    bench.held = first
    bench.stored = { fetched: undefined, published: undefined }
    bench.workers.length = 0
  })
  afterEach(() => {
    vi.useRealTimers()
    for (const secret of [PIN, CREDENTIALS.secretAccessKey, CREDENTIALS.sessionToken, "BEGIN"]) {
      expect(logged).not.toContain(secret)
    }
  })

  async function take(step: string): Promise<void> {
    steps.push(step)
    const error = failures.get(step)?.shift()
    if (error !== undefined) throw error
  }

  function enclave(
    change: Partial<OwnedEnclave> = {},
    present?: { object: KeyObject; token: TokenDescription },
  ): FakeEnclave {
    let current = present?.object
    let next: KeyObject | undefined
    let retiring: KeyObject[] = []
    const described = () =>
      tokenDescription({
        attestedAt: present?.token.attestedAt ?? Date.now(),
        ...fingerprints(current),
        nextFingerprint: next === undefined ? null : fingerprints(next).fingerprint,
        retiringFingerprints: retiring.map((object) => fingerprints(object).fingerprint),
      })
    const put = (object: KeyObject, stage: boolean) => {
      if (stage && current !== undefined && current !== object) {
        next = object
        return
      }
      if (current !== undefined && current !== object) retiring.push(current)
      current = object
      if (next === object) next = undefined
    }
    const provision = vi.fn(async ({ encryptedPrivateKey, stage }: ProvisionRequest) => {
      await take(stage && current !== undefined ? "stage" : "provision")
      const object = [first, second].find((one) => one.encryptedPrivateKey === encryptedPrivateKey)
      if (object === undefined) throw new Error("an object that nobody has")
      put(object, stage)
      return described()
    })
    const client = {
      provision,
      refresh: async (label: string, credentials: unknown) => {
        expect([label, credentials]).toEqual(["www", CREDENTIALS])
        await take("refresh").catch((error: AgentError) => {
          if (RELEASING.has(error.code)) current = undefined
          throw error
        })
        return described()
      },
      activate: async (_label: string, fingerprint: string) => {
        await take("activate")
        if (next === undefined) throw new Error("nothing is staged")
        expect(fingerprint).toBe(fingerprints(next).fingerprint)
        put(next, false)
        return described()
      },
      retire: async (_label: string, fingerprint: string) => {
        await take("retire")
        retiring = retiring.filter((object) => fingerprints(object).fingerprint !== fingerprint)
      },
    }
    return {
      enclaveId: "i-1-enc1",
      cid: 16,
      slot: "first",
      client: client as unknown as ControlClient,
      description: enclaveDescription(),
      signing: { kind: "vsock", cid: 16, port: 9_999 },
      adopted: false,
      provision,
      keys: () => ({ current, next, retiring: retiring.length }),
      ...change,
    }
  }

  const bench: KeeperBench = {
    get first() {
      return first
    },
    get second() {
      return second
    },
    held: undefined as unknown as KeyObject,
    stored: { fetched: undefined, published: undefined },
    workers: [],
    get logged() {
      return logged
    },
    failNext: (step, ...errors) => failures.set(step, [...(failures.get(step) ?? []), ...errors]),
    stepsSoFar: () => steps.splice(0),
    enclave: (change) => enclave(change),
    adopted: (object, attestedMsAgo = 0, clockOffsetMs = 0) => {
      const now = Date.now() + clockOffsetMs
      const token = tokenDescription({ ...fingerprints(object), attestedAt: now - attestedMsAgo })
      const description = enclaveDescription({ now, tokens: [token] })
      return enclave({ adopted: true, description }, { object, token })
    },
    keeper: (change = {}) =>
      new TokenKeeper({
        config: {
          label: "www",
          source: { kind: "S3", uri: "s3://keys/www.json" },
          target: { kind: "Snippet", path: "/x", user: "root", group: "root" },
          refresh_interval_secs: 12 * 3_600,
        },
        source: {
          name: "s3://keys/www.json",
          acceptedKeyId: null,
          fetch: async () => {
            await take("fetch")
            if (fetched === bench.held) return { changed: false }
            fetched = bench.held
            return { changed: true, object: bench.held }
          },
        },
        kept: {
          load: async () => bench.stored,
          save: async (objects) => {
            bench.stored = objects
          },
        },
        region: "us-east-1",
        syncIntervalMs: 600_000,
        credentials: async () => CREDENTIALS,
        provisioning: pLimit(1),
        pin: async () => PIN,
        selfTest: async (_object, pin) => {
          expect(pin).toBe(PIN)
          await take("self-test")
        },
        publish: async () => {
          await take("publish")
          const gone = new Promise<boolean>((resolve) => bench.workers.push(resolve))
          return { formerWorkersGone: gone }
        },
        log: pino({ level: "trace" }, { write: (line: string) => (logged += line) }),
        ...change,
      }),
  }
  return bench
}

/** Refusals of a refresh that leave the enclave without the token. */
const RELEASING: ReadonlySet<string> = new Set([
  "kms-access-denied",
  "kms-explicit-deny",
  "unknown-token",
])

function fingerprints(object: KeyObject | undefined) {
  const [leaf] = object?.certificates ?? []
  if (leaf === undefined) throw new Error("no leaf")
  return {
    fingerprint: fingerprintOf(publicKeyOf(leaf)).toString("hex"),
    certificateFingerprint: fingerprintOf(leaf.raw).toString("hex"),
  }
}
