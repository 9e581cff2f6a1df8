/** Pages of the token list, each within one frame. */
import { type CborValue, cborInteger, encodeCbor } from "../../shared/cbor.js"
import { encodeListedToken } from "../../shared/protocol/signing.js"
import type { UsagePolicy } from "../policy/usage-policy.js"
import type { Token } from "../token/token.js"
import type { TokenStore } from "../token/token-store.js"
import { fittingFrame } from "./page.js"

/** Room for what stands around the tokens: request id, status, generation, total, array heads. */
const ENVELOPE_BYTES = 64

/** `[generation, total, tokens]`: as many tokens from `offset` on as fit a frame. */
export function listPage(store: TokenStore, policy: UsagePolicy, offset: number): CborValue {
  const all = store.list()
  const page = fittingFrame(
    all.slice(offset),
    ENVELOPE_BYTES,
    (token) => listedToken(token, policy),
    (listed) => encodeCbor(listed).length,
  )
  return [cborInteger(store.generation), all.length, page]
}

function listedToken(token: Token, policy: UsagePolicy): CborValue {
  const { key } = token.current
  return encodeListedToken({
    label: token.label,
    certificates: token.certificates,
    publicKey: key.publicKey,
    mechanisms: policy.mechanismsFor(key),
    hashes: policy.hashesFor(key),
    decryptMechanisms: policy.decryptMechanismsFor(key),
    expires: Math.floor(token.expiresAt / 1_000),
  })
}
