/** Instance metadata as the agent reads it, and how soon it gives up. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { Imds } from "../../parent/aws/imds.js"
import { writeImdsSettings } from "../../sim/imds/settings.js"
import { INSTANCE_ID, ROLE_NAME } from "../../sim/paths.js"
import { startTestSimulator, type TestSimulator } from "../sim/simulator.js"
import { refusalOf } from "./refusal.js"
import { closedAddress, openSilentServer } from "./silent-server.js"
import { clearAwsEnvironment } from "./sim-environment.js"

let sim: TestSimulator
beforeAll(async () => {
  sim = await startTestSimulator()
})
afterAll(() => sim.stop())
beforeEach(() => {
  clearAwsEnvironment()
  vi.stubEnv("AWS_EC2_METADATA_SERVICE_ENDPOINT", sim.info.urls.imds)
  writeImdsSettings(sim.paths, {})
})
afterEach(() => vi.unstubAllEnvs())

describe("a document", () => {
  it("is read with a session token of its own", async () => {
    const imds = new Imds()
    expect(await imds.read("instance-id")).toBe(INSTANCE_ID)
    expect(await imds.read("iam/security-credentials")).toBe(ROLE_NAME)
  })

  it("that the instance has not is undefined", async () => {
    writeImdsSettings(sim.paths, { instanceTags: false })
    expect(await new Imds().read("tags/instance/InstanceRoleArn")).toBeUndefined()
  })

  it("is read again after tokens were refused", async () => {
    const imds = new Imds()
    writeImdsSettings(sim.paths, { tokenStatus: 403 })
    expect((await refusalOf(imds.read("instance-id"))).code).toBe("imds-unreachable")
    writeImdsSettings(sim.paths, {})
    expect(await imds.read("instance-id")).toBe(INSTANCE_ID)
  })
})

describe("no answer", () => {
  it.each([
    ["tokens are refused", { tokenStatus: 403 }, "HTTP status 403 to the request for a token"],
    ["documents are refused", { status: 503 }, "HTTP status 503"],
  ])("%s", async (_name, settings, reason) => {
    writeImdsSettings(sim.paths, settings)
    const { code, message, advice } = await refusalOf(new Imds().read("instance-id"))
    expect(code).toBe("imds-unreachable")
    expect(message).toContain(reason)
    expect(advice).toContain("IMDSv2")
  })

  it("nobody listens", async () => {
    vi.stubEnv("AWS_EC2_METADATA_SERVICE_ENDPOINT", await closedAddress())
    const { code, message } = await refusalOf(new Imds().read("instance-id"))
    expect(code).toBe("imds-unreachable")
    expect(message).toContain("ECONNREFUSED")
  })

  it("somebody listens and says nothing", async () => {
    const silent = await openSilentServer()
    vi.stubEnv("AWS_EC2_METADATA_SERVICE_ENDPOINT", silent.url)
    const { code, message } = await refusalOf(new Imds().read("instance-id"))
    await silent.close()
    expect(code).toBe("imds-unreachable")
    expect(message).toContain("timed out")
  })

  it("it is switched off", async () => {
    vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true")
    const { code, message } = await refusalOf(new Imds().read("instance-id"))
    expect(code).toBe("imds-unreachable")
    expect(message).toContain("AWS_EC2_METADATA_DISABLED")
  })
})
