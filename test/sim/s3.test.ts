/** The simulated S3 through the real SDK client. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { request } from "node:https"
import { join } from "node:path"
import {
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type S3Client,
  S3ServiceException,
} from "@aws-sdk/client-s3"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  currentRoleSession,
  readAdmin,
  readPrincipals,
  SESSION_TTL_SECS,
} from "../../sim/iam/principals.js"
import { ROLE_ARN } from "../../sim/paths.js"
import { parseAddress } from "../../sim/s3/address.js"
import { writeS3Settings } from "../../sim/s3/settings.js"
import { seedS3Object, simS3Client } from "../../sim/seed.js"
import { startTestSimulator, type TestSimulator } from "./simulator.js"

const Bucket = "certs-bucket"
/** A key as ACM's are: colons and slashes. */
const Key = `${ROLE_ARN}/arn:aws:acm:us-east-1:123456789012:certificate/0a b+c~(d)é`

let sim: TestSimulator
let role: S3Client
let etag: string
beforeAll(async () => {
  sim = await startTestSimulator()
  role = simS3Client(sim.dir, currentRoleSession(sim.paths, SESSION_TTL_SECS))
  etag = await seedS3Object({ dir: sim.dir, bucket: Bucket, key: Key, body: "the object" })
})
afterAll(async () => {
  role.destroy()
  await sim.stop()
})

/** HTTP status and error code. */
async function refusalOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return "no error"
  } catch (error) {
    if (!(error instanceof S3ServiceException)) return String(error)
    return `${error.$metadata.httpStatusCode} ${error.name}`
  }
}

describe("objects", () => {
  it("returns what was put, to the role, with its ETag", async () => {
    const answer = await role.send(new GetObjectCommand({ Bucket, Key }))
    expect(await answer.Body?.transformToString()).toBe("the object")
    expect(answer.ETag).toBe(etag)
    expect(etag).toMatch(/^"[0-9a-f]{32}"$/)
    const head = await role.send(new HeadObjectCommand({ Bucket, Key }))
    expect(head).toMatchObject({ ETag: etag, ContentLength: 10 })
    expect(readFileSync(join(sim.paths.s3Dir, Bucket, Key), "utf8")).toBe("the object")
  })

  it("answers 304 to the ETag at hand, and the object once it has changed", async () => {
    const get = () => role.send(new GetObjectCommand({ Bucket, Key, IfNoneMatch: etag }))
    expect(await refusalOf(get())).toMatch(/^304 /)
    await seedS3Object({ dir: sim.dir, bucket: Bucket, key: Key, body: "another" })
    expect(await (await get()).Body?.transformToString()).toBe("another")
    await seedS3Object({ dir: sim.dir, bucket: Bucket, key: Key, body: "the object" })
  })

  it("says what is missing", async () => {
    const get = (bucket: string, key: string) =>
      refusalOf(role.send(new GetObjectCommand({ Bucket: bucket, Key: key })))
    expect(await get(Bucket, "no/such/key")).toBe("404 NoSuchKey")
    expect(await get(Bucket, `${Key}/below`)).toBe("404 NoSuchKey")
    expect(await get(Bucket, ROLE_ARN)).toBe("404 NoSuchKey")
    expect(await get("no-such-bucket", "x")).toBe("404 NoSuchBucket")
  })
})

describe("access", () => {
  it("refuses what the role's policy and the bucket's do not allow", async () => {
    const put = () => refusalOf(role.send(new PutObjectCommand({ Bucket, Key: "new", Body: "x" })))
    const get = () => refusalOf(role.send(new GetObjectCommand({ Bucket, Key })))
    const miss = () => refusalOf(role.send(new GetObjectCommand({ Bucket, Key: "missing" })))
    expect(await put()).toBe("403 AccessDenied")
    const statement = { Principal: { AWS: ROLE_ARN }, Resource: `arn:aws:s3:::${Bucket}/*` }
    const file = join(sim.paths.s3Dir, `${Bucket}.policy.json`)
    const policy = (...Statement: object[]) => writeFileSync(file, JSON.stringify({ Statement }))
    policy({ ...statement, Effect: "Allow", Action: "s3:PutObject" })
    expect(await put()).toBe("no error")
    policy({ ...statement, Effect: "Deny", Action: "s3:GetObject" })
    expect(await get()).toBe("403 AccessDenied")
    const list = { ...statement, Resource: "*", Effect: "Deny", Action: "s3:ListBucket" }
    policy(list)
    expect(await get()).toBe("no error")
    expect(await miss()).toBe("403 AccessDenied")
    rmSync(file)
    expect(await miss()).toBe("404 NoSuchKey")
  })

  it("refuses signatures that are not the account's", async () => {
    const admin = readAdmin(sim.paths)
    const session = currentRoleSession(sim.paths, SESSION_TTL_SECS)
    const attempts = [
      [{ ...admin, accessKeyId: "AKIAAAAAAAAAAAAAAAAA" }, 0, "403 InvalidAccessKeyId"],
      [{ ...admin, secretAccessKey: "x" }, 0, "403 SignatureDoesNotMatch"],
      [{ ...session, sessionToken: "x" }, 0, "400 InvalidToken"],
      [admin, 16 * 60_000, "403 RequestTimeTooSkewed"],
    ] as const
    for (const [principal, systemClockOffset, refusal] of attempts) {
      const client = simS3Client(sim.dir, principal, { maxAttempts: 1, systemClockOffset })
      expect(await refusalOf(client.send(new GetObjectCommand({ Bucket, Key })))).toBe(refusal)
      client.destroy()
    }
  })

  it("refuses a session that has ended", async () => {
    const session = currentRoleSession(sim.paths, 24 * 3600)
    const principals = readPrincipals(sim.paths)
    const expiration = new Date(Date.now() - 1000).toISOString()
    const ended = principals.map((one) =>
      one.accessKeyId === session.accessKeyId ? { ...one, expiration } : one,
    )
    writeFileSync(sim.paths.iamFile, JSON.stringify({ principals: ended }))
    const client = simS3Client(sim.dir, session)
    expect(await refusalOf(client.send(new GetObjectCommand({ Bucket, Key })))).toBe(
      "400 ExpiredToken",
    )
    client.destroy()
  })

  it("refuses a request without any signature", async () => {
    const status = await new Promise((resolve, reject) => {
      const ca = readFileSync(sim.paths.caFile)
      request(`${sim.info.urls.s3}/${Bucket}/x`, { ca, agent: false }, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
        .on("error", reject)
        .end()
    })
    expect(status).toBe(403)
  })
})

describe("settings", () => {
  it("play faults, so often as they say", async () => {
    const once = simS3Client(sim.dir, readAdmin(sim.paths), { maxAttempts: 1 })
    const get = () => refusalOf(once.send(new GetObjectCommand({ Bucket, Key })))
    writeS3Settings(sim.paths, { throttleNext: 1, unavailableNext: 1 })
    expect(await get()).toBe("503 SlowDown")
    expect(await get()).toBe("503 ServiceUnavailable")
    expect(await get()).toBe("no error")
    once.destroy()
  })
})

describe("addresses", () => {
  it("reads both styles", () => {
    const pathStyle = { bucket: "abc", key: "a:b/c d" }
    expect(parseAddress("127.0.0.1:1", "/abc/a:b/c%20d?x-id=GetObject")).toEqual(pathStyle)
    expect(parseAddress("abc.s3.us-east-1.amazonaws.com", "/a%3Ab/c%20d")).toEqual(pathStyle)
    expect(parseAddress("abc.localhost:443", "/")).toEqual({ bucket: "abc", key: undefined })
  })

  it("refuses what would leave the bucket's folder", () => {
    mkdirSync(join(sim.paths.s3Dir, "other"), { recursive: true })
    const targets = [
      "/abc/../other/x",
      "/abc/%2e%2e/other/x",
      "/abc/a/%2e%2e%2fx",
      "/abc/a//b",
      "/abc/a%00b",
      "/abc/./x",
      "/abc/%zz",
      `/abc/${"x".repeat(256)}`,
    ]
    for (const target of targets) {
      expect(() => parseAddress("localhost", target), target).toThrow(
        expect.objectContaining({ code: "InvalidURI" }),
      )
    }
    for (const bucket of ["..", "%2e%2e", ".tmp", "A_b", "a..b"]) {
      expect(() => parseAddress("localhost", `/${bucket}/x`), bucket).toThrow(
        expect.objectContaining({ code: "InvalidBucketName" }),
      )
    }
  })
})
