/**
 * The agent's own service on its Unix socket, for root alone: status, metrics, and the replacement of
 * the enclave; and the metrics once more where they are configured to be scraped.
 */
import { PassThrough } from "node:stream"
import Fastify, { type FastifyInstance } from "fastify"
import type { Logger } from "pino"
import { CodedError, systemErrorCode } from "../../shared/errors.js"
import type { AgentControl } from "../agent/agent-status.js"
import { AgentError, errorFields } from "../errors.js"
import { AgentMetrics } from "../metrics/metrics.js"
import { listenForMetrics } from "../metrics/server.js"
import { type Refusal, type ReplaceLine, replaceRequestSchema } from "./messages.js"
import { listenOnUnixSocket } from "./unix-socket.js"

export interface AgentApiOptions {
  control: AgentControl
  /** `<run_dir>/agent.sock`; made with mode 0600. */
  socketPath: string
  /** `metrics.listen` of the configuration. */
  metricsListen?: string
  log: Logger
}

export interface AgentApi {
  /** Where the metrics are served besides, as a client connects to it. */
  metricsAddress?: string
  /** Ends open connections and removes the sockets. */
  close(): Promise<void>
}

/** Answers are whole sentences of JSON: nothing here is large or slow, but for a replacement. */
const MAX_BODY_BYTES = 16_384
const NDJSON = "application/x-ndjson"

/**
 * Starts the service.
 *
 * @throws AgentError `agent-runs-already` if an agent answers at the socket, `agent-socket-failed`,
 *   `metrics-listen-invalid`, `metrics-listen-failed`
 */
export async function startAgentApi(options: AgentApiOptions): Promise<AgentApi> {
  const { control, socketPath, metricsListen, log } = options
  const metrics = new AgentMetrics(() => control.status())
  const app = buildAgentApi(control, metrics, log)
  await app.ready()
  try {
    await listenOnUnixSocket(app.server, socketPath, 0o600)
  } catch (cause) {
    metrics.close()
    await app.close()
    throw socketRefusal(socketPath, cause)
  }
  const close = async () => {
    const closed = new Promise((resolve) => app.server.close(resolve))
    app.server.closeAllConnections()
    await closed
    await app.close()
    metrics.close()
  }
  if (metricsListen === undefined) return { close }
  try {
    const scraped = await listenForMetrics({ listen: metricsListen, metrics, log })
    return {
      metricsAddress: scraped.address,
      close: async () => void (await Promise.all([scraped.close(), close()])),
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** The service without its socket. */
export function buildAgentApi(
  control: AgentControl,
  metrics: AgentMetrics,
  log: Logger,
): FastifyInstance {
  const app = Fastify({ bodyLimit: MAX_BODY_BYTES })
  app.setErrorHandler((error, _request, reply) => {
    const refused = refusalOf(error)
    if (refused.code === "internal") log.error({ err: error }, "request failed")
    void reply.status(refused.code === "internal" ? 500 : 400).send({ error: refused })
  })
  app.setNotFoundHandler((_request, reply) => {
    const reason = "the agent has no such service"
    void reply.status(404).send({ error: { code: "unknown-op", reason, advice: "" } })
  })
  app.get("/status", () => control.status())
  app.get("/metrics", async (_request, reply) => {
    void reply.type(metrics.contentType)
    return metrics.text()
  })
  addReplace(app, control, log)
  return app
}

function addReplace(app: FastifyInstance, control: AgentControl, log: Logger): void {
  let running = false
  app.post("/enclave/replace", (request, reply) => {
    const parsed = replaceRequestSchema.safeParse(request.body ?? {})
    if (!parsed.success) {
      throw new AgentError("malformed-request", "the request to replace the enclave is malformed")
    }
    if (running) {
      throw new AgentError("enclave-replace-running", "the enclave is being replaced already", {
        advice: "Wait for it to end: tlskeep status shows the enclave.",
      })
    }
    running = true
    const lines = new PassThrough()
    const say = (line: ReplaceLine) => {
      // The client may be gone; the replacement goes on.
      if (!lines.destroyed) lines.write(`${JSON.stringify(line)}\n`)
    }
    log.info({ imagePath: parsed.data.imagePath }, "enclave to be replaced")
    control
      .replaceEnclave(parsed.data, (progress) => say({ progress }))
      .then(
        (result) => say({ result }),
        (error: unknown) => {
          log.error(errorFields(error), "enclave not replaced")
          say({ error: refusalOf(error) })
        },
      )
      .finally(() => {
        running = false
        lines.end()
      })
    return reply.type(NDJSON).send(lines)
  })
}

/** What the client is told; of what nobody foresaw, only that it happened. */
function refusalOf(error: unknown): Refusal {
  if (error instanceof AgentError) {
    return { code: error.code, reason: error.message, advice: error.advice }
  }
  if (error instanceof CodedError) return { code: error.code, reason: error.message, advice: "" }
  if (isClientsFault(error)) {
    return { code: "malformed-request", reason: error.message, advice: "" }
  }
  const reason = "the agent failed to answer"
  return { code: "internal", reason, advice: "Look at the agent's log." }
}

/** Errors of fastify's own carry the HTTP status they stand for. */
function isClientsFault(error: unknown): error is Error {
  if (!(error instanceof Error) || !("statusCode" in error)) return false
  return typeof error.statusCode === "number" && error.statusCode >= 400 && error.statusCode < 500
}

function socketRefusal(path: string, cause: unknown): AgentError {
  const reason = systemErrorCode(cause) ?? "failed"
  if (reason === "EADDRINUSE") {
    return new AgentError("agent-runs-already", `an agent answers at ${path} already`, {
      advice: "Stop it (systemctl stop tlskeep), or give this one an options.run_dir of its own.",
      cause,
    })
  }
  return new AgentError("agent-socket-failed", `cannot listen at ${path}: ${reason}`, {
    advice: "Run the agent as root, and keep options.run_dir shorter than 96 bytes.",
    cause,
  })
}
