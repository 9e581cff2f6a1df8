/** `make demo` as a user runs it, with and without KEEP=1; `npx tlskeep` from the checkout. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { execa } from "execa"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { VERSION } from "../../shared/version.js"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import { freePort } from "../../sim/testbed/free-port.js"

const DEMO = join(CHECKOUT.root, "dist/sim/demo.js")

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "tlskeep-demo-test-"))
})
afterAll(() => rmSync(dir, { recursive: true }))

/** A port and an environment file of its own, so that a demo of the user's is left alone. */
async function demoEnv(): Promise<Record<string, string>> {
  return {
    TLSKEEP_DEMO_PORT: String(await freePort()),
    TLSKEEP_DEMO_ENV: join(dir, "demo.env"),
  }
}

test("serves, searches, refuses, and stops everything", async () => {
  const { stdout, exitCode } = await execa(process.execPath, [DEMO], { env: await demoEnv() })
  expect(exitCode).toBe(0)
  expect(stdout).toContain("ok  page fetched with curl --cacert")
  expect(stdout).toMatch(/not in \d+ host processes and all files .*; in the enclave: [1-9]/)
  expect(stdout).toMatch(/certificate {2}CN=localhost, RSA-2048, until /)
  expect(stdout).toMatch(/signatures .*[1-9]\d* RSA_PKCS_PSS, counted by the enclave/)
  expect(stdout).toContain("KMS refused to decrypt")
  expect(stdout).toContain("all of it worked, everything is stopped")
}, 120_000)

describe("with KEEP=1", () => {
  let env: Record<string, string>
  let kept: string
  beforeAll(async () => {
    env = await demoEnv()
    const { stdout } = await execa(process.execPath, [DEMO], { env: { ...env, KEEP: "1" } })
    kept = stdout
  }, 120_000)
  afterAll(async () => {
    await execa(process.execPath, [DEMO, "--stop"], { env, reject: false })
  }, 60_000)

  /** What a shell has after reading the file. */
  const variable = async (name: string): Promise<string> => {
    const script = `. "$TLSKEEP_DEMO_ENV"; printf %s "$${name}"`
    const { stdout } = await execa("bash", ["-c", script], { env })
    return stdout
  }

  test("says and writes what anyone needs to use the token", async () => {
    const written = readFileSync(env.TLSKEEP_DEMO_ENV ?? "", "utf8")
    expect(kept).toContain(written.trim())
    expect(await variable("TLSKEEP_ENDPOINT")).toMatch(/^unix:\//)
    expect(await variable("TLSKEEP_TOKEN_LABEL")).toBe("demo")
    expect(await variable("TLSKEEP_KEY_URI")).toBe("pkcs11:token=demo;object=demo;type=private")
  })

  test("the page can be fetched", async () => {
    const [url, ca] = [await variable("TLSKEEP_URL"), await variable("TLSKEEP_CA_FILE")]
    const { stdout } = await execa("curl", ["-sS", "--cacert", ca, url])
    expect(stdout).toContain("served with a key that this host never saw")
  })

  test("the token can be used with pkcs11-tool", async () => {
    const script = `. "$TLSKEEP_DEMO_ENV"
      pkcs11-tool --module "$TLSKEEP_MODULE" --token-label "$TLSKEEP_TOKEN_LABEL" \\
        --login --pin "$(cat "$TLSKEEP_PIN_FILE")" --list-objects`
    const { stdout } = await execa("bash", ["-c", script], { env })
    expect(stdout).toContain("Private Key Object; RSA")
  })

  test("its stop command stops it all", async () => {
    const [stop, url] = [await variable("TLSKEEP_STOP"), await variable("TLSKEEP_URL")]
    const pid = await variable("TLSKEEP_DEMO_PID")
    expect(stop).toContain("demo-stop")
    const { stdout } = await execa("bash", ["-c", stop], { env })
    expect(stdout).toContain("stopped")
    // Gone, or dead and not yet taken leave of by its parent.
    expect(existsSync(`/proc/${pid}`) ? readFileSync(`/proc/${pid}/cmdline`, "utf8") : "").toBe("")
    const { exitCode } = await execa("curl", ["-sS", "-k", url], { reject: false })
    expect(exitCode).toBe(7) // connection refused, curl(1)
  }, 60_000)
})

test("npx tlskeep runs the CLI from the checkout", async () => {
  const { stdout } = await execa("npx", ["tlskeep", "--version"], { cwd: CHECKOUT.root })
  expect(stdout).toBe(VERSION)
}, 60_000)
