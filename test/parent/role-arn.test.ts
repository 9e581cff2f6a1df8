/** The role of the instance, found in each of the ways there are, and kept. */
import { pino } from "pino"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { type Aws, createAws } from "../../parent/aws.js"
import { attachRole } from "../../sim/iam/principals.js"
import { writeImdsSettings } from "../../sim/imds/settings.js"
import { ACCOUNT_ID } from "../../sim/paths.js"
import { startTestSimulator, type TestSimulator } from "../sim/simulator.js"
import { refusalOf } from "./refusal.js"
import { closedAddress } from "./silent-server.js"
import { type Doors, openDoors, stubInstance } from "./sim-environment.js"

const WITH_PATH = `arn:aws:iam::${ACCOUNT_ID}:role/servers/web/front`
const GUESS = `arn:aws:iam::${ACCOUNT_ID}:role/front`
const MAY_NOTHING = { Version: "2012-10-17" as const, Statement: [] }
const LATER_MS = 11 * 60_000

let sim: TestSimulator
let doors: Doors
let warnings: { reason: string; advice?: string }[]
beforeAll(async () => {
  sim = await startTestSimulator()
  doors = await openDoors(sim)
})
afterAll(async () => {
  await doors.close()
  await sim.stop()
})
beforeEach(() => {
  stubInstance(sim, doors)
  writeImdsSettings(sim.paths, {})
  attachRole(sim.paths, WITH_PATH)
  warnings = []
})
afterEach(() => {
  vi.unstubAllEnvs()
  vi.useRealTimers()
})

function aws(roleArn?: string): Promise<Aws> {
  const log = pino({}, { write: (line: string) => void warnings.push(JSON.parse(line)) })
  return createAws({ region: "us-east-1", ...(roleArn && { role_arn: roleArn }) }, log)
}

/** The clock moves on, for agent and simulator alike. */
function passTime(): void {
  const now = Date.now()
  vi.useFakeTimers({ toFake: ["Date"], now: now + LATER_MS })
}

describe("the role's ARN", () => {
  it("is the configured one before any other, and nobody is asked", async () => {
    writeImdsSettings(sim.paths, { tokenStatus: 403 })
    expect(await (await aws("arn:aws:iam::1:role/configured")).roleArn()).toBe(
      "arn:aws:iam::1:role/configured",
    )
  })

  it("is that of the instance's tag", async () => {
    vi.stubEnv("AWS_ENDPOINT_URL_IAM", await closedAddress())
    expect(await (await aws()).roleArn()).toBe(WITH_PATH)
    expect(warnings).toEqual([])
  })

  it("is IAM's where tags are not shown, path and all", async () => {
    writeImdsSettings(sim.paths, { instanceTags: false })
    expect(await (await aws()).roleArn()).toBe(WITH_PATH)
    expect(warnings).toEqual([])
  })

  it("is guessed where IAM refuses, with one warning that says how to do better", async () => {
    writeImdsSettings(sim.paths, { instanceTags: false })
    attachRole(sim.paths, WITH_PATH, MAY_NOTHING)
    const it = await aws()
    expect(await it.roleArn()).toBe(GUESS)
    passTime()
    expect(await it.roleArn()).toBe(GUESS)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]?.reason).toContain(`${GUESS}, which is wrong for a role with a path`)
    expect(warnings[0]?.reason).toContain("AccessDenied")
    const statement = /\{.*\}/.exec(warnings[0]?.advice ?? "")?.[0] ?? ""
    expect(JSON.parse(statement)).toEqual({
      Effect: "Allow",
      Action: "iam:GetRole",
      Resource: GUESS,
    })
  })

  it("is guessed where IAM cannot be reached", async () => {
    writeImdsSettings(sim.paths, { instanceTags: false })
    vi.stubEnv("AWS_ENDPOINT_URL_IAM", await closedAddress())
    expect(await (await aws()).roleArn()).toBe(GUESS)
  })

  it("is not known where IMDS gives no answer", async () => {
    writeImdsSettings(sim.paths, { tokenStatus: 403 })
    const { code, message, advice } = await refusalOf((await aws()).roleArn())
    expect(code).toBe("role-unknown")
    expect(message).toContain("HTTP status 403")
    expect(advice).toContain("aws.role_arn")
  })
})

describe("what was found", () => {
  it("is kept while IMDS is away, and found anew once it is back", async () => {
    const it = await aws()
    expect(await it.roleArn()).toBe(WITH_PATH)
    writeImdsSettings(sim.paths, { status: 503 })
    passTime()
    expect(await it.roleArn()).toBe(WITH_PATH)
    writeImdsSettings(sim.paths, {})
    const other = `arn:aws:iam::${ACCOUNT_ID}:role/other`
    attachRole(sim.paths, other)
    expect(await it.roleArn()).toBe(WITH_PATH)
    passTime()
    expect(await it.roleArn()).toBe(other)
  })

  it("by IAM is not replaced by a guess", async () => {
    writeImdsSettings(sim.paths, { instanceTags: false })
    const it = await aws()
    expect(await it.roleArn()).toBe(WITH_PATH)
    attachRole(sim.paths, WITH_PATH, MAY_NOTHING)
    passTime()
    expect(await it.roleArn()).toBe(WITH_PATH)
  })

  it("is still found for those who stay when one of them leaves", async () => {
    writeImdsSettings(sim.paths, { delayMs: 100 })
    const it = await aws()
    const gone = AbortSignal.abort(new Error("gone"))
    const [left, stayed] = await Promise.allSettled([it.roleArn(gone), it.roleArn()])
    expect(left).toMatchObject({ status: "rejected", reason: { message: "gone" } })
    expect(stayed).toEqual({ status: "fulfilled", value: WITH_PATH })
  })
})
