/** Which image and instance a key is released to: PCR values, as policies ask for them. */
import { createHash } from "node:crypto"
import { z } from "zod"
import { AgentError } from "../errors.js"
import { invalid } from "./arn.js"

/** What the enclave's attestation document must say. */
export interface Release {
  /** Images, any of which may decrypt. */
  pcr0: readonly string[]
  pcr3?: string
  pcr8?: string
}

const PCR_BYTES = 48
const measurementsSchema = z.looseObject({
  Measurements: z.looseObject({ PCR0: z.string(), PCR8: z.string().optional() }),
})

/**
 * A PCR's value in lower case.
 *
 * @throws AgentError `policy-input-invalid` if it is none, or is zero: what debug mode reports for
 *   every image, and PCR8 for each that is not signed
 */
export function pcr(option: string, text: string): string {
  const value = text.toLowerCase()
  if (!/^[0-9a-f]{96}$/.test(value)) throw invalid(option, "a PCR: 96 hex digits")
  if (/^0+$/.test(value)) {
    throw new AgentError("policy-input-invalid", `${option} is zero`, {
      advice: "Measure the image without --debug-mode; sign it if PCR8 is to be required.",
    })
  }
  return value
}

/**
 * Reads what `nitro-cli build-enclave` or `describe-eif` printed.
 *
 * @throws AgentError `policy-input-invalid`
 */
export function parseMeasurements(json: string): { pcr0: string; pcr8?: string } {
  let measured: z.infer<typeof measurementsSchema>
  try {
    measured = measurementsSchema.parse(JSON.parse(json))
  } catch (cause) {
    throw new AgentError("policy-input-invalid", "--measurements holds no measurements", {
      advice: "Give a file with what nitro-cli describe-eif --eif-path FILE prints.",
      cause,
    })
  }
  const { PCR0, PCR8 } = measured.Measurements
  return {
    pcr0: pcr("PCR0 of --measurements", PCR0),
    ...(PCR8 === undefined ? {} : { pcr8: PCR8 }),
  }
}

/**
 * PCR3 of an enclave whose instance has this role. Source: the Nitro Enclaves user guide, "Where to
 * get an enclave's measurements".
 */
export function pcr3OfRole(roleArn: string): string {
  return createHash("sha384").update(Buffer.alloc(PCR_BYTES)).update(roleArn).digest("hex")
}
