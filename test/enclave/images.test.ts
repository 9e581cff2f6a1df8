/** The simulator's enclave images as processes: each serves under its own policy, and no other. */
import { type ChildProcess, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { copyFile, mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { build } from "esbuild"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { CONTROL_PORT, SIGNING_PORT } from "../../shared/protocol/limits.js"
import { BOOT_VARIABLE, HEARTBEAT, type SimBoot } from "../../sim/boot.js"
import { INSTANCE_ID, vsockPath } from "../../sim/paths.js"
import { ADDON_PATH } from "../addon/bundle.js"
import { startTestSimulator, type TestSimulator } from "../sim/simulator.js"
import { Client } from "./client.js"

let sim: TestSimulator
let dir: string
beforeAll(async () => {
  sim = await startTestSimulator()
  dir = await mkdtemp(join(tmpdir(), "image-"))
  await copyFile(ADDON_PATH, join(dir, "tlskeep_addon.node"))
})
afterAll(async () => {
  await sim.stop()
  await rm(dir, { recursive: true })
})

/** Bundles an entry point as scripts/bundle-image.mjs does. */
async function image(name: string): Promise<string> {
  const outfile = join(dir, `${name}.mjs`)
  await build({
    entryPoints: [join(import.meta.dirname, `../../sim/${name}.ts`)],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "esm",
    external: ["cbor-extract"],
    logLevel: "error",
    banner: {
      js: 'import { createRequire as requireFor } from "node:module"; const require = requireFor(import.meta.url);',
    },
  })
  return outfile
}

/** Starts an image as the VMM does, and returns once it has sent its heartbeat. */
async function boot(program: string, cid: number): Promise<ChildProcess> {
  const heartbeat = join(dir, `heartbeat-${cid}`)
  const server = createServer((socket) => socket.pipe(socket)).listen(heartbeat)
  const beat = once(server, "connection")
  const parameters: SimBoot = {
    cid,
    moduleId: `${INSTANCE_ID}-enc0123456789abcdef`,
    pcrs: { 0: "aa".repeat(48) },
    vsockDir: dir,
    nitroPkiDir: sim.paths.nitroPkiDir,
    caFile: sim.paths.caFile,
    debug: false,
    heartbeat,
  }
  const child = spawn(process.execPath, [program], {
    env: { ...process.env, [BOOT_VARIABLE]: JSON.stringify(parameters) },
    stdio: ["ignore", "ignore", "inherit"],
  })
  try {
    const died = once(child, "exit").then(() => {
      throw new Error("the image ended before its heartbeat")
    })
    const [socket] = await Promise.race([beat, died])
    const [first] = await once(socket, "data")
    expect(first[0]).toBe(HEARTBEAT)
  } finally {
    server.close()
  }
  return child
}

describe.each([
  ["enclave-main", "tls-server", 20],
  ["enclave-general", "general", 21],
] as const)("sim/%s.ts", (name, policy, cid) => {
  it(`serves under the policy ${policy} until it is told to end`, async () => {
    const child = await boot(await image(name), cid)
    const control = await Client.connect(vsockPath(dir, cid, CONTROL_PORT))
    const signing = await Client.connect(vsockPath(dir, cid, SIGNING_PORT))
    try {
      await control.ask("hello", { version: 1, secret: randomBytes(32) })
      const [status, description] = await control.ask("describe", {})
      expect(status).toBe(0)
      expect(description).toMatchObject({ policy, tokens: [] })
      expect(await signing.ask("hello", 1)).toEqual([0, 1])
      const [, random] = await signing.ask("random", 32)
      expect(random).toHaveLength(32)
    } finally {
      control.close()
      signing.close()
      const ended = once(child, "exit")
      child.kill("SIGTERM")
      expect(await ended).toEqual([0, null])
    }
  }, 30_000)
})
