/** What nitro-cli tells of enclaves and images, as far as checks look at it. */
import { z } from "zod"
import type { Config } from "../config/config.js"
import { type CommandOutcome, failure, printed } from "./command.js"
import type { DoctorContext } from "./context.js"
import { lastWords } from "./finding.js"

const measurementsSchema = z.looseObject({ PCR0: z.string() })

const enclavesSchema = z.array(
  z.looseObject({
    EnclaveName: z.string().optional(),
    EnclaveID: z.string(),
    State: z.string(),
    Flags: z.string().optional(),
    MemoryMiB: z.number().optional(),
    Measurements: measurementsSchema.partial().optional(),
  }),
)
const imageSchema = z.looseObject({ Measurements: measurementsSchema })

export type ListedEnclave = z.output<typeof enclavesSchema>[number]

/** What was asked for, or why there is no answer. */
export type Told<T> = { value: T } | { failed: string }

/** All enclaves of the instance. */
export function listEnclaves(context: DoctorContext): Promise<Told<ListedEnclave[]>> {
  return ask(context, ["describe-enclaves"], enclavesSchema)
}

/** The running enclave of the configured name; undefined where there is none or nobody tells. */
export async function runningEnclave(
  context: DoctorContext,
  config: Config,
): Promise<ListedEnclave | undefined> {
  const listed = await context.once(listEnclaves)
  return "value" in listed ? named(listed.value, config.enclave.name) : undefined
}

export function named(enclaves: readonly ListedEnclave[], name: string): ListedEnclave | undefined {
  return enclaves.find(({ EnclaveName, State }) => EnclaveName === name && State === "RUNNING")
}

/** PCR0 that an image measures to, hex. */
export async function imagePcr0(context: DoctorContext, path: string): Promise<Told<string>> {
  const told = await ask(context, ["describe-eif", "--eif-path", path], imageSchema)
  return "value" in told ? { value: told.value.Measurements.PCR0.toLowerCase() } : told
}

/** The command that is configured, or what everyone calls it. */
export function nitroCliCommand({ configuration }: DoctorContext): string {
  return "config" in configuration ? configuration.config.enclave.nitro_cli_path : "nitro-cli"
}

async function ask<Schema extends z.ZodType>(
  context: DoctorContext,
  args: readonly string[],
  schema: Schema,
): Promise<Told<z.output<Schema>>> {
  const outcome = await context.run(nitroCliCommand(context), args)
  const stdout = printed(outcome)
  if (stdout === undefined) return { failed: because(outcome) }
  try {
    return { value: schema.parse(JSON.parse(stdout)) }
  } catch {
    return { failed: "it printed no usable JSON" }
  }
}

function because(outcome: CommandOutcome): string {
  const said = outcome.kind === "exited" ? lastWords(outcome.stderr) : ""
  return said === "" ? failure(outcome) : `${failure(outcome)}: ${said}`
}

/** The start of a PCR, enough to tell images apart by eye. */
export function short(pcr: string): string {
  return `${pcr.slice(0, 16)}…`
}
