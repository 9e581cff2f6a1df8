/** AWS's `nitro-cli`: JSON on stdout, progress and errors on stderr. */
import { ExecaError, execa } from "execa"
import { z } from "zod"
import { AgentError } from "../errors.js"

/** Fields of nitro-cli's JSON that are used here; it writes more. */
const runningSchema = z.looseObject({
  EnclaveName: z.string().optional(),
  EnclaveID: z.string(),
  EnclaveCID: z.int(),
})
const describedSchema = z.array(
  z.looseObject({
    ...runningSchema.shape,
    State: z.string(),
    Flags: z.string().optional(),
    Measurements: z.looseObject({ PCR0: z.string() }).partial().optional(),
  }),
)

export type RunningEnclave = z.output<typeof runningSchema>
export type DescribedEnclave = z.output<typeof describedSchema>[number]

export interface RunEnclaveOptions {
  imagePath: string
  cpuCount: number
  memoryMib: number
  name: string
}

/** How long commands may take. Starting an enclave allocates and measures its whole memory. */
export interface NitroCliTimeouts {
  runMs: number
  commandMs: number
}
const TIMEOUTS: NitroCliTimeouts = { runMs: 120_000, commandMs: 30_000 }

export class NitroCli {
  readonly #command: string
  readonly #timeouts: NitroCliTimeouts

  constructor(command: string, timeouts: Partial<NitroCliTimeouts> = {}) {
    this.#command = command
    this.#timeouts = { ...TIMEOUTS, ...timeouts }
  }

  /** @throws AgentError `nitro-cli-missing`, `enclave-image-missing`, `nitro-cli-failed` */
  async run(options: RunEnclaveOptions): Promise<RunningEnclave> {
    const { imagePath, cpuCount, memoryMib, name } = options
    const flags = [
      ...["--eif-path", imagePath, "--enclave-name", name],
      ...["--cpu-count", String(cpuCount), "--memory", String(memoryMib)],
    ]
    return this.#json(["run-enclave", ...flags], runningSchema, this.#timeouts.runMs)
  }

  async describe(): Promise<DescribedEnclave[]> {
    return this.#json(["describe-enclaves"], describedSchema, this.#timeouts.commandMs)
  }

  async terminate(enclaveId: string): Promise<void> {
    await this.#json(
      ["terminate-enclave", "--enclave-id", enclaveId],
      z.looseObject({ Terminated: z.literal(true) }),
      this.#timeouts.commandMs,
    )
  }

  async #json<Schema extends z.ZodType>(
    args: readonly string[],
    schema: Schema,
    timeout: number,
  ): Promise<z.output<Schema>> {
    let stdout: string
    try {
      ;({ stdout } = await execa(this.#command, args, { timeout, stdin: "ignore" }))
    } catch (error) {
      throw this.#failure(args, error)
    }
    try {
      return schema.parse(JSON.parse(stdout))
    } catch (cause) {
      throw new AgentError("nitro-cli-failed", `${args[0]}: nitro-cli printed no usable JSON`, {
        advice: "Check its version: nitro-cli --version.",
        cause,
      })
    }
  }

  #failure([command = "", ...args]: readonly string[], error: unknown): AgentError {
    if (error instanceof ExecaError && error.code === "ENOENT") {
      return new AgentError("nitro-cli-missing", `${this.#command} was not found`, {
        advice: "Install aws-nitro-enclaves-cli, or name it in enclave.nitro_cli_path.",
        cause: error,
      })
    }
    const stderr = error instanceof ExecaError ? String(error.stderr ?? "") : ""
    // One that could not start, or was ended by the time-out, has said nothing itself.
    const said = lastLines(stderr) || (error instanceof ExecaError ? error.shortMessage : "")
    if (command === "run-enclave" && /No such file/i.test(stderr) && namesImage(stderr, args)) {
      return new AgentError("enclave-image-missing", `the enclave image cannot be run: ${said}`, {
        advice: "Check enclave.image_path.",
        cause: error,
      })
    }
    return new AgentError("nitro-cli-failed", `nitro-cli ${command} failed: ${said}`, {
      advice: "Check the allocator's memory and CPUs, and /var/log/nitro_enclaves.",
      cause: error,
    })
  }
}

/** nitro-cli reports missing devices and log files in the same words as a missing image. */
function namesImage(stderr: string, args: readonly string[]): boolean {
  const image = args[args.indexOf("--eif-path") + 1]
  return image !== undefined && stderr.includes(image)
}

/** The end of what a command said: where its error stands. */
function lastLines(text: string): string {
  return text.trim().split("\n").slice(-3).join("; ").slice(0, 500)
}
