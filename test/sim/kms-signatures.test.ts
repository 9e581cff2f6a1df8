/** The simulated KMS takes a request from nobody but whom the account knows. */
import { writeFileSync } from "node:fs"
import { DescribeKeyCommand, KMSServiceException } from "@aws-sdk/client-kms"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  currentRoleSession,
  type Principal,
  readAdmin,
  readPrincipals,
} from "../../sim/iam/principals.js"
import { seedKmsKey, simKmsClient } from "../../sim/seed.js"
import { startTestSimulator, type TestSimulator } from "./simulator.js"

const ALLOW_ALL = JSON.stringify({
  Statement: { Effect: "Allow", Principal: "*", Action: "kms:*", Resource: "*" },
})
const MINUTE_MS = 60_000

let sim: TestSimulator
let keyArn: string
beforeAll(async () => {
  sim = await startTestSimulator()
  keyArn = await seedKmsKey({ dir: sim.dir, policy: ALLOW_ALL })
})
afterAll(() => sim.stop())

/** The exception's name, by which a program tells refusals apart. */
async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return "no error"
  } catch (error) {
    return error instanceof KMSServiceException ? error.name : String(error)
  }
}

describe("signatures", () => {
  async function refusalOf(principal: Principal, skewMs = 0): Promise<string> {
    const options = { maxAttempts: 1, systemClockOffset: skewMs }
    const stranger = simKmsClient(sim.dir, principal, options)
    const code = await codeOf(stranger.send(new DescribeKeyCommand({ KeyId: keyArn })))
    stranger.destroy()
    return code
  }

  it("refuses credentials that are not the account's", async () => {
    const admin = readAdmin(sim.paths)
    const role = currentRoleSession(sim.paths, 3600)
    const { sessionToken: _, ...withoutToken } = role
    const unknown = { ...admin, accessKeyId: "AKIAAAAAAAAAAAAAAAAA" }
    expect(await refusalOf(admin)).toBe("no error")
    expect(await refusalOf(role)).toBe("no error")
    expect(await refusalOf(unknown)).toBe("UnrecognizedClientException")
    expect(await refusalOf({ ...admin, secretAccessKey: "x" })).toBe("InvalidSignatureException")
    expect(await refusalOf(withoutToken)).toBe("UnrecognizedClientException")
    expect(await refusalOf({ ...role, sessionToken: "x" })).toBe("UnrecognizedClientException")
    expect(await refusalOf(admin, 6 * MINUTE_MS)).toBe("InvalidSignatureException")
    expect(await refusalOf(admin, -6 * MINUTE_MS)).toBe("InvalidSignatureException")
  })

  it("refuses a session that has ended", async () => {
    const session = currentRoleSession(sim.paths, 13 * 3600)
    expect(await refusalOf(session)).toBe("no error")
    const principals = readPrincipals(sim.paths).map((one) =>
      one.accessKeyId === session.accessKeyId
        ? { ...one, expiration: new Date(Date.now() - 1000).toISOString() }
        : one,
    )
    writeFileSync(sim.paths.iamFile, JSON.stringify({ principals }))
    expect(await refusalOf(session)).toBe("ExpiredTokenException")
  })

  it("refuses a body that is not the one signed", async () => {
    const relayed = simKmsClient(sim.dir)
    relayed.middlewareStack.add(
      (next) => (args) => {
        const request = args.request as { body: Uint8Array }
        request.body = Buffer.from(Buffer.from(request.body).toString().replace("key/", "kez/"))
        return next(args)
      },
      { step: "finalizeRequest", priority: "low", name: "tamper" },
    )
    expect(await codeOf(relayed.send(new DescribeKeyCommand({ KeyId: keyArn })))).toBe(
      "InvalidSignatureException",
    )
    relayed.destroy()
  })

  it("refuses a request without any signature", async () => {
    const unsigned = simKmsClient(sim.dir)
    unsigned.middlewareStack.add(
      (next) => (args) => {
        const request = args.request as { headers: Record<string, string> }
        delete request.headers.authorization
        return next(args)
      },
      { step: "finalizeRequest", priority: "low", name: "strip" },
    )
    expect(await codeOf(unsigned.send(new DescribeKeyCommand({ KeyId: keyArn })))).toBe(
      "MissingAuthenticationTokenException",
    )
    unsigned.destroy()
  })
})
