/** The allocator, which sets memory and CPUs of the instance aside for enclaves. */
import { readFile } from "node:fs/promises"
import { parse } from "yaml"
import { z } from "zod"
import type { Config } from "../../config/config.js"
import { type DoctorContext, reasonOf } from "../context.js"
import { type Finding, Reporter } from "../finding.js"
import type { ConfiguredCheck } from "../run.js"

const report = new Reporter("allocator")
const SERVICE = "nitro-enclaves-allocator.service"
const RESTART = `then systemctl restart ${SERVICE}`

/** Either a number of CPUs or the CPUs themselves, `1,3,6-8`. */
const allocatorSchema = z.looseObject({
  memory_mib: z.int().min(0),
  cpu_count: z.int().min(0).optional(),
  cpu_pool: z.coerce.string().optional(),
})

export const allocator: ConfiguredCheck = {
  name: "allocator",
  runConfigured: async (context, config) => {
    const { allocatorFile } = context.paths
    let text: string
    try {
      text = await readFile(allocatorFile, "utf8")
    } catch (error) {
      return [
        report.problem(
          "allocator-missing",
          "the allocator is not configured",
          `${allocatorFile}: ${reasonOf(error)}`,
          `Install aws-nitro-enclaves-cli and set memory_mib and cpu_count there, ${RESTART}.`,
        ),
      ]
    }
    const parsed = allocatorSchema.safeParse(quietly(() => parse(text)))
    if (!parsed.success) {
      return [
        report.problem(
          "allocator-malformed",
          "the allocator's file is not right",
          `${allocatorFile} names no usable memory_mib and cpu_count.`,
          `Correct it, ${RESTART}.`,
        ),
      ]
    }
    const cpus = parsed.data.cpu_count ?? countCpus(parsed.data.cpu_pool ?? "")
    const short = [
      ...memoryFindings(context, config, parsed.data.memory_mib),
      ...cpuFindings(context, config, cpus),
      ...(await serviceFindings(context)),
    ]
    const reserved = `${parsed.data.memory_mib} MiB and ${cpus} CPUs are set aside`
    return short.length > 0 ? short : [report.ok(reserved)]
  },
}

function memoryFindings({ paths }: DoctorContext, { enclave }: Config, mib: number): Finding[] {
  if (mib >= enclave.memory_mib) return []
  return [
    report.problem(
      "allocator-memory-short",
      "too little memory is set aside for the enclave",
      `The allocator has ${mib} MiB, enclave.memory_mib is ${enclave.memory_mib}.`,
      `Set memory_mib: ${enclave.memory_mib} or more in ${paths.allocatorFile}, ${RESTART}; twice as much for tlskeep enclave replace.`,
    ),
  ]
}

function cpuFindings({ paths }: DoctorContext, { enclave }: Config, cpus: number): Finding[] {
  if (cpus >= enclave.cpu_count) return []
  return [
    report.problem(
      "allocator-cpus-short",
      "too few CPUs are set aside for the enclave",
      `The allocator has ${cpus}, enclave.cpu_count is ${enclave.cpu_count}.`,
      `Set cpu_count: ${enclave.cpu_count} or more in ${paths.allocatorFile}, ${RESTART}.`,
    ),
  ]
}

async function serviceFindings(context: DoctorContext): Promise<Finding[]> {
  const outcome = await context.run("systemctl", ["is-active", SERVICE])
  // Where systemd is not in charge, hugepages alone tell.
  if (outcome.kind !== "exited") return []
  const state = outcome.stdout.trim()
  if (!["inactive", "failed"].includes(state)) return []
  return [
    report.problem(
      "allocator-not-active",
      "the allocator's service does not run",
      `${SERVICE} is ${state}: what its file says is not in force.`,
      `systemctl enable --now ${SERVICE}; where it fails, journalctl -u ${SERVICE} says why, often memory that is too fragmented: start it early at boot.`,
    ),
  ]
}

/** CPUs of a pool such as `1,3,6-8`. */
function countCpus(pool: string): number {
  return pool
    .split(",")
    .filter((part) => part.trim() !== "")
    .map((part) => part.split("-").map(Number))
    .reduce((sum, [first = 0, last = first]) => sum + Math.max(0, last - first + 1), 0)
}

function quietly(read: () => unknown): unknown {
  try {
    return read()
  } catch {
    return undefined
  }
}
