/**
 * The errors of the simulated nitro-cli, under the numbers that the real one gives them (its user
 * guide, "Nitro CLI error codes"); the sentences are the simulator's.
 */
import { CodedError } from "../../shared/errors.js"

const TITLES = {
  E01: "Missing mandatory argument",
  E02: "Conflicting arguments",
  E03: "Invalid argument provided",
  E11: "Socket error",
  E19: "File operation failure",
  E22: "Insufficient CPUs available in the pool",
  E26: "Insufficient memory requested",
  E27: "Insufficient memory available",
  E29: "Ioctl failure",
  E36: "Enclave boot failure",
  E40: "Socket path not found",
  E58: "Enclave name not found",
} as const

export type NitroCliErrorCode = keyof typeof TITLES

/** A refusal of nitro-cli. */
export class NitroCliError extends CodedError<NitroCliErrorCode> {
  /** What goes to stderr. */
  get report(): string {
    return `[ ${this.code} ] ${TITLES[this.code]}. ${this.message}`
  }
}
