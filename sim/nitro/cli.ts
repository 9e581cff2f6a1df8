/** The command line of the simulated nitro-cli: JSON on stdout, progress and errors on stderr. */
import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { Command } from "commander"
import { z } from "zod"
import { CodedError } from "../../shared/errors.js"
import { type SimPaths, simPaths } from "../paths.js"
import {
  describeEif,
  describeEnclaves,
  runDescription,
  type TerminateTarget,
  terminateEnclaves,
} from "./commands.js"
import { NitroCliError } from "./errors.js"
import { runEnclave } from "./run-enclave.js"

const VERSION = "1.4.0"

/** As in the file that `--config` names; flags and file must not both be given. */
const runSchema = z.strictObject({
  eif_path: z.string(),
  cpu_count: z.int(),
  memory_mib: z.int(),
  enclave_cid: z.int().optional(),
  enclave_name: z.string().optional(),
  debug_mode: z.boolean().optional(),
})
type RunConfig = z.infer<typeof runSchema>

interface RunFlags {
  eifPath?: string
  cpuCount?: string
  memory?: string
  enclaveCid?: string
  enclaveName?: string
  debugMode?: boolean
  config?: string
}

interface TerminateFlags {
  enclaveId?: string
  enclaveName?: string
  all?: boolean
}

/** Runs one command. @returns the exit code. */
export async function runNitroCli(argv: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const program = buildProgram(() => simulatorPaths(env))
  try {
    await program.parseAsync(argv, { from: "user" })
    return 0
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    process.stderr.write(`${error instanceof NitroCliError ? error.report : error.message}\n`)
    return 1
  }
}

function simulatorPaths({ TLSKEEP_SIM_DIR }: NodeJS.ProcessEnv): SimPaths {
  if (TLSKEEP_SIM_DIR) return simPaths(TLSKEEP_SIM_DIR)
  throw new CodedError("no-simulator", "TLSKEEP_SIM_DIR is not set: no simulator to talk to")
}

function buildProgram(paths: () => SimPaths): Command {
  const program = new Command("nitro-cli").version(`Nitro CLI ${VERSION}`)
  program
    .command("run-enclave")
    .option("--eif-path <path>")
    .option("--cpu-count <n>")
    .option("--memory <MiB>")
    .option("--enclave-cid <cid>")
    .option("--enclave-name <name>")
    .option("--debug-mode")
    .option("--config <file>")
    .action(async (flags: RunFlags) => {
      const config = flags.config === undefined ? configOfFlags(flags) : configOfFile(flags)
      print(runDescription(await run(paths(), config)))
    })
  program.command("describe-enclaves").action(() => print(describeEnclaves(paths())))
  program
    .command("describe-eif")
    .requiredOption("--eif-path <path>")
    .action(({ eifPath }: { eifPath: string }) => print(describeEif(resolve(eifPath))))
  program
    .command("terminate-enclave")
    .option("--enclave-id <id>")
    .option("--enclave-name <name>")
    .option("--all")
    .action(async (flags: TerminateFlags) => {
      for (const one of await terminateEnclaves(paths(), terminateTarget(flags))) print(one)
    })
  return program
}

async function run(paths: SimPaths, config: RunConfig) {
  const request = {
    cpuCount: config.cpu_count,
    memoryMib: config.memory_mib,
    cid: config.enclave_cid,
    name: config.enclave_name,
    image: resolve(config.eif_path),
    debug: config.debug_mode ?? false,
  }
  return runEnclave(paths, request, (line) => process.stderr.write(`${line}\n`))
}

function configOfFlags(flags: RunFlags): RunConfig {
  const { eifPath, cpuCount, memory, enclaveCid, enclaveName, debugMode } = flags
  return {
    eif_path: required("eif-path", eifPath),
    cpu_count: integer("cpu-count", required("cpu-count", cpuCount)),
    memory_mib: integer("memory", required("memory", memory)),
    ...(enclaveCid === undefined ? {} : { enclave_cid: integer("enclave-cid", enclaveCid) }),
    ...(enclaveName === undefined ? {} : { enclave_name: enclaveName }),
    ...(debugMode === undefined ? {} : { debug_mode: debugMode }),
  }
}

function configOfFile({ config: file = "", ...others }: RunFlags): RunConfig {
  const [conflicting] = Object.keys(others)
  if (conflicting !== undefined) {
    throw new NitroCliError("E02", `User provided both \`config\` and \`${conflicting}\`.`)
  }
  try {
    return runSchema.parse(JSON.parse(readFileSync(file, "utf8")))
  } catch (cause) {
    throw new NitroCliError("E19", `File: '${file}', failing operation: 'Read config'.`, { cause })
  }
}

function terminateTarget({ enclaveId, enclaveName, all }: TerminateFlags): TerminateTarget {
  const targets: TerminateTarget[] = []
  if (enclaveId !== undefined) targets.push({ enclaveId })
  if (enclaveName !== undefined) targets.push({ enclaveName })
  if (all) targets.push({ all })
  const [target] = targets
  if (target === undefined) {
    throw new NitroCliError("E01", "Give one of `enclave-id`, `enclave-name` and `all`.")
  }
  if (targets.length > 1) {
    throw new NitroCliError("E02", "Give only one of `enclave-id`, `enclave-name` and `all`.")
  }
  return target
}

function required(name: string, value: string | undefined): string {
  if (value === undefined) throw new NitroCliError("E01", `User did not provide \`${name}\`.`)
  return value
}

function integer(name: string, text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text)
  throw new NitroCliError("E03", `The parameter \`${name}\` is not a valid integer (\`${text}\`).`)
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}
