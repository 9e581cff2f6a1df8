/**
 * Measures a simulated image. An "EIF" of the simulator is one JavaScript file; what a real image
 * has beside its application, the simulator's kernel and ramdisk, is the same for all.
 */
import { readFileSync, statSync } from "node:fs"
import { PCR_BYTES, pcr3OfRole, pcr4OfInstance, pcrOfImage } from "../nsm/measurements.js"
import { INSTANCE_ID, ROLE_ARN } from "../paths.js"
import { NitroCliError } from "./errors.js"
import type { Enclave } from "./state.js"

const KERNEL = Buffer.from("tlskeep simulator: kernel and command line")
const RAMDISK = Buffer.from("tlskeep simulator: remaining ramdisks")
const ZERO = "00".repeat(PCR_BYTES)
const MIB = 1024 * 1024
/** Memory that the simulated kernel takes, beside four times the image. */
const BASE_MEMORY_MIB = 64

/** An image as nitro-cli sees it. */
export interface MeasuredImage {
  measurements: Enclave["measurements"]
  minMemoryMib: number
}

/** @throws NitroCliError `E19` if the file cannot be read. */
export function measureImage(path: string): MeasuredImage {
  try {
    if (!statSync(path).isFile()) throw new Error("not a regular file")
    const image = readFileSync(path)
    return {
      measurements: {
        PCR0: pcrOfImage(image).toString("hex"),
        PCR1: pcrOfImage(KERNEL).toString("hex"),
        PCR2: pcrOfImage(RAMDISK).toString("hex"),
      },
      minMemoryMib: BASE_MEMORY_MIB + Math.ceil((4 * image.length) / MIB),
    }
  } catch (cause) {
    throw new NitroCliError("E19", `File: '${path}', failing operation: 'Open'.`, { cause })
  }
}

/** The PCRs that the enclave's NSM holds at boot; in debug mode those of the image are zero. */
export function bootPcrs({
  measurements,
  debug,
}: Pick<Enclave, "measurements" | "debug">): Record<string, string> {
  const ofImage = (value: string) => (debug ? ZERO : value)
  return {
    "0": ofImage(measurements.PCR0),
    "1": ofImage(measurements.PCR1),
    "2": ofImage(measurements.PCR2),
    "3": pcr3OfRole(ROLE_ARN).toString("hex"),
    "4": pcr4OfInstance(INSTANCE_ID).toString("hex"),
    "8": ZERO,
  }
}
