/** Serves `GET /metrics`, and nothing else, to a Prometheus on this host. */
import { once } from "node:events"
import { type AddressInfo, BlockList, isIP } from "node:net"
import Fastify from "fastify"
import type { Logger } from "pino"
import { systemErrorCode } from "../../shared/errors.js"
import { listenOnUnixSocket } from "../agent-api/unix-socket.js"
import { AgentError } from "../errors.js"
import type { AgentMetrics } from "./metrics.js"

export interface MetricsServerOptions {
  /** `unix:<absolute path>` or `<loopback address>:<port>`. */
  listen: string
  metrics: AgentMetrics
  log: Logger
}

export interface MetricsServer {
  /** As listened on: the port that the system chose stands for port 0. */
  address: string
  close(): Promise<void>
}

export type MetricsAddress = { path: string } | { host: string; port: number }

/** Any process of this host may read them, as it may through a loopback port. */
const SOCKET_MODE = 0o666
const LOOPBACK = new BlockList()
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4")
LOOPBACK.addAddress("::1", "ipv6")

/**
 * Reads `metrics.listen`.
 *
 * @throws AgentError `metrics-listen-invalid` for anything but a Unix socket and a loopback address:
 *   certificate names and traffic are nobody's business outside.
 */
export function parseMetricsListen(listen: string): MetricsAddress {
  const path = /^unix:(\/.+)$/.exec(listen)?.[1]
  if (path !== undefined) return { path }
  const [, bracketed, plain, digits = ""] = /^(?:\[(.+)\]|([^:[\]]+)):(\d{1,5})$/.exec(listen) ?? []
  const host = bracketed ?? plain ?? ""
  const port = Number(digits)
  const version = isIP(host)
  const loopback = version !== 0 && LOOPBACK.check(host, version === 4 ? "ipv4" : "ipv6")
  if (loopback && port <= 65_535) return { host, port }
  throw new AgentError(
    "metrics-listen-invalid",
    `metrics.listen is neither a Unix socket nor a loopback address with a port: ${listen}`,
    { advice: "Give 127.0.0.1:<port>, [::1]:<port> or unix:<absolute path>." },
  )
}

/**
 * Listens.
 *
 * @throws AgentError `metrics-listen-invalid`, `metrics-listen-failed`
 */
export async function listenForMetrics(options: MetricsServerOptions): Promise<MetricsServer> {
  const { listen, metrics, log } = options
  const address = parseMetricsListen(listen)
  const app = Fastify()
  app.setErrorHandler((error, _request, reply) => {
    log.error({ err: error }, "metrics not told")
    void reply.status(500).send("the agent failed to tell its metrics\n")
  })
  app.get("/metrics", async (_request, reply) => {
    void reply.type(metrics.contentType)
    return metrics.text()
  })
  await app.ready()
  const { server } = app
  try {
    if ("path" in address) {
      await listenOnUnixSocket(server, address.path, SOCKET_MODE)
    } else {
      const listening = once(server, "listening")
      server.listen(address)
      await listening
    }
  } catch (cause) {
    await app.close()
    const reason = systemErrorCode(cause) ?? "failed"
    throw new AgentError("metrics-listen-failed", `cannot listen at ${listen}: ${reason}`, {
      advice: "Choose another metrics.listen, or end what listens there.",
      cause,
    })
  }
  return {
    address: "path" in address ? listen : withPort(listen, (server.address() as AddressInfo).port),
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
      await app.close()
    },
  }
}

function withPort(listen: string, port: number): string {
  return listen.replace(/\d+$/, String(port))
}
