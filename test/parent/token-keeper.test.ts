/** What a keeper does for its token, and in which order, as its source, enclave and server fail. */
import { pino } from "pino"
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { type KeeperDeps, TokenKeeper } from "../../parent/agent/token-keeper.js"
import type { TokenConfig } from "../../parent/config/config.js"
import { controlRefusal } from "../../parent/control-refusal.js"
import type { ControlClient } from "../../parent/enclave-host/control-client.js"
import type { OwnedEnclave } from "../../parent/enclave-host/enclave-host.js"
import { AgentError } from "../../parent/errors.js"
import type { KeyObject } from "../../parent/source/key-object.js"
import { fingerprintOf, publicKeyOf } from "../../shared/public-key.js"
import { enclaveDescription, PCR0, tokenDescription } from "./control-server.js"
import { makeKey } from "./key-objects.js"
import { refusalOf } from "./refusal.js"

// Fake timers leave this module alone: here it stands on the timers that they do replace.
vi.mock("node:timers/promises", () => ({
  setTimeout: (ms: number, value: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        signal.removeEventListener("abort", onAbort)
        resolve(value)
      }, ms)
      const onAbort = () => {
        clearTimeout(timer)
        reject(signal.reason)
      }
      if (signal.aborted) onAbort()
      else signal.addEventListener("abort", onAbort, { once: true })
    }),
}))

const HOUR_MS = 3_600_000
const PIN = "pin-that-nobody-logs"
const CREDENTIALS = {
  accessKeyId: "ASIA0123456789ABCDEF",
  secretAccessKey: "secret-that-nobody-logs",
  sessionToken: "session-that-nobody-logs",
}

let first: KeyObject
let second: KeyObject
beforeAll(async () => {
  first = (await makeKey()).object
  second = (await makeKey()).object
})

/** The steps taken, in order, and what each fails with next. */
let steps: string[]
let failures: Map<string, unknown[]>
let held: KeyObject
let fetched: KeyObject | undefined
let logged: string
beforeEach(() => {
  steps = []
  failures = new Map()
  held = first
  fetched = undefined
  logged = ""
})
afterEach(() => {
  vi.useRealTimers()
  for (const secret of [PIN, CREDENTIALS.secretAccessKey, CREDENTIALS.sessionToken, "BEGIN"]) {
    expect(logged).not.toContain(secret)
  }
})

function failNext(step: string, ...errors: unknown[]): void {
  failures.set(step, [...(failures.get(step) ?? []), ...errors])
}

async function take(step: string): Promise<void> {
  steps.push(step)
  const error = failures.get(step)?.shift()
  if (error !== undefined) throw error
}

/** The steps since the last call. */
function stepsSoFar(): string[] {
  return steps.splice(0)
}

const SOURCE_AWAY = new AgentError("s3-unreachable", "S3 could not be reached")

function enclave(
  change: Partial<OwnedEnclave> = {},
): OwnedEnclave & { provision: ReturnType<typeof vi.fn> } {
  const provision = vi.fn(async (_request: unknown) => {
    await take("provision")
    return tokenDescription()
  })
  const refresh = async (label: string, credentials: unknown) => {
    expect([label, credentials]).toEqual(["www", CREDENTIALS])
    await take("refresh")
    return tokenDescription()
  }
  return {
    enclaveId: "i-1-enc1",
    client: { provision, refresh } as unknown as ControlClient,
    description: enclaveDescription(),
    signing: { kind: "vsock", cid: 16, port: 9_999 },
    adopted: false,
    provision,
    ...change,
  }
}

/** An enclave found running, with a token of this key in it. */
function adopted(object: KeyObject, attestedMsAgo = 0, clockOffsetMs = 0): OwnedEnclave {
  const [leaf] = object.certificates
  if (leaf === undefined) throw new Error("no leaf")
  const now = Date.now() + clockOffsetMs
  const token = tokenDescription({
    fingerprint: fingerprintOf(publicKeyOf(leaf)).toString("hex"),
    certificateFingerprint: fingerprintOf(leaf.raw).toString("hex"),
    attestedAt: now - attestedMsAgo,
  })
  return enclave({ adopted: true, description: enclaveDescription({ now, tokens: [token] }) })
}

function keeper(change: Partial<KeeperDeps> = {}): TokenKeeper {
  return new TokenKeeper({
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
        if (fetched === held) return { changed: false }
        fetched = held
        return { changed: true, object: held }
      },
    },
    region: "us-east-1",
    syncIntervalMs: 600_000,
    credentials: async () => CREDENTIALS,
    pin: async () => PIN,
    selfTest: async (_object, pin) => {
      expect(pin).toBe(PIN)
      await take("self-test")
    },
    publish: async () => take("publish"),
    log: pino({ level: "trace" }, { write: (line: string) => (logged += line) }),
    ...change,
  })
}

const ALL = ["fetch", "provision", "self-test", "publish"]

describe("a round", () => {
  it("brings a new token in: provisioned, proven, published", async () => {
    const host = enclave()
    await keeper().sync(host)
    expect(stepsSoFar()).toEqual(ALL)
    expect(host.provision).toHaveBeenCalledExactlyOnceWith({
      label: "www",
      pin: PIN,
      certificates: first.certificates.map(({ raw }) => raw),
      encryptedPrivateKey: first.encryptedPrivateKey,
      keyId: first.keyId,
      region: "us-east-1",
      credentials: CREDENTIALS,
      encryptionContext: first.encryptionContext,
    })
  })

  it("does nothing where nothing changed", async () => {
    const host = enclave()
    const token = keeper()
    await token.sync(host)
    stepsSoFar()
    await token.sync(host)
    expect(stepsSoFar()).toEqual(["fetch"])
  })

  it("does it all again for a changed object", async () => {
    const host = enclave()
    const token = keeper()
    await token.sync(host)
    stepsSoFar()
    held = second
    await token.sync(host)
    expect(stepsSoFar()).toEqual(ALL)
    expect(host.provision.mock.lastCall?.[0]).toMatchObject({
      encryptedPrivateKey: second.encryptedPrivateKey,
    })
  })

  it("names the configured KMS key rather than the object's", async () => {
    const host = enclave()
    const kms_key_id = "arn:aws:kms:us-east-1:123456789012:key/configured"
    const config: TokenConfig = {
      label: "www",
      source: { kind: "S3", uri: "s3://keys/www.json", kms_key_id },
      target: { kind: "Snippet", path: "/x", user: "root", group: "root" },
      refresh_interval_secs: 60,
    }
    await keeper({ config }).sync(host)
    expect(host.provision.mock.lastCall?.[0]).toMatchObject({ keyId: kms_key_id })
  })

  it("publishes nothing that failed the self-test, and goes on from there", async () => {
    const host = enclave()
    const token = keeper()
    failNext("self-test", new AgentError("self-test-failed", "no"))
    expect((await refusalOf(token.sync(host))).code).toBe("self-test-failed")
    expect(stepsSoFar()).toEqual(["fetch", "provision", "self-test"])
    await token.sync(host)
    expect(stepsSoFar().slice(-2)).toEqual(["self-test", "publish"])
  })

  it("publishes again, without provisioning again, what could not be published", async () => {
    const host = enclave()
    const token = keeper()
    failNext("publish", new AgentError("reload-failed", "no"))
    expect((await refusalOf(token.sync(host))).code).toBe("reload-failed")
    stepsSoFar()
    await token.sync(host)
    expect(stepsSoFar()).toEqual(["fetch", "publish"])
    await token.sync(host)
    expect(stepsSoFar()).toEqual(["fetch"])
  })

  it("does not reload the server for a new enclave with the same key", async () => {
    const token = keeper()
    await token.sync(enclave())
    stepsSoFar()
    await token.sync(enclave())
    expect(stepsSoFar()).toEqual(["fetch", "provision", "self-test"])
  })
})

describe("while the source is away", () => {
  it("a new enclave is given the object fetched before", async () => {
    const token = keeper()
    await token.sync(enclave())
    stepsSoFar()
    const next = enclave()
    failNext("fetch", SOURCE_AWAY)
    await token.sync(next)
    expect(stepsSoFar()).toEqual(["fetch", "provision", "self-test"])
    expect(next.provision.mock.lastCall?.[0]).toMatchObject({
      encryptedPrivateKey: first.encryptedPrivateKey,
    })
    expect(logged).toContain("using the object fetched before")
  })

  it("a token never seen cannot be provisioned", async () => {
    failNext("fetch", SOURCE_AWAY)
    expect((await refusalOf(keeper().sync(enclave()))).code).toBe("s3-unreachable")
    expect(stepsSoFar()).toEqual(["fetch"])
  })

  it("a token in order is left alone, and the failure is told", async () => {
    const host = enclave()
    const token = keeper()
    await token.sync(host)
    stepsSoFar()
    failNext("fetch", SOURCE_AWAY)
    expect((await refusalOf(token.sync(host))).code).toBe("s3-unreachable")
    expect(stepsSoFar()).toEqual(["fetch"])
  })

  it("what was begun is brought to its end", async () => {
    const host = enclave()
    const token = keeper()
    failNext("publish", new AgentError("reload-failed", "no"))
    await refusalOf(token.sync(host))
    stepsSoFar()
    failNext("fetch", SOURCE_AWAY)
    await token.sync(host)
    expect(stepsSoFar()).toEqual(["fetch", "publish"])
  })
})

describe("an adopted enclave", () => {
  it("is not asked for a key that it serves", async () => {
    await keeper().sync(adopted(first))
    expect(stepsSoFar()).toEqual(["fetch", "self-test", "publish"])
  })

  it("is given another key", async () => {
    await keeper().sync(adopted(second))
    expect(stepsSoFar()).toEqual(ALL)
  })

  it("is given the key anew where the module cannot use what is there", async () => {
    const host = adopted(first)
    const token = keeper()
    failNext("self-test", new AgentError("self-test-failed", "CKR_PIN_INCORRECT"))
    expect((await refusalOf(token.sync(host))).code).toBe("self-test-failed")
    expect(stepsSoFar()).toEqual(["fetch", "self-test"])
    await token.sync(host)
    expect(stepsSoFar()).toEqual(ALL)
  })

  it("is given an earlier key again, whatever it served when it was adopted", async () => {
    const host = adopted(first)
    const token = keeper()
    await token.sync(host)
    held = second
    await token.sync(host)
    held = first
    stepsSoFar()
    await token.sync(host)
    expect(stepsSoFar()).toEqual(ALL)
  })
})

describe("refusals of KMS", () => {
  it("name PCR0 of the image that was refused", async () => {
    failNext("provision", controlRefusal("kms-access-denied", {}))
    const { code, message, advice } = await refusalOf(keeper().sync(enclave()))
    expect(code).toBe("kms-access-denied")
    expect(message).toMatch(new RegExp(`; PCR0 is ${PCR0}$`))
    expect(advice).toContain("ImageSha384")
  })

  it("say so where it is a debug-mode enclave", async () => {
    failNext("provision", controlRefusal("kms-access-denied", {}))
    const zero = "0".repeat(96)
    const description = enclaveDescription({ debug: true, pcrs: { "0": zero } })
    const { message } = await refusalOf(keeper().sync(enclave({ description })))
    expect(message).toMatch(new RegExp(`; PCR0 is ${zero}, a debug-mode enclave$`))
  })

  it("of other kinds do not", async () => {
    failNext("provision", controlRefusal("kms-throttled", {}))
    expect((await refusalOf(keeper().sync(enclave()))).message).not.toContain("PCR0")
  })
})

describe("keep", () => {
  let stop: AbortController
  let kept: Promise<void> | undefined
  beforeEach(() => {
    vi.useFakeTimers({ now: Date.UTC(2026, 2, 1) })
    stop = new AbortController()
  })
  afterEach(async () => {
    stop.abort()
    await kept
    kept = undefined
  })

  /** Starts to keep, through the first round. */
  async function keep(token: TokenKeeper, host: OwnedEnclave): Promise<void> {
    kept = token.keep(host, stop.signal)
    await vi.advanceTimersByTimeAsync(0)
  }

  it("looks at the source at each interval", async () => {
    await keep(keeper(), enclave())
    expect(stepsSoFar()).toEqual(ALL)
    await vi.advanceTimersByTimeAsync(599_999)
    expect(stepsSoFar()).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(stepsSoFar()).toEqual(["fetch"])
  })

  it("has the token attested again when it is due, and once", async () => {
    await keep(keeper(), enclave())
    await vi.advanceTimersByTimeAsync(12 * HOUR_MS - 1)
    expect(stepsSoFar()).not.toContain("refresh")
    await vi.advanceTimersByTimeAsync(1)
    expect(stepsSoFar()).toEqual(["fetch", "refresh"])
    await vi.advanceTimersByTimeAsync(12 * HOUR_MS - 1)
    expect(stepsSoFar()).not.toContain("refresh")
    await vi.advanceTimersByTimeAsync(1)
    expect(stepsSoFar()).toContain("refresh")
  })

  it("counts from the attestation of an adopted token, by the enclave's own clock", async () => {
    await keep(keeper(), adopted(first, 11 * HOUR_MS, -5 * HOUR_MS))
    expect(stepsSoFar()).toEqual(["fetch", "self-test", "publish"])
    await vi.advanceTimersByTimeAsync(HOUR_MS - 1)
    expect(stepsSoFar()).not.toContain("refresh")
    await vi.advanceTimersByTimeAsync(1)
    expect(stepsSoFar()).toContain("refresh")
  })

  it("has it attested again while its source is away", async () => {
    await keep(keeper(), enclave())
    stepsSoFar()
    failNext("fetch", ...Array.from({ length: 3_000 }, () => SOURCE_AWAY))
    await vi.advanceTimersByTimeAsync(36 * HOUR_MS)
    const refreshes = stepsSoFar().filter((step) => step === "refresh")
    expect(refreshes.length).toBeGreaterThanOrEqual(2)
    expect(refreshes.length).toBeLessThanOrEqual(3)
  })

  it("does not look more often for want of the source while a token is refused", async () => {
    failNext("fetch", ...Array.from({ length: 100 }, () => SOURCE_AWAY))
    await keep(keeper(), enclave())
    await vi.advanceTimersByTimeAsync(60_000)
    expect(stepsSoFar().every((step) => step === "fetch")).toBe(true)
  })

  it.each(["kms-access-denied", "kms-explicit-deny", "unknown-token"] as const)(
    "provisions anew after %s on refresh, which released the token",
    async (code) => {
      failNext("refresh", controlRefusal(code, {}))
      await keep(keeper(), adopted(first))
      await vi.advanceTimersByTimeAsync(12 * HOUR_MS - 1)
      stepsSoFar()
      await vi.advanceTimersByTimeAsync(1)
      expect(stepsSoFar()).toEqual(["fetch", "refresh"])
      await vi.advanceTimersByTimeAsync(500)
      expect(stepsSoFar()).toEqual(["fetch", "provision", "self-test"])
      expect(logged).toContain(`"code":"${code}"`)
    },
  )

  it.each(["kms-throttled", "kms-unreachable", "busy"] as const)(
    "only tries again after %s on refresh",
    async (code) => {
      failNext("refresh", controlRefusal(code, {}))
      await keep(keeper(), enclave())
      await vi.advanceTimersByTimeAsync(12 * HOUR_MS)
      stepsSoFar()
      await vi.advanceTimersByTimeAsync(500)
      expect(stepsSoFar()).toEqual(["fetch", "refresh"])
      await vi.advanceTimersByTimeAsync(60_000)
      expect(stepsSoFar()).toEqual([])
    },
  )

  it("waits twice as long after each failure, a minute at most, and starts over after success", async () => {
    const denied = Array.from({ length: 10 }, () => controlRefusal("kms-access-denied", {}))
    failNext("provision", ...denied)
    await keep(keeper(), enclave())
    expect(stepsSoFar()).toEqual(["fetch", "provision"])
    for (const seconds of [0.5, 1, 2, 4, 8, 16, 32, 60, 60]) {
      await vi.advanceTimersByTimeAsync(seconds * 1_000 - 1)
      expect(stepsSoFar(), `${seconds} s`).toEqual([])
      await vi.advanceTimersByTimeAsync(1)
      expect(stepsSoFar(), `${seconds} s`).toEqual(["fetch", "provision"])
    }
    await vi.advanceTimersByTimeAsync(60_000)
    expect(stepsSoFar()).toEqual(ALL)
    failNext("fetch", SOURCE_AWAY)
    await vi.advanceTimersByTimeAsync(600_000)
    expect(stepsSoFar()).toEqual(["fetch"])
    await vi.advanceTimersByTimeAsync(500)
    expect(stepsSoFar()).toEqual(["fetch"])
    await vi.advanceTimersByTimeAsync(500)
    expect(stepsSoFar()).toEqual([])
  })

  it("logs each failure once, with its code and when it tries again", async () => {
    failNext("provision", controlRefusal("kms-throttled", {}))
    await keep(keeper(), enclave())
    const errors = logged.split("\n").filter((line) => line.includes('"level":50'))
    expect(errors).toHaveLength(1)
    expect(JSON.parse(errors[0] ?? "")).toMatchObject({ code: "kms-throttled", retryInMs: 500 })
  })

  it("ends at once when it is told to", async () => {
    await keep(keeper(), enclave())
    stop.abort()
    await expect(kept).resolves.toBeUndefined()
    expect(vi.getTimerCount()).toBe(0)
    stepsSoFar()
    await vi.advanceTimersByTimeAsync(HOUR_MS)
    expect(stepsSoFar()).toEqual([])
  })

  it("says nothing of a failure that its end brought about", async () => {
    const host = enclave()
    host.provision.mockImplementation(async () => {
      stop.abort()
      throw new AgentError("enclave-unreachable", "closed")
    })
    await keep(keeper(), host)
    await kept
    expect(logged).toBe("")
  })

  it("does nothing when told so before", async () => {
    stop.abort()
    await keep(keeper(), enclave())
    await kept
    expect(stepsSoFar()).toEqual([])
  })
})
