/** Pages of the token list, each within one frame. */
import { type CborValue, cborInteger, encodeCbor } from "../../shared/cbor.js"
import { encodeListedToken, type ListedKey } from "../../shared/protocol/signing.js"
import type { UsagePolicy } from "../policy/usage-policy.js"
import type { HeldKey, Token } from "../token/token.js"
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
  const { current, next, retiring } = token
  return encodeListedToken({
    label: token.label,
    certificates: current.certificates,
    ...listedKey(current, policy),
    furtherKeys: [
      ...(next === undefined ? [] : [{ state: "next" as const, ...listedKey(next, policy) }]),
      ...retiring.map(({ held }) => ({ state: "retiring" as const, ...listedKey(held, policy) })),
    ],
    expires: Math.floor(token.expiresAt / 1_000),
  })
}

function listedKey({ key }: HeldKey, policy: UsagePolicy): ListedKey {
  return {
    publicKey: key.publicKey,
    mechanisms: policy.mechanismsFor(key),
    hashes: policy.hashesFor(key),
    decryptMechanisms: policy.decryptMechanismsFor(key),
  }
}
