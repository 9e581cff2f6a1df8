/** Statuses of an agent for tests: a token of each state, and a control that tells what it is given. */
import type { AgentControl, AgentStatus, TokenStatus } from "../../parent/agent/agent-status.js"
import type { EnclaveDescription, TokenDescription } from "../../shared/protocol/control.js"

export const NOW = Date.parse("2026-03-01T12:00:00Z")
const MINUTE = 60_000
const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR
export const PCR0 = "ab".repeat(48)

export function describedToken(change: Partial<TokenDescription> = {}): TokenDescription {
  return {
    label: "web",
    fingerprint: "11".repeat(32),
    certificateFingerprint: "22".repeat(32),
    keyType: "P-256",
    keyId: "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d",
    attestedAt: NOW - 2 * HOUR,
    expiresAt: NOW + 46 * HOUR,
    nextFingerprint: null,
    retiringFingerprints: [],
    signatures: { ECDSA: 40 },
    refusals: 0,
    failures: 0,
    ...change,
  }
}

export function servingToken(label = "web", change: Partial<TokenStatus> = {}): TokenStatus {
  return {
    label,
    state: "serving",
    source: `s3://example-keys/${label}.json`,
    target: `/etc/apache2/tlskeep-${label}.conf`,
    certificate: {
      subject: `CN=${label}.example.com`,
      names: [`${label}.example.com`],
      serialNumber: "0A1B",
      notBefore: NOW - 30 * DAY,
      notAfter: NOW + 60 * DAY,
      fingerprint: "22".repeat(32),
    },
    syncedAt: NOW - 3 * MINUTE,
    publishedAt: NOW - 30 * DAY,
    nextSyncAt: NOW + 7 * MINUTE,
    nextRefreshAt: NOW + 10 * HOUR,
    failures: 0,
    enclave: describedToken({ label }),
    ...change,
  }
}

export function describedEnclave(
  change: Partial<EnclaveDescription> = {},
): Omit<EnclaveDescription, "tokens"> {
  return {
    version: "0.1.0",
    moduleId: "i-0123456789abcdef0-enc0123456789abcdef",
    pcrs: { "0": PCR0, "1": "cd".repeat(48), "2": "ef".repeat(48), "8": "00".repeat(48) },
    debug: false,
    phase: "claimed",
    policy: "tls-server",
    bootedAt: NOW - 3 * DAY,
    now: NOW,
    generation: 4,
    connections: { open: 6, accepted: 90 },
    latency: { bounds: [100, 1_000, 10_000], counts: [30, 39, 40], count: 41, sum: 52_000 },
    draining: false,
    ...change,
  }
}

export function agentStatus(change: Partial<AgentStatus> = {}): AgentStatus {
  return {
    version: "0.1.0",
    pid: 4711,
    startedAt: NOW - 3 * DAY,
    now: NOW,
    configFile: "/etc/tlskeep/tlskeep.yaml",
    enclave: {
      state: "up",
      since: NOW - 3 * DAY,
      enclaveId: "i-0123456789abcdef0-enc0123456789abcdef",
      cid: 16,
      imagePath: "/usr/share/tlskeep/tlskeep.eif",
      adopted: true,
      description: describedEnclave(),
      reconnects: 2,
    },
    tokens: [servingToken()],
    ...change,
  }
}

/** What goes wrong, a token of each state. */
export function troubledTokens(): TokenStatus[] {
  const { enclave: _released, ...released } = servingToken("shop")
  return [
    servingToken("web"),
    {
      label: "api",
      state: "pending",
      source: "s3://example-keys/api.json",
      target: "/etc/apache2/tlskeep-api.conf",
      failures: 0,
    },
    servingToken("mail", {
      state: "degraded",
      failures: 3,
      nextRetryAt: NOW + 20_000,
      error: {
        code: "s3-unreachable",
        reason: "S3 could not be reached: connect ETIMEDOUT",
        advice: "Check the route to S3 from this instance, or its gateway endpoint.",
        at: NOW - MINUTE,
      },
      enclave: describedToken({
        label: "mail",
        refusals: 4,
        failures: 1,
        retiringFingerprints: ["33".repeat(32)],
      }),
    }),
    {
      ...released,
      state: "released",
      failures: 1,
      nextRetryAt: NOW + 5 * MINUTE,
      error: {
        code: "kms-explicit-deny",
        reason: "KMS refused to decrypt: a policy denies it",
        advice: "Remove the Deny statement for this role or image from the policy.",
        at: NOW - 2 * MINUTE,
      },
    },
  ]
}

/** A control that tells `status`, and replaces as it is told to. */
export function fakeControl(
  status: AgentStatus | (() => Promise<AgentStatus>),
  replaceEnclave: AgentControl["replaceEnclave"] = () => Promise.reject(new Error("not asked for")),
): AgentControl {
  return {
    status: typeof status === "function" ? status : () => Promise.resolve(status),
    replaceEnclave,
  }
}
