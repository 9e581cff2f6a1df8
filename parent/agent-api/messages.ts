/** What travels over the agent's socket, as schemas: the client checks the answers with them. */
import { z } from "zod"
import { enclaveDescriptionSchema, tokenDescriptionSchema } from "../../shared/protocol/control.js"
import type { AgentStatus } from "../agent/agent-status.js"

/** The socket's name in the run directory. */
export const AGENT_SOCKET = "agent.sock"

const time = z.number()

const errorRecordSchema = z.object({
  code: z.string(),
  reason: z.string(),
  advice: z.string().exactOptional(),
  at: time,
})

const enclaveStatusSchema = z.object({
  state: z.enum(["starting", "up", "down"]),
  since: time,
  enclaveId: z.string().exactOptional(),
  cid: z.number().exactOptional(),
  imagePath: z.string().exactOptional(),
  adopted: z.boolean().exactOptional(),
  description: enclaveDescriptionSchema.omit({ tokens: true }).exactOptional(),
  reconnects: z.number(),
  error: errorRecordSchema.exactOptional(),
  nextTryAt: time.exactOptional(),
})

const certificateStatusSchema = z.object({
  subject: z.string(),
  names: z.array(z.string()),
  serialNumber: z.string(),
  notBefore: time,
  notAfter: time,
  fingerprint: z.string(),
})

export const TOKEN_STATES = ["pending", "serving", "degraded", "failed", "released"] as const

const tokenStatusSchema = z.object({
  label: z.string(),
  state: z.enum(TOKEN_STATES),
  source: z.string(),
  target: z.string(),
  certificate: certificateStatusSchema.exactOptional(),
  syncedAt: time.exactOptional(),
  publishedAt: time.exactOptional(),
  nextSyncAt: time.exactOptional(),
  nextRefreshAt: time.exactOptional(),
  nextRetryAt: time.exactOptional(),
  failures: z.number(),
  error: errorRecordSchema.exactOptional(),
  enclave: tokenDescriptionSchema.exactOptional(),
})

/** The answer to `GET /status`. */
export const agentStatusSchema: z.ZodType<AgentStatus> = z.object({
  version: z.string(),
  pid: z.number(),
  startedAt: time,
  now: time,
  configFile: z.string(),
  enclave: enclaveStatusSchema,
  tokens: z.array(tokenStatusSchema),
})

/** The body of `POST /enclave/replace`; the path is absolute. */
export const replaceRequestSchema = z.strictObject({
  imagePath: z.string().startsWith("/").exactOptional(),
})
export type ReplaceRequest = z.infer<typeof replaceRequestSchema>

const replacedSchema = z.object({ enclaveId: z.string(), pcr0: z.string() })
export type Replaced = z.infer<typeof replacedSchema>

const refusalSchema = z.object({ code: z.string(), reason: z.string(), advice: z.string() })
export type Refusal = z.infer<typeof refusalSchema>

/** A line of the answer to `POST /enclave/replace`; the last one is a result or an error. */
export const replaceLineSchema = z.union([
  z.strictObject({ progress: z.string() }),
  z.strictObject({ result: replacedSchema }),
  z.strictObject({ error: refusalSchema }),
])
export type ReplaceLine = z.infer<typeof replaceLineSchema>

/** The body of every answer that is no success. */
export const errorAnswerSchema = z.object({ error: refusalSchema })
