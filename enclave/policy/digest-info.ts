/** DER DigestInfo (RFC 8017, 9.2 note 1): what RSASSA-PKCS1-v1_5 signs. */
import type { HashName } from "../../shared/protocol/signing.js"

/** The fixed bytes before the hash value, RFC 8017, 9.2 note 1. */
export const DIGEST_INFO_PREFIX: Readonly<Record<HashName, Buffer>> = {
  "SHA-256": Buffer.from("3031300d060960864801650304020105000420", "hex"),
  "SHA-384": Buffer.from("3041300d060960864801650304020205000430", "hex"),
  "SHA-512": Buffer.from("3051300d060960864801650304020305000440", "hex"),
}

const BY_LENGTH: ReadonlyMap<number, Buffer> = new Map([
  [19 + 32, DIGEST_INFO_PREFIX["SHA-256"]],
  [19 + 48, DIGEST_INFO_PREFIX["SHA-384"]],
  [19 + 64, DIGEST_INFO_PREFIX["SHA-512"]],
])

/** True if `data` is exactly a DigestInfo of SHA-256, SHA-384 or SHA-512. */
export function isDigestInfo(data: Uint8Array): boolean {
  const prefix = BY_LENGTH.get(data.length)
  return prefix?.equals(data.subarray(0, prefix.length)) ?? false
}
