/** A renewal's way through a keeper: nothing is lost at any step of it, and anything may fail. */
import { describe, expect, it, vi } from "vitest"
import type { TokenKeeper } from "../../parent/agent/token-keeper.js"
import { controlRefusal } from "../../parent/control-refusal.js"
import { AgentError } from "../../parent/errors.js"
import { type FakeEnclave, RENEWAL, SOURCE_AWAY, useKeeperBench } from "./keeper-bench.js"
import { refusalOf } from "./refusal.js"

const bench = useKeeperBench()
const { enclave, adopted, failNext, keeper, stepsSoFar } = bench
const RELOAD_FAILED = new AgentError("config-test-failed", "no")

/** A token in order, and a renewal waiting at its source. */
async function renewing(): Promise<{ host: FakeEnclave; token: TokenKeeper }> {
  const host = enclave()
  const token = keeper()
  await token.sync(host)
  stepsSoFar()
  bench.held = bench.second
  return { host, token }
}

describe("a renewal", () => {
  it("is staged, and takes effect when the server presents it", async () => {
    const { host, token } = await renewing()
    await token.sync(host)
    expect(stepsSoFar()).toEqual(RENEWAL)
    expect(host.keys()).toEqual({ current: bench.second, next: undefined, retiring: 1 })
  })

  it("destroys the former key when no server process is left that uses it", async () => {
    const { host, token } = await renewing()
    await token.sync(host)
    stepsSoFar()
    bench.workers.at(-1)?.(true)
    await vi.waitFor(() => expect(stepsSoFar()).toEqual(["retire"]))
    expect(host.keys()).toEqual({ current: bench.second, next: undefined, retiring: 0 })
  })

  it("leaves the former key its hour where that is not known", async () => {
    const { host, token } = await renewing()
    await token.sync(host)
    bench.workers.at(-1)?.(false)
    await token.sync(host)
    expect(stepsSoFar()).toEqual([...RENEWAL, "fetch"])
    expect(host.keys().retiring).toBe(1)
  })

  it("leaves the key in place that the server's files name, as long as it cannot be published", async () => {
    const { host, token } = await renewing()
    failNext("publish", RELOAD_FAILED, RELOAD_FAILED)
    for (const steps of [
      ["fetch", "stage", "self-test", "publish"],
      ["fetch", "publish"],
    ]) {
      expect((await refusalOf(token.sync(host))).code).toBe("config-test-failed")
      expect(stepsSoFar()).toEqual(steps)
      expect(host.keys()).toEqual({ current: bench.first, next: bench.second, retiring: 0 })
      expect(bench.stored).toEqual({ fetched: bench.second, published: bench.first })
    }
    await token.sync(host)
    expect(stepsSoFar()).toEqual(["fetch", "publish", "activate"])
  })

  it("takes effect later where that failed, without another reload", async () => {
    const { host, token } = await renewing()
    failNext("activate", new AgentError("control-timeout", "no answer"))
    expect((await refusalOf(token.sync(host))).code).toBe("control-timeout")
    stepsSoFar()
    await token.sync(host)
    expect(stepsSoFar()).toEqual(["fetch", "activate"])
  })

  it("back to the former certificate is a renewal like any other", async () => {
    const { host, token } = await renewing()
    await token.sync(host)
    stepsSoFar()
    bench.held = bench.first
    await token.sync(host)
    expect(stepsSoFar()).toEqual(RENEWAL)
    expect(host.keys().current).toBe(bench.first)
  })
})

describe("an enclave lost in a renewal that cannot be published", () => {
  it("comes back with the key that the server's files name, and the new one staged", async () => {
    const { host, token } = await renewing()
    failNext("publish", RELOAD_FAILED, RELOAD_FAILED)
    await refusalOf(token.sync(host))
    stepsSoFar()
    const next = enclave()
    await refusalOf(token.sync(next))
    expect(stepsSoFar()).toEqual(["provision", "stage", "self-test", "publish", "fetch"])
    expect(next.keys()).toEqual({ current: bench.first, next: bench.second, retiring: 0 })
  })

  it("comes back with the new key where KMS does not give the former one any more", async () => {
    const { host, token } = await renewing()
    failNext("publish", RELOAD_FAILED)
    await refusalOf(token.sync(host))
    stepsSoFar()
    failNext("provision", controlRefusal("kms-key-unavailable", {}))
    const next = enclave()
    await token.sync(next)
    expect(stepsSoFar()).toEqual(["provision", "provision", "self-test", "publish", "fetch"])
    expect(next.keys().current).toBe(bench.second)
  })

  it("waits for the former key where its failure may pass", async () => {
    const { host, token } = await renewing()
    failNext("publish", RELOAD_FAILED)
    await refusalOf(token.sync(host))
    stepsSoFar()
    failNext("provision", controlRefusal("kms-throttled", {}))
    expect((await refusalOf(token.sync(enclave()))).code).toBe("kms-throttled")
    expect(stepsSoFar()).toEqual(["provision", "fetch"])
  })

  it("is given what the source has by now where the former object cannot be had", async () => {
    const token = keeper()
    await token.sync(enclave())
    stepsSoFar()
    bench.held = bench.second
    failNext("provision", controlRefusal("kms-access-denied", {}))
    const next = enclave()
    await token.sync(next)
    expect(stepsSoFar()).toEqual([
      ...["provision", "fetch", "provision", "stage", "self-test", "publish", "activate"],
    ])
    expect(next.keys().current).toBe(bench.second)
  })
})

describe("the agent's restart", () => {
  it("leaves all as it is but for a look at the server", async () => {
    await keeper().sync(enclave())
    stepsSoFar()
    await keeper().sync(adopted(bench.first))
    expect(stepsSoFar()).toEqual(["fetch", "self-test", "publish"])
  })

  it("brings a lost enclave's token back while the source is away", async () => {
    await keeper().sync(enclave())
    stepsSoFar()
    failNext("fetch", SOURCE_AWAY)
    const host = enclave()
    expect((await refusalOf(keeper().sync(host))).code).toBe("s3-unreachable")
    expect(stepsSoFar()).toEqual(["provision", "self-test", "publish", "fetch"])
    expect(host.keys().current).toBe(bench.first)
  })

  it("goes on with a renewal that waits to be published", async () => {
    const { host, token } = await renewing()
    failNext("publish", RELOAD_FAILED)
    await refusalOf(token.sync(host))
    stepsSoFar()
    const lost = enclave()
    await keeper().sync(lost)
    expect(stepsSoFar()).toEqual([
      ...["provision", "stage", "self-test", "publish", "activate", "fetch"],
    ])
    expect(lost.keys()).toEqual({ current: bench.second, next: undefined, retiring: 1 })
  })
})

describe("a move to another enclave", () => {
  it("changes nothing until it is told to keep the token there", async () => {
    const host = enclave()
    const successor = enclave({ enclaveId: "i-1-enc2" })
    const token = keeper()
    await token.sync(host)
    stepsSoFar()
    await token.prepare(successor, "/run/trial", new AbortController().signal)
    expect(stepsSoFar()).toEqual(["provision", "self-test"])
    await token.sync(host)
    expect(stepsSoFar()).toEqual(["fetch"])
    await token.prepare(successor, "/run/trial", new AbortController().signal)
    stepsSoFar()
    await token.sync(successor)
    expect(stepsSoFar()).toEqual(["fetch"])
  })

  it("proves the module against the new enclave", async () => {
    const proven: (string | undefined)[] = []
    const token = keeper({
      selfTest: async (_object, _pin, endpointFile) => void proven.push(endpointFile),
    })
    await token.sync(enclave())
    await token.prepare(enclave(), "/run/trial", new AbortController().signal)
    expect(proven).toEqual([undefined, "/run/trial"])
  })

  it("fails with what the new enclave is refused", async () => {
    const token = keeper()
    await token.sync(enclave())
    failNext("provision", controlRefusal("kms-access-denied", {}))
    const { code } = await refusalOf(
      token.prepare(enclave(), "/run/trial", new AbortController().signal),
    )
    expect(code).toBe("kms-access-denied")
  })

  it("has nothing to bring where the enclave holds nothing of it", async () => {
    failNext("provision", controlRefusal("kms-access-denied", {}))
    const token = keeper()
    await refusalOf(token.sync(enclave()))
    stepsSoFar()
    await token.prepare(enclave(), "/run/trial", new AbortController().signal)
    expect(stepsSoFar()).toEqual([])
  })
})

describe("status", () => {
  it("tells how the token is", async () => {
    const host = enclave()
    const token = keeper()
    expect(token.status()).toEqual({
      label: "www",
      state: "pending",
      source: "s3://keys/www.json",
      target: "/x",
      failures: 0,
    })
    await token.sync(host)
    const { state, certificate, syncedAt, publishedAt, nextRefreshAt } = token.status()
    expect(state).toBe("serving")
    expect(certificate).toMatchObject({
      subject: bench.first.certificates[0]?.subject,
      notAfter: Date.parse(bench.first.certificates[0]?.validTo ?? ""),
    })
    expect(certificate?.names.length).toBeGreaterThan(0)
    for (const time of [syncedAt, publishedAt]) {
      expect(Math.abs((time ?? 0) - Date.now())).toBeLessThan(60_000)
    }
    expect((nextRefreshAt ?? 0) - Date.now()).toBeGreaterThan(11 * 3_600_000)
  })

  it("shows the certificate that the server has while a renewal fails", async () => {
    const stop = new AbortController()
    const { host, token } = await renewing()
    failNext("publish", ...Array.from({ length: 100 }, () => RELOAD_FAILED))
    const kept = token.keep(host, stop.signal)
    await vi.waitFor(() => expect(token.status().failures).toBeGreaterThan(0))
    const { state, certificate, error, nextRetryAt } = token.status()
    expect(state).toBe("degraded")
    expect(certificate?.serialNumber).toBe(bench.first.certificates[0]?.serialNumber)
    expect(error).toMatchObject({ code: "config-test-failed", reason: "no" })
    expect(nextRetryAt).toBeGreaterThan(Date.now() - 1_000)
    stop.abort()
    await kept
  })

  it("says that KMS has denied a token, and that it comes back", async () => {
    const stop = new AbortController()
    const token = keeper()
    const host = adopted(bench.first, 13 * 3_600_000)
    failNext("refresh", controlRefusal("kms-access-denied", {}))
    const denials = Array.from({ length: 2 }, () => controlRefusal("kms-access-denied", {}))
    failNext("stage", ...denials)
    failNext("provision", ...denials)
    const kept = token.keep(host, stop.signal)
    await vi.waitFor(() => expect(token.status().state).toBe("released"))
    expect(token.status().error?.code).toBe("kms-access-denied")
    await vi.waitFor(() => expect(token.status().state).toBe("serving"), { timeout: 10_000 })
    expect(token.status().error).toBeUndefined()
    stop.abort()
    await kept
  })
})
