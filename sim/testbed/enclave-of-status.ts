/** What `tlskeep status --json` tells of the enclave, whoever tells it: the agent, or the enclave itself. */
import { z } from "zod"

const agentStatusSchema = z.looseObject({
  enclave: z.looseObject({ description: z.looseObject({}).optional() }),
  tokens: z.array(z.looseObject({ enclave: z.looseObject({}).optional() })),
})

/** The enclave's description with its tokens, yet to be checked. */
export function enclaveOfStatus(json: string): unknown {
  const status: unknown = JSON.parse(json)
  const agent = agentStatusSchema.safeParse(status)
  if (!agent.success) return status
  const { enclave, tokens } = agent.data
  return { ...enclave.description, tokens: tokens.flatMap((token) => token.enclave ?? []) }
}
