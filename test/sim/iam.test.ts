/** The simulated IAM through the real SDK client. */
import { GetRoleCommand, type IAMClient, IAMServiceException } from "@aws-sdk/client-iam"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  attachRole,
  currentRoleSession,
  type Principal,
  readAdmin,
  SESSION_TTL_SECS,
} from "../../sim/iam/principals.js"
import { ACCOUNT_ID, ROLE_ARN, ROLE_NAME } from "../../sim/paths.js"
import { type ClientOptions, simIamClient } from "../../sim/seed.js"
import { startTestSimulator, type TestSimulator } from "./simulator.js"

const WITH_PATH = `arn:aws:iam::${ACCOUNT_ID}:role/servers/web/front`

let sim: TestSimulator
beforeAll(async () => {
  sim = await startTestSimulator()
})
afterAll(() => sim.stop())

/** The role's ARN and path, or the refusal. */
async function getRole(name: string, as: Principal, options: ClientOptions = {}): Promise<string> {
  const client: IAMClient = simIamClient(sim.dir, as, { maxAttempts: 1, ...options })
  try {
    const { Role } = await client.send(new GetRoleCommand({ RoleName: name }))
    return `${Role?.Arn} at ${Role?.Path}`
  } catch (error) {
    if (!(error instanceof IAMServiceException)) throw error
    return `${error.$metadata.httpStatusCode} ${error.name}`
  } finally {
    client.destroy()
  }
}

const session = () => currentRoleSession(sim.paths, SESSION_TTL_SECS)

describe("GetRole", () => {
  it("tells a role of itself, and of no other", async () => {
    expect(await getRole(ROLE_NAME, session())).toBe(`${ROLE_ARN} at /`)
    expect(await getRole("another", session())).toBe("403 AccessDenied")
  })

  it("tells the path of a role that has one", async () => {
    attachRole(sim.paths, WITH_PATH)
    expect(session().arn).toBe(`arn:aws:sts::${ACCOUNT_ID}:assumed-role/front/i-0123456789abcdef0`)
    expect(await getRole("front", session())).toBe(`${WITH_PATH} at /servers/web/`)
    expect(await getRole(ROLE_NAME, session())).toBe("403 AccessDenied")
    attachRole(sim.paths, WITH_PATH, { Version: "2012-10-17", Statement: [] })
    expect(await getRole("front", session())).toBe("403 AccessDenied")
  })

  it("tells who may see all roles that one is missing, or that a name is none", async () => {
    const admin = readAdmin(sim.paths)
    expect(await getRole("another", admin)).toBe("404 NoSuchEntityException")
    expect(await getRole("no name!", admin)).toBe("400 ValidationError")
  })

  it("refuses signatures that are not the account's", async () => {
    const admin = readAdmin(sim.paths)
    const attempts = [
      [{ ...admin, accessKeyId: "AKIAAAAAAAAAAAAAAAAA" }, 0, "403 InvalidClientTokenId"],
      [{ ...admin, secretAccessKey: "x" }, 0, "403 SignatureDoesNotMatch"],
      [{ ...session(), sessionToken: "x" }, 0, "403 InvalidClientTokenId"],
      [admin, 6 * 60_000, "403 SignatureDoesNotMatch"],
    ] as const
    for (const [principal, systemClockOffset, refusal] of attempts) {
      expect(await getRole(ROLE_NAME, principal, { systemClockOffset })).toBe(refusal)
    }
  })
})
