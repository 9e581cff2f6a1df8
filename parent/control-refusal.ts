/** Sentences and advice for what the enclave refuses: the code came over the vsock, no more. */
import { CONTROL_CODES, type ControlCode } from "../shared/protocol/control-codes.js"
import { AgentError } from "./errors.js"

const SAME_VERSION = "Run an enclave image of this agent's version."

const ADVICE: Partial<Record<ControlCode, string>> = {
  "malformed-request": SAME_VERSION,
  "unsupported-version": SAME_VERSION,
  "unknown-op": SAME_VERSION,
  "frame-too-large": "Shorten the certificate's chain: the leaf and its intermediates are enough.",
  "not-owner":
    "Terminate the enclave (nitro-cli terminate-enclave) and let this agent start its own, or restore the control secret of its run directory.",
  "kms-access-denied":
    "Let the KMS key policy allow kms:Decrypt to the instance's role under a condition kms:RecipientAttestation:ImageSha384 that names this image's PCR0.",
  "kms-explicit-deny": "Remove the Deny statement for this role or image from the policy.",
  "kms-credentials-refused": "Check the instance's role and the clock.",
  "kms-invalid-ciphertext":
    "Seal the key again: the object was not encrypted under this KMS key and encryption context.",
  "kms-key-id-mismatch":
    "Name the KMS key that sealed the object in kms_key_id, or do not trust the object.",
  "kms-key-unavailable": "Enable the KMS key, or seal the key under another one.",
  "kms-unreachable":
    "Check that vsock-proxy runs for the KMS endpoint of the region and allows it.",
  "kms-tls-untrusted": "Check what vsock-proxy is connected to: it is not KMS.",
  "malformed-certificate":
    "Publish PEM certificates of at most 8 KiB each, the leaf and its intermediates.",
  "certificate-key-mismatch": "Publish a certificate and the private key that belongs to it.",
  "encryption-context-mismatch": "Seal the private key again, with the certificate it serves.",
  "malformed-private-key": "Seal an unencrypted private key in PEM.",
  "unsupported-key-type": "Use an RSA key of 2048 to 4096 bits, P-256, P-384 or Ed25519.",
  "malformed-key-id": "Give the KMS key's full ARN; key and agent must be in one region.",
  "unknown-key": "Wait for the agent's next try: it stages the key again.",
  "too-many-tokens": "Remove tokens from the configuration.",
}

/** The error for a refusal. `detail` comes from the enclave and holds no secret. */
export function controlRefusal(
  code: ControlCode,
  detail: Readonly<Record<string, string>>,
): AgentError {
  const facts = Object.entries(detail).map(([key, value]) => `${key} ${value}`)
  const suffix = facts.length === 0 ? "" : ` (${facts.join(", ")})`
  const advice = ADVICE[code]
  return new AgentError(
    code,
    `${CONTROL_CODES[code]}${suffix}`,
    advice === undefined ? {} : { advice },
  )
}
