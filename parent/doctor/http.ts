/** One small HTTP request for a check: bounded in time and size. */
import { request as requestHttp } from "node:http"
import { request as requestHttps } from "node:https"
import { CodedError } from "../../shared/errors.js"

export interface HttpRequest {
  url: string
  method?: "GET" | "HEAD" | "PUT"
  headers?: Readonly<Record<string, string>>
  /** Certificates trusted beside Node's, PEM. */
  ca?: string | undefined
  timeoutMs?: number
}

export interface HttpAnswer {
  status: number
  headers: Readonly<Record<string, string | string[] | undefined>>
  body: string
}

const TIMEOUT_MS = 5_000
const MAX_BODY_BYTES = 65_536

/** @throws the socket's error; CodedError `request-timeout`, `answer-too-large` */
export function httpRequest(options: HttpRequest): Promise<HttpAnswer> {
  const { url, method = "GET", headers = {}, ca, timeoutMs = TIMEOUT_MS } = options
  const request = url.startsWith("https:") ? requestHttps : requestHttp
  return new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      {
        method,
        headers,
        agent: false,
        ...(ca === undefined ? {} : { ca }),
      },
      (incoming) => {
        const chunks: Buffer[] = []
        let size = 0
        incoming.on("data", (chunk: Buffer) => {
          size += chunk.length
          chunks.push(chunk)
          if (size > MAX_BODY_BYTES) {
            incoming.destroy(new CodedError("answer-too-large", `${url} answers too much`))
          }
        })
        incoming.once("error", reject)
        incoming.once("end", () => {
          clearTimeout(timer)
          const body = Buffer.concat(chunks).toString("utf8")
          resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body })
        })
      },
    )
    const timer = setTimeout(() => {
      outgoing.destroy(new CodedError("request-timeout", `no answer in ${timeoutMs} ms`))
    }, timeoutMs)
    outgoing.once("close", () => clearTimeout(timer))
    outgoing.once("error", reject)
    outgoing.end()
  })
}
