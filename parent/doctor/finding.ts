/** What a check finds: one sentence of what is, one of why it matters, one of what to do about it. */

/**
 * Every code that a check may report, by check, in the order in which they are printed. The page
 * docs/troubleshooting.md explains each one; a test holds both against each other.
 */
export const FINDINGS = {
  root: ["not-root"],
  configuration: ["config-unreadable", "config-not-yaml", "config-invalid", "config-notice"],
  instance: ["enclaves-not-enabled"],
  "nitro-cli": ["nitro-cli-missing", "nitro-cli-failed"],
  allocator: [
    "allocator-missing",
    "allocator-malformed",
    "allocator-memory-short",
    "allocator-cpus-short",
    "allocator-not-active",
  ],
  hugepages: ["hugepages-short", "hugepages-unreadable"],
  image: [
    "image-missing",
    "image-unmeasured",
    "image-pcr0-mismatch",
    "image-not-the-running-one",
    "image-too-large",
  ],
  enclave: [
    "enclave-unlisted",
    "enclave-not-running",
    "enclave-debug-mode",
    "enclave-pcr0-mismatch",
  ],
  "vsock-proxy": [
    "vsock-proxy-not-running",
    "vsock-proxy-elsewhere",
    "vsock-proxy-not-allowed",
    "vsock-proxy-unseen",
  ],
  imds: ["imds-unreachable", "instance-profile-missing"],
  credentials: [
    "region-unknown",
    "credentials-unavailable",
    "credentials-expired",
    "credentials-expiring",
    "credentials-long-lived",
  ],
  clock: ["clock-unknown", "clock-skewed", "clock-drifting"],
  kms: [
    "kms-unreachable",
    "kms-credentials-refused",
    "kms-key-not-found",
    "kms-key-unusable",
    "kms-key-elsewhere",
    "kms-failed",
  ],
  sources: [
    "source-not-found",
    "source-access-denied",
    "source-elsewhere",
    "source-unreachable",
    "source-malformed",
    "source-failed",
    "role-arn-unknown",
  ],
  openssl: [
    "openssl-missing",
    "openssl-without-pkcs11",
    "openssl-engine-missing",
    "openssl-provider-missing",
    "openssl-engine-preferred",
    "openssl-module-not-configured",
  ],
  httpd: [
    "httpd-missing",
    "httpd-needs-crypto-device",
    "httpd-without-mod-ssl",
    "httpd-config-broken",
    "httpd-not-running",
  ],
  nginx: [
    "nginx-missing",
    "nginx-without-ssl",
    "nginx-without-store",
    "nginx-config-broken",
    "nginx-engine-not-initialised",
    "nginx-not-running",
  ],
  module: [
    "module-missing",
    "module-glibc-too-old",
    "module-not-loadable",
    "module-without-token",
    "module-endpoint-missing",
  ],
  permissions: [
    "config-pin-readable",
    "run-dir-missing",
    "run-dir-not-roots",
    "run-dir-writable",
    "control-secret-readable",
    "pin-readable",
    "target-pin-readable",
  ],
  agent: [
    "agent-not-running",
    "agent-unreadable",
    "agent-other-config",
    "agent-without-enclave",
    "token-failed",
    "token-released",
    "token-degraded",
    "token-pending",
  ],
  listener: [
    "certificate-not-published",
    "listener-not-configured",
    "listener-unreachable",
    "listener-handshake-failed",
    "listener-other-certificate",
    "certificate-expired",
    "certificate-expiring",
  ],
} as const

/** Codes that any check may end with. */
export const COMMON_FINDINGS = ["not-checked", "check-timed-out", "check-failed"] as const

export type CheckName = keyof typeof FINDINGS
export type FindingCode =
  | (typeof FINDINGS)[CheckName][number]
  | (typeof COMMON_FINDINGS)[number]
  | "ok"

/** `unknown`: the check could not tell, or there is nothing to tell yet. */
export type Level = "ok" | "warning" | "problem" | "unknown"

export interface Finding {
  check: CheckName
  level: Level
  code: FindingCode
  /** A short sentence without a full stop. */
  title: string
  /** What was seen; empty where the title says it all. Never holds a PIN, key, credential or URI. */
  detail: string
  /** What to do; empty for `ok` alone. */
  advice: string
}

export type ReportedCode<Check extends CheckName> =
  | (typeof FINDINGS)[Check][number]
  | (typeof COMMON_FINDINGS)[number]

/** Makes the findings of one check. */
export class Reporter<Check extends CheckName> {
  readonly #check: Check

  constructor(check: Check) {
    this.#check = check
  }

  ok(title: string, detail = ""): Finding {
    return { check: this.#check, level: "ok", code: "ok", title, detail, advice: "" }
  }

  warning(code: ReportedCode<Check>, title: string, detail: string, advice: string): Finding {
    return { check: this.#check, level: "warning", code, title, detail, advice }
  }

  problem(code: ReportedCode<Check>, title: string, detail: string, advice: string): Finding {
    return { check: this.#check, level: "problem", code, title, detail, advice }
  }

  unknown(code: ReportedCode<Check>, title: string, detail: string, advice: string): Finding {
    return { check: this.#check, level: "unknown", code, title, detail, advice }
  }
}

/** PKCS #11 URIs may hold PINs, and servers quote them when they complain. */
export function withoutUris(text: string): string {
  return text.replaceAll(/pkcs11:[^\s"'<>]*/gi, "pkcs11:…")
}

/** The last lines that a command said, in one, at most 300 characters. */
export function lastWords(text: string, lines = 2): string {
  const last = text.trim().split("\n").slice(-lines).join("; ")
  return withoutUris(last).slice(-300)
}
