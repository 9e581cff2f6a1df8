/** The client of the agent's socket, as the commands use it. */
import { once } from "node:events"
import { type IncomingMessage, request } from "node:http"
import { createInterface } from "node:readline"
import { text } from "node:stream/consumers"
import type { z } from "zod"
import { systemErrorCode } from "../../shared/errors.js"
import type { AgentStatus } from "../agent/agent-status.js"
import { AgentError, type AgentErrorCode } from "../errors.js"
import {
  agentStatusSchema,
  errorAnswerSchema,
  type Refusal,
  type Replaced,
  type ReplaceRequest,
  replaceLineSchema,
} from "./messages.js"

/** The agent asks its enclave before it answers, which may take as long to fail. */
const ANSWER_TIMEOUT_MS = 30_000

/** Every method throws AgentError `agent-not-running`, `agent-socket-failed`, `agent-protocol`. */
export class AgentClient {
  readonly #socketPath: string

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  async status(): Promise<AgentStatus> {
    return checked(agentStatusSchema, parse(await this.#get("/status")))
  }

  /** In Prometheus' text format. */
  metrics(): Promise<string> {
    return this.#get("/metrics")
  }

  /**
   * Replaces the enclave; takes minutes.
   *
   * @param progress - called with a sentence at each step
   * @throws AgentError with the agent's code
   */
  async replaceEnclave(
    options: ReplaceRequest,
    progress: (step: string) => void,
  ): Promise<Replaced> {
    const answer = await this.#ask("POST", "/enclave/replace", JSON.stringify(options))
    try {
      for await (const line of createInterface({ input: answer })) {
        const message = checked(replaceLineSchema, parse(line))
        if ("progress" in message) progress(message.progress)
        else if ("result" in message) return message.result
        else throw refused(message.error)
      }
    } catch (cause) {
      if (cause instanceof AgentError) throw cause
      throw lost(cause)
    } finally {
      answer.destroy()
    }
    throw lost(undefined)
  }

  async #get(path: string): Promise<string> {
    const answer = await this.#ask("GET", path)
    const timer = setTimeout(() => answer.destroy(), ANSWER_TIMEOUT_MS)
    try {
      return await text(answer)
    } catch (cause) {
      throw lost(cause)
    } finally {
      clearTimeout(timer)
    }
  }

  async #ask(method: string, path: string, body?: string): Promise<IncomingMessage> {
    const headers = body === undefined ? {} : { "content-type": "application/json" }
    const asked = request({ socketPath: this.#socketPath, method, path, headers, agent: false })
    const timer = setTimeout(() => asked.destroy(new Error("no answer")), ANSWER_TIMEOUT_MS)
    let answer: IncomingMessage
    try {
      const answered = once(asked, "response")
      asked.end(body)
      ;[answer] = (await answered) as [IncomingMessage]
    } catch (cause) {
      throw this.#notReached(cause)
    } finally {
      clearTimeout(timer)
    }
    if (answer.statusCode === 200) return answer
    throw refused(checked(errorAnswerSchema, parse(await text(answer))).error)
  }

  #notReached(cause: unknown): AgentError {
    const reason = systemErrorCode(cause)
    if (reason === "ENOENT" || reason === "ECONNREFUSED") {
      return new AgentError("agent-not-running", `no agent answers at ${this.#socketPath}`, {
        advice: "Start it (systemctl start tlskeep); see why it ended by journalctl -u tlskeep.",
        cause,
      })
    }
    const said = reason ?? (cause instanceof Error ? cause.message : "failed")
    return new AgentError("agent-socket-failed", `cannot ask ${this.#socketPath}: ${said}`, {
      advice: reason === "EACCES" ? "Run this command as root." : "Look at the agent's log.",
      cause,
    })
  }
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (cause) {
    throw malformed(cause)
  }
}

function checked<Output>(schema: z.ZodType<Output>, value: unknown): Output {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw malformed(parsed.error)
}

function malformed(cause: unknown): AgentError {
  return new AgentError("agent-protocol", "the agent's answer is malformed", {
    advice: "Restart the agent: it may be of another version than this command.",
    cause,
  })
}

/** The agent's own error; its codes are this program's, unless it is of another version. */
function refused({ code, reason, advice }: Refusal): AgentError {
  return new AgentError(code as AgentErrorCode, reason, { advice })
}

function lost(cause: unknown): AgentError {
  return new AgentError("agent-protocol", "the agent hung up before it had answered", {
    advice: "See by tlskeep status and the agent's log how far it came.",
    cause,
  })
}
