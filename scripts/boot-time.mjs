// Measures how long the enclave's program takes from the start of its process to serving, on this machine's
// processor: the simulator's image, which is production's service with a simulated NSM. Prints the median and
// the slowest, and fails where the median misses the target. Run `make sim-image` first.
//
//   node scripts/boot-time.mjs [NODE] [RUNS]
//
// NODE is the runtime to measure with, by default the one that runs this.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { RUNTIME_ENVIRONMENT, RUNTIME_FLAGS } from "../dist/enclave/runtime.js"
import { BOOT_VARIABLE } from "../dist/sim/boot.js"
import { ensureCa } from "../dist/sim/ca.js"
import { listenForHeartbeat } from "../dist/sim/nitro/heartbeat.js"
import { createNitroPki } from "../dist/sim/nsm/index.js"
import { INSTANCE_ID, simPaths } from "../dist/sim/paths.js"
import { CHECKOUT } from "../dist/sim/testbed/checkout.js"

/** What the image is held to, from the start of the process to serving. */
const TARGET_MS = 2_000
const FIRST_CID = 16

const [, , node = process.execPath, runs = "10"] = process.argv
const dir = await mkdtemp(join(tmpdir(), "boot-time-"))
try {
  const paths = simPaths(dir)
  await mkdir(paths.vsockDir)
  await ensureCa(paths)
  await createNitroPki(paths.nitroPkiDir)
  const times = []
  for (let run = 0; run < Number(runs); run++) times.push(await bootTime(paths, FIRST_CID + run))
  times.sort((a, b) => a - b)
  const median = times[Math.floor(times.length / 2)]
  const slowest = times.at(-1)
  process.stdout.write(
    `${times.length} starts: median ${median.toFixed(0)} ms, slowest ${slowest.toFixed(0)} ms, target ${TARGET_MS} ms\n`,
  )
  process.exitCode = median < TARGET_MS ? 0 : 1
} finally {
  await rm(dir, { recursive: true })
}

/** Milliseconds from the start of a process to its heartbeat, which it sends once it serves. */
async function bootTime(paths, cid) {
  const path = join(paths.dir, `heartbeat-${cid}`)
  const heartbeat = await listenForHeartbeat(path)
  const parameters = {
    cid,
    moduleId: `${INSTANCE_ID}-enc0123456789abcdef`,
    pcrs: { 0: "aa".repeat(48) },
    vsockDir: paths.vsockDir,
    nitroPkiDir: paths.nitroPkiDir,
    caFile: paths.caFile,
    debug: false,
    heartbeat: path,
  }
  const started = performance.now()
  const child = spawn(node, [...RUNTIME_FLAGS, CHECKOUT.image], {
    env: {
      NODE_ENV: "production",
      HOME: "/",
      ...RUNTIME_ENVIRONMENT,
      [BOOT_VARIABLE]: JSON.stringify(parameters),
    },
    stdio: ["ignore", "ignore", "inherit"],
  })
  const ended = once(child, "exit")
  try {
    const early = ended.then(([code]) => {
      throw new Error(`the enclave ended with ${code} before it served`)
    })
    early.catch(() => {}) // it ends later, too
    await Promise.race([heartbeat.beaten, early])
    return performance.now() - started
  } finally {
    heartbeat.close()
    child.kill("SIGTERM")
    await ended
  }
}
