/**
 * Errors that an operator reads: a code for programs, a sentence that says what is wrong, and
 * advice that says what to do about it.
 */
import { CodedError } from "../shared/errors.js"
import type { ControlCode } from "../shared/protocol/control-codes.js"

export type AgentErrorCode =
  | ControlCode
  // configuration
  | "config-unreadable"
  | "config-not-yaml"
  | "config-invalid"
  // sources
  | "s3-object-not-found"
  | "s3-access-denied"
  | "s3-throttled"
  | "s3-unreachable"
  | "s3-failed"
  | "key-object-not-json"
  | "key-object-malformed"
  | "no-key-object"
  | "credentials-unavailable"
  | "region-unknown"
  // enclave host
  | "nitro-cli-missing"
  | "nitro-cli-failed"
  | "enclave-image-missing"
  | "enclave-not-adoptable"
  | "enclave-unreachable"
  | "replacement-under-way"
  | "pcr-mismatch"
  | "control-timeout"
  | "control-protocol"
  // targets
  | "target-not-writable"
  | "reload-failed"
  | "self-test-failed"
  // seal
  | "seal-input-unreadable"
  | "seal-key-unsupported"
  | "seal-key-mismatch"
  | "seal-key-too-long"
  | "kms-encrypt-failed"
  | "seal-output-failed"
  | "run-dir-unusable"
  // nitro-cli, by what its E-codes come to
  | "nitro-cli-timeout"
  | "nitro-device-missing"
  | "nitro-permission-denied"
  | "nitro-not-set-up"
  | "enclave-memory-insufficient"
  | "enclave-memory-too-small"
  | "enclave-cpus-insufficient"
  | "enclave-image-invalid"
  | "enclave-boot-failed"
  | "enclave-process-unreachable"
  | "enclave-not-found"
  // the agent's socket, and metrics
  | "agent-not-running"
  | "agent-runs-already"
  | "agent-socket-failed"
  | "agent-protocol"
  | "enclave-replace-running"
  | "metrics-listen-invalid"
  | "metrics-listen-failed"
  // policy and seal --check
  | "policy-input-invalid"
  | "seal-check-failed"
  // sources and the instance they are read from
  | "imds-unreachable"
  | "role-unknown"
  | "fetch-aborted"
  | "s3-clock-skew"
  | "s3-wrong-region"
  | "acm-not-associated"
  | "acm-wrong-region"
  | "key-file-unreadable"
  | "key-file-entry-missing"
  | "key-file-entry-ambiguous"
  // publication of a certificate to the web server
  | "target-not-readable"
  | "target-lines-missing"
  | "pkcs11-library-missing"
  | "server-without-pkcs11"
  | "pin-too-long"
  | "config-test-failed"
  | "start-failed"
  | "certificate-not-presented"

export class AgentError extends CodedError<AgentErrorCode> {
  /** What the reader can do, one sentence; empty where nothing but waiting helps. */
  readonly advice: string

  constructor(
    code: AgentErrorCode,
    message: string,
    options: { advice?: string; cause?: unknown } = {},
  ) {
    super(code, message, { cause: options.cause })
    this.advice = options.advice ?? ""
  }
}

/** Fields of an error for one structured log line; a cause's message may be added, its stack not. */
export function errorFields(error: unknown): Record<string, unknown> {
  if (error instanceof AgentError) {
    const advice = error.advice === "" ? {} : { advice: error.advice }
    return { code: error.code, reason: error.message, ...advice }
  }
  if (error instanceof CodedError) return { code: error.code, reason: error.message }
  return { code: "internal", err: error }
}
