/**
 * The agent's metrics in Prometheus' text format: those of its process, and those made of its status
 * at each scrape, so that nothing is counted twice.
 */
import { collectDefaultMetrics, Registry } from "prom-client"
import type { AgentStatus } from "../agent/agent-status.js"
import { statusRegistry } from "./status-registry.js"

export const METRICS_PREFIX = "tlskeep_"

/** The event loop's delay is sampled as often: more would keep an idle agent busy. */
const EVENT_LOOP_SAMPLE_MS = 100
/** prom-client's gauges whose names break the naming rules: `_total` is a counter's. */
const MISNAMED = ["nodejs_active_resources", "nodejs_active_handles", "nodejs_active_requests"]

export class AgentMetrics {
  readonly #status: () => Promise<AgentStatus>
  readonly #process = new Registry()

  constructor(status: () => Promise<AgentStatus>) {
    this.#status = status
    collectDefaultMetrics({
      register: this.#process,
      prefix: METRICS_PREFIX,
      eventLoopMonitoringPrecision: EVENT_LOOP_SAMPLE_MS,
    })
    for (const name of MISNAMED) {
      this.#process.removeSingleMetric(`${METRICS_PREFIX}${name}_total`)
    }
  }

  readonly contentType: string = Registry.PROMETHEUS_CONTENT_TYPE

  /** Everything, as a scrape gets it. */
  async text(): Promise<string> {
    const status = await this.#status()
    const parts = await Promise.all([statusRegistry(status).metrics(), this.#process.metrics()])
    return parts.join("\n")
  }

  close(): void {
    this.#process.clear()
  }
}
