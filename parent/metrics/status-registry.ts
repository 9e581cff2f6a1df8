/**
 * A registry of one moment: the agent's status as Prometheus metrics, in base units and with names by
 * Prometheus' conventions.
 *
 * Counters come from the enclave and begin again with it; `rate()` and `increase()` know such resets.
 * An enclave that does not answer, or holds no such token, leaves their series out.
 */
import { Counter, Gauge, type Metric, Registry } from "prom-client"
import type { LatencyHistogram } from "../../shared/protocol/control.js"
import type { AgentStatus, EnclaveStatus, TokenStatus } from "../agent/agent-status.js"
import { TOKEN_STATES } from "../agent-api/messages.js"
import { byHostClock, clockSkewMs } from "../status/host-clock.js"

type Labels = Record<string, string>

export function statusRegistry(status: AgentStatus): Registry {
  const registry = new Registry()
  const gauges = new Gauges(registry)
  gauges.set("build_info", "Version of the agent.", 1, { version: status.version })
  addEnclave(gauges, status.enclave)
  const skewMs = clockSkewMs(status)
  if (skewMs !== undefined) {
    gauges.set("enclave_clock_skew_seconds", "The enclave's clock less the host's.", skewMs / 1_000)
  }
  for (const token of byHostClock(status).tokens) addToken(gauges, token)
  return registry
}

function addEnclave(gauges: Gauges, enclave: EnclaveStatus): void {
  const { state, reconnects, description } = enclave
  gauges.set("enclave_up", "1 if the enclave runs and answers.", state === "up" ? 1 : 0)
  gauges.count("enclave_reconnects_total", "Control connections made after the first.", reconnects)
  if (description === undefined) return
  const { version, policy, debug, pcrs, connections } = description
  gauges.set("enclave_info", "The enclave's image, by what was measured.", 1, {
    pcr0: pcrs["0"] ?? "",
    version,
    policy,
    debug: String(debug),
    enclave_id: enclave.enclaveId ?? "",
  })
  gauges.time("enclave_start_time_seconds", "When the enclave booted.", description.bootedAt)
  gauges.set("enclave_draining", "1 if it takes no more module connections.", +description.draining)
  gauges.set("module_connections", "Connections of PKCS #11 modules now open.", connections.open)
  gauges.count(
    "module_connections_accepted_total",
    "Connections of PKCS #11 modules since the enclave booted.",
    connections.accepted,
  )
  gauges.histogram(
    "signature_duration_seconds",
    "Time from a request's arrival in the enclave to its answer.",
    description.latency,
  )
}

function addToken(gauges: Gauges, status: TokenStatus): void {
  const token = { token: status.label }
  for (const state of TOKEN_STATES) {
    const is = status.state === state ? 1 : 0
    gauges.set("token_state", "1 for the state that the token is in.", is, { ...token, state })
  }
  const { failures, error, certificate } = status
  gauges.set("token_failed_rounds", "Rounds failed since the last good one.", failures, token)
  if (error !== undefined) {
    const help = "The token's last error, by its code."
    gauges.set("token_error_info", help, 1, { ...token, code: error.code })
  }
  const last = (what: string, help: string, at: number | undefined) =>
    at !== undefined && gauges.time(`token_last_${what}_timestamp_seconds`, help, at, token)
  last("sync", "When the source was last asked with success.", status.syncedAt)
  last("publish", "When the web server was last given new files.", status.publishedAt)
  if (certificate !== undefined) addCertificate(gauges, certificate, token)
  if (status.enclave !== undefined) addServed(gauges, status.enclave, token)
}

function addCertificate(
  gauges: Gauges,
  certificate: NonNullable<TokenStatus["certificate"]>,
  token: Labels,
): void {
  const { notBefore, notAfter, subject, serialNumber, fingerprint } = certificate
  gauges.time("certificate_not_before_timestamp_seconds", "Start of validity.", notBefore, token)
  gauges.time("certificate_not_after_timestamp_seconds", "End of validity.", notAfter, token)
  gauges.set("certificate_info", "The certificate served.", 1, {
    ...token,
    subject,
    serial_number: serialNumber,
    fingerprint,
  })
}

function addServed(
  gauges: Gauges,
  served: NonNullable<TokenStatus["enclave"]>,
  token: Labels,
): void {
  const attestation = "When the token's key was last released against an attestation."
  gauges.time("token_last_attestation_timestamp_seconds", attestation, served.attestedAt, token)
  const lease = "When the enclave gives the key up unless it attests again."
  gauges.time("token_lease_expiry_timestamp_seconds", lease, served.expiresAt, token)
  const retiring = "Former keys that still sign."
  gauges.set("token_retiring_keys", retiring, served.retiringFingerprints.length, token)
  const help = "Sign requests by result; the mechanism is told of those that succeeded."
  const signed = (result: string, mechanism: string, count: number) =>
    gauges.count("signatures_total", help, count, { ...token, mechanism, result })
  for (const [mechanism, count] of Object.entries(served.signatures)) signed("ok", mechanism, count)
  signed("refused", "", served.refusals)
  signed("failed", "", served.failures)
  for (const [mechanism, count] of Object.entries(served.decryptions ?? {})) {
    gauges.count("decryptions_total", "Decryptions made.", count, { ...token, mechanism })
  }
}

/** Metrics by name, made when their first value comes. */
class Gauges {
  readonly #registry: Registry
  readonly #metrics = new Map<string, Gauge | Counter>()

  constructor(registry: Registry) {
    this.#registry = registry
  }

  set(name: string, help: string, value: number, labels: Labels = {}): void {
    this.#metric(Gauge, name, help, labels).set(labels, value)
  }

  /** `at` in ms since the epoch. */
  time(name: string, help: string, at: number, labels: Labels = {}): void {
    this.set(name, help, at / 1_000, labels)
  }

  count(name: string, help: string, value: number, labels: Labels = {}): void {
    this.#metric(Counter, name, help, labels).inc(labels, value)
  }

  /** prom-client's own histogram observes values one by one; these were counted in the enclave. */
  histogram(name: string, help: string, latency: LatencyHistogram): void {
    const full = `tlskeep_${name}`
    const { bounds, counts, count, sum } = latency
    const bucket = (le: number | string, value: number) => ({
      metricName: `${full}_bucket`,
      labels: { le },
      value,
    })
    const values = [
      ...bounds.map((bound, index) => bucket(bound / 1e6, counts[index] ?? 0)),
      bucket("+Inf", count),
      { metricName: `${full}_sum`, labels: {}, value: sum / 1e6 },
      { metricName: `${full}_count`, labels: {}, value: count },
    ]
    const metric = { name: full, help, type: "histogram", aggregator: "sum", values }
    // A registry asks a metric for its name and for get(), nothing else.
    const counted = { name: full, get: () => Promise.resolve(metric) }
    this.#registry.registerMetric(counted as unknown as Metric)
  }

  #metric<Kind extends Gauge | Counter>(
    kind: new (options: MetricOptions) => Kind,
    name: string,
    help: string,
    labels: Labels,
  ): Kind {
    const known = this.#metrics.get(name)
    if (known instanceof kind) return known
    const made = new kind({
      name: `tlskeep_${name}`,
      help,
      labelNames: Object.keys(labels),
      registers: [this.#registry],
    })
    this.#metrics.set(name, made)
    return made
  }
}

interface MetricOptions {
  name: string
  help: string
  labelNames: string[]
  registers: Registry[]
}
