/** What a keeper does for its token, and in which order, as its source, enclave and server fail. */
import { describe, expect, it } from "vitest"
import { controlRefusal } from "../../parent/control-refusal.js"
import { AgentError } from "../../parent/errors.js"
import { enclaveDescription, PCR0 } from "./control-server.js"
import { CREDENTIALS, NEW, PIN, RENEWAL, SOURCE_AWAY, useKeeperBench } from "./keeper-bench.js"
import { refusalOf } from "./refusal.js"

const bench = useKeeperBench()
const { adopted, enclave, failNext, keeper, stepsSoFar } = bench

describe("a round", () => {
  it("brings a new token in: provisioned, proven, published", async () => {
    const host = enclave()
    await keeper().sync(host)
    expect(stepsSoFar()).toEqual(NEW)
    expect(host.provision).toHaveBeenCalledExactlyOnceWith({
      label: "www",
      pin: PIN,
      certificates: bench.first.certificates.map(({ raw }) => raw),
      encryptedPrivateKey: bench.first.encryptedPrivateKey,
      keyId: bench.first.keyId,
      region: "us-east-1",
      credentials: CREDENTIALS,
      encryptionContext: bench.first.encryptionContext,
      stage: true,
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
    bench.held = bench.second
    await token.sync(host)
    expect(stepsSoFar()).toEqual(RENEWAL)
    expect(host.provision.mock.lastCall?.[0]).toMatchObject({
      encryptedPrivateKey: bench.second.encryptedPrivateKey,
    })
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
    expect(stepsSoFar()).toEqual(["provision", "self-test", "fetch"])
  })
})

describe("while the source is away", () => {
  it("a new enclave is given the object fetched before", async () => {
    const token = keeper()
    await token.sync(enclave())
    stepsSoFar()
    const next = enclave()
    failNext("fetch", SOURCE_AWAY)
    expect((await refusalOf(token.sync(next))).code).toBe("s3-unreachable")
    expect(stepsSoFar()).toEqual(["provision", "self-test", "fetch"])
    expect(next.provision.mock.lastCall?.[0]).toMatchObject({
      encryptedPrivateKey: bench.first.encryptedPrivateKey,
    })
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
    expect((await refusalOf(token.sync(host))).code).toBe("s3-unreachable")
    expect(stepsSoFar()).toEqual(["fetch", "publish"])
  })
})

describe("an adopted enclave", () => {
  it("is not asked for a key that it serves", async () => {
    await keeper().sync(adopted(bench.first))
    expect(stepsSoFar()).toEqual(["fetch", "self-test", "publish"])
  })

  it("is given another key", async () => {
    await keeper().sync(adopted(bench.second))
    expect(stepsSoFar()).toEqual(RENEWAL)
  })

  it("is given the key anew where the module cannot use what is there", async () => {
    const host = adopted(bench.first)
    const token = keeper()
    failNext("self-test", new AgentError("self-test-failed", "CKR_PIN_INCORRECT"))
    await token.sync(host)
    expect(stepsSoFar()).toEqual(["fetch", "self-test", "stage", "self-test", "publish"])
    expect(host.keys()).toEqual({ current: bench.first, next: undefined, retiring: 0 })
  })

  it("is given an earlier key again, whatever it served when it was adopted", async () => {
    const host = adopted(bench.first)
    const token = keeper()
    await token.sync(host)
    bench.held = bench.second
    await token.sync(host)
    bench.held = bench.first
    stepsSoFar()
    await token.sync(host)
    expect(stepsSoFar()).toEqual(RENEWAL)
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
