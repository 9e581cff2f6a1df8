/** Huge pages: what an enclave's memory is made of. */
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { reasonOf } from "../context.js"
import { Reporter } from "../finding.js"
import { runningEnclave } from "../nitro.js"
import type { ConfiguredCheck } from "../run.js"

const report = new Reporter("hugepages")

export const hugepages: ConfiguredCheck = {
  name: "hugepages",
  runConfigured: async (context, config) => {
    const wanted = config.enclave.memory_mib
    let freeMib: number
    try {
      freeMib = await freeHugepagesMib(context.paths.hugepagesDir)
    } catch (error) {
      return [
        report.unknown(
          "hugepages-unreadable",
          "the huge pages cannot be counted",
          `${context.paths.hugepagesDir}: ${reasonOf(error)}`,
          "Look at HugePages_Free in /proc/meminfo.",
        ),
      ]
    }
    const running = await runningEnclave(context, config)
    if (running !== undefined) {
      return [report.ok("the enclave has its memory", `${freeMib} MiB of huge pages are free.`)]
    }
    if (freeMib >= wanted) return [report.ok(`${freeMib} MiB of huge pages are free`)]
    return [
      report.problem(
        "hugepages-short",
        "too few huge pages are free to start the enclave",
        `${freeMib} MiB are free, enclave.memory_mib is ${wanted}. nitro-cli calls this E27.`,
        "End enclaves that are not needed (nitro-cli describe-enclaves), or raise memory_mib of the allocator and restart its service.",
      ),
    ]
  },
}

/** MiB of free huge pages of every size. */
async function freeHugepagesMib(dir: string): Promise<number> {
  let kib = 0
  for (const name of await readdir(dir)) {
    const size = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1])
    if (Number.isNaN(size)) continue
    kib += size * Number(await readFile(join(dir, name, "free_hugepages"), "utf8"))
  }
  return Math.floor(kib / 1_024)
}
