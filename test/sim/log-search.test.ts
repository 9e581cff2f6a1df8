/** The search for secrets in a testbed's logs: it finds each kind, wherever a process logged it. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { ensurePrincipals, readPrincipals } from "../../sim/iam/principals.js"
import { simPaths } from "../../sim/paths.js"
import { searchLogs } from "../../sim/testbed/log-search.js"
import { WebAuthority } from "../../sim/testbed/web-certificates.js"

const PIN = "Zx81-configured"
const MADE_PIN = "q3JmVt9aTt2vYyNnA0cXeg"
const CONTROL_SECRET = "c0ffee".repeat(11)

let dir: string
let privateKey: string
beforeAll(async () => {
  privateKey = (await (await WebAuthority.create()).issue("P-256")).privateKey
})
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "log-search-"))
  put("site/run/pins/776562.pin", MADE_PIN)
  put("site/run/control-secret", `${CONTROL_SECRET}\n`)
  put("log/agent.log", '{"msg":"web server reloaded"}\n')
  mkdirSync(join(dir, "aws"))
  ensurePrincipals(simPaths(join(dir, "aws")))
  return () => rmSync(dir, { recursive: true })
})
afterAll(() => {
  privateKey = ""
})

function put(path: string, text: string): void {
  mkdirSync(dirname(join(dir, path)), { recursive: true })
  writeFileSync(join(dir, path), text)
}

const search = () => searchLogs(dir, { privateKeys: [privateKey], pins: [PIN] })

test("logs without secrets are clean, and were read", async () => {
  const { findings, bytes } = await search()
  expect(findings).toEqual([])
  expect(bytes).toBe(readFileSync(join(dir, "log/agent.log")).length)
})

test("files that are no logs may hold what they are there for", async () => {
  put("site.yaml", PIN)
  expect((await search()).findings).toEqual([])
})

describe("is found", () => {
  const principal = (field: "secretAccessKey" | "sessionToken") => () =>
    readPrincipals(simPaths(join(dir, "aws"))).at(-1)?.[field] ?? ""
  const jwkNumber = () => {
    const lines = privateKey.split("\n")
    return lines[1] ?? ""
  }
  test.each<[string, string, () => string, string]>([
    [
      "a PIN of the run directory",
      "log/agent-web.log",
      () => MADE_PIN,
      "the content of 776562.pin",
    ],
    ["a PIN of a configuration", "site/httpd/pkcs11.log", () => PIN, "a configured PIN"],
    ["a control secret", "log/cli.log", () => CONTROL_SECRET, "the content of control-secret"],
    ["a secret access key", "aws/log/s3.log", principal("secretAccessKey"), "AWS credentials"],
    ["a session token", "aws/kms/audit.jsonl", principal("sessionToken"), "AWS credentials"],
    ["a PIN in a URI", "site/httpd/error.log", () => "?pin-value=1234", "a PIN in a URI"],
    [
      "a private key of anybody's",
      "log/agent.log",
      () => "-----BEGIN PRIVATE KEY-----",
      "a private key",
    ],
    [
      "a line of a private key that is served",
      "aws/enclaves/i-1/console.log",
      () => privateKey.split("\n")[2] ?? jwkNumber(),
      "PEM line 2",
    ],
  ])("%s", async (_name, path, secret, what) => {
    expect(secret()).not.toBe("")
    put(path, `before ${secret()} after\n`)
    const { findings } = await search()
    expect(findings).toContainEqual({ where: join(dir, path), what: expect.stringContaining(what) })
  })
})
