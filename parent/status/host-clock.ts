/** The enclave's clock is its own: its tokens' times, told by the host's clock. */
import type { AgentStatus } from "../agent/agent-status.js"

/** The enclave's clock less the host's, ms; undefined where the enclave does not answer. */
export function clockSkewMs({ enclave, now }: AgentStatus): number | undefined {
  return enclave.description === undefined ? undefined : enclave.description.now - now
}

/** The status with every token's times as the host's clock had them. */
export function byHostClock(status: AgentStatus): AgentStatus {
  const skewMs = clockSkewMs(status) ?? 0
  const tokens = status.tokens.map((token) => {
    if (token.enclave === undefined) return token
    const { attestedAt, expiresAt } = token.enclave
    const enclave = {
      ...token.enclave,
      attestedAt: attestedAt - skewMs,
      expiresAt: expiresAt - skewMs,
    }
    return { ...token, enclave }
  })
  return { ...status, tokens }
}
