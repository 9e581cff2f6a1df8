/** Key objects from the simulated S3, by the real SDK. */
import { writeFileSync } from "node:fs"
import type { AddressInfo } from "node:net"
import { createServer } from "node:net"
import { join } from "node:path"
import { S3Client } from "@aws-sdk/client-s3"
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { S3Source } from "../../parent/source/s3-source.js"
import type { Fetched } from "../../parent/source/source.js"
import { currentRoleSession, type Principal, SESSION_TTL_SECS } from "../../sim/iam/principals.js"
import { REGION } from "../../sim/paths.js"
import { seedS3Object, simS3Client } from "../../sim/seed.js"
import { startTestSimulator, type TestSimulator } from "../sim/simulator.js"
import { makeKey } from "./key-objects.js"
import { refusalOf } from "./refusal.js"

const BUCKET = "keys-of-the-test"
const KEY = "a b/www (1).json"
const URI = `s3://${BUCKET}/${KEY}`

let sim: TestSimulator
let session: Principal
let client: S3Client
let body: string
beforeAll(async () => {
  sim = await startTestSimulator()
  session = currentRoleSession(sim.paths, SESSION_TTL_SECS)
  client = simS3Client(sim.dir, session, { maxAttempts: 1 })
  body = await keyObjectJson()
})
beforeEach(() => put(body))
afterAll(async () => {
  client.destroy()
  await sim.stop()
})

async function keyObjectJson(): Promise<string> {
  const { web } = await makeKey()
  return JSON.stringify({
    certificate: web.certificate,
    certificateChain: web.chain,
    encryptedPrivateKey: "AAAA",
    encryptionMethod: "KMS",
  })
}

function put(content: string, key = KEY): Promise<string> {
  return seedS3Object({ dir: sim.dir, bucket: BUCKET, key, body: content })
}

/** Of the leaf, where there is a new object. */
function fingerprintOf(fetched: Fetched): string | undefined {
  return fetched.changed ? fetched.object.certificates[0]?.fingerprint256 : undefined
}

/** What a source is refused by a client with these credentials. */
async function refusedTo(principal: Principal, uri = URI) {
  const other = simS3Client(sim.dir, principal, { maxAttempts: 1 })
  try {
    const error = await refusalOf(new S3Source(other, uri).fetch())
    const told = `${error.message} ${error.advice}`
    expect(told).not.toContain(principal.secretAccessKey)
    if (principal.sessionToken) expect(told).not.toContain(principal.sessionToken)
    return error
  } finally {
    other.destroy()
  }
}

describe("fetch", () => {
  it("gives the object first, then nothing until it changes", async () => {
    const source = new S3Source(client, URI)
    const first = await source.fetch()
    expect(fingerprintOf(first)).toBeDefined()
    expect(await source.fetch()).toEqual({ changed: false })
    expect(await source.fetch()).toEqual({ changed: false })
    await put(await keyObjectJson())
    const second = await source.fetch()
    expect(fingerprintOf(second)).toBeDefined()
    expect(fingerprintOf(second)).not.toBe(fingerprintOf(first))
    expect(await source.fetch()).toEqual({ changed: false })
  })

  it("goes on after a failure as if it had not been", async () => {
    const source = new S3Source(client, URI)
    await source.fetch()
    await put("not JSON")
    expect((await refusalOf(source.fetch())).code).toBe("key-object-not-json")
    // It is refused again, not taken for unchanged.
    expect((await refusalOf(source.fetch())).code).toBe("key-object-not-json")
    await put(body)
    expect(await source.fetch()).toEqual({ changed: false })
  })
})

describe("what is refused", () => {
  it.each([
    ["an object that is missing", `s3://${BUCKET}/none.json`, /no such object/],
    ["a bucket that is missing", "s3://no-such-bucket/x", /no such bucket/],
  ])("%s", async (_name, uri, reason) => {
    const { code, message, advice } = await refusalOf(new S3Source(client, uri).fetch())
    expect(code).toBe("s3-object-not-found")
    expect(message).toMatch(reason)
    expect(message).toContain(uri)
    expect(advice).toBe("Check the source's uri.")
  })

  it("a role that the bucket's policy denies", async () => {
    const bucket = "denied-to-the-role"
    await seedS3Object({ dir: sim.dir, bucket, key: "k", body })
    const policy = {
      Version: "2012-10-17",
      Statement: [
        {
          Effect: "Deny",
          Principal: "*",
          Action: "s3:GetObject",
          Resource: `arn:aws:s3:::${bucket}/*`,
        },
      ],
    }
    writeFileSync(join(sim.paths.s3Dir, `${bucket}.policy.json`), JSON.stringify(policy))
    const { code, advice } = await refusedTo(session, `s3://${bucket}/k`)
    expect(code).toBe("s3-access-denied")
    expect(advice).toBe(`Allow the instance's role s3:GetObject on arn:aws:s3:::${bucket}/k.`)
  })

  it.each([
    ["an unknown access key", { accessKeyId: "AKIA0123456789ABCDEF" }, "InvalidAccessKeyId"],
    ["a wrong secret", { secretAccessKey: "wr0ng-s3cr3t" }, "SignatureDoesNotMatch"],
    ["a wrong session token", { sessionToken: "wr0ng-t0ken" }, "InvalidToken"],
  ])("%s", async (_name, change, name) => {
    const { code, message } = await refusedTo({ ...session, ...change })
    expect(code).toBe("s3-access-denied")
    expect(message).toContain(name)
  })

  it("no credentials at all", async () => {
    const none = new S3Client({
      region: REGION,
      credentials: () => {
        throw Object.assign(new Error("none"), { name: "CredentialsProviderError" })
      },
    })
    const { code, advice } = await refusalOf(new S3Source(none, URI).fetch())
    expect(code).toBe("credentials-unavailable")
    expect(advice).toContain("instance profile")
  })

  it.each([
    ["key-object-not-json", "<xml/>", "is not JSON"],
    ["key-object-malformed", "{}", "certificate, certificateChain"],
    ["key-object-malformed", " ".repeat(262_145), "256 KiB"],
  ])("%s: %.10j…", async (expected, content, reason) => {
    await put(content, "malformed.json")
    const uri = `s3://${BUCKET}/malformed.json`
    const { code, message } = await refusalOf(new S3Source(client, uri).fetch())
    expect(code).toBe(expected)
    expect(message).toContain(uri)
    expect(message).toContain(reason)
  })
})

describe("S3 out of reach", () => {
  function clientFor(endpoint: string): S3Client {
    const { accessKeyId, secretAccessKey } = session
    return new S3Client({
      region: REGION,
      endpoint,
      forcePathStyle: true,
      maxAttempts: 1,
      credentials: { accessKeyId, secretAccessKey },
      requestHandler: { connectionTimeout: 300, socketTimeout: 300 },
    })
  }

  it("nobody listens", async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as AddressInfo
    await new Promise((resolve) => server.close(resolve))
    const { code, message } = await refusalOf(
      new S3Source(clientFor(`http://127.0.0.1:${port}`), URI).fetch(),
    )
    expect(code).toBe("s3-unreachable")
    expect(message).toContain("ECONNREFUSED")
  })

  it("somebody listens and says nothing", async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const sockets = new Set<{ destroy(): void }>()
    server.on("connection", (socket) => sockets.add(socket))
    const { port } = server.address() as AddressInfo
    try {
      const source = new S3Source(clientFor(`http://127.0.0.1:${port}`), URI)
      expect((await refusalOf(source.fetch())).code).toBe("s3-unreachable")
    } finally {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    }
  })

  it("its certificate is of no authority that is trusted", async () => {
    const { code, message } = await refusalOf(
      new S3Source(clientFor(sim.info.urls.s3), URI).fetch(),
    )
    expect(code).toBe("s3-unreachable")
    expect(message).toMatch(/CERT|SIGNATURE|ISSUER/)
  })
})
