/** AWS's `nitro-cli`: JSON on stdout, progress and errors on stderr. */
import { execa } from "execa"
import { z } from "zod"
import { AgentError } from "../errors.js"
import { nitroCliRefusal } from "./nitro-cli-errors.js"

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

  /** @throws AgentError as {@link nitroCliRefusal} makes them; so do the other methods */
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
      throw nitroCliRefusal({ command: this.#command, args, timeoutMs: timeout, error })
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
}
