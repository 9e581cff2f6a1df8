/** DER DigestInfo (RFC 8017, 9.2 note 1): what RSASSA-PKCS1-v1_5 signs. */
import { HASH_BYTES, type HashName } from "../../shared/protocol/signing.js"

/** The fixed bytes before the hash value, RFC 8017, 9.2 note 1. A policy says which it takes. */
export const DIGEST_INFO_PREFIX: Readonly<Record<HashName, Buffer>> = {
  "SHA-1": Buffer.from("3021300906052b0e03021a05000414", "hex"),
  "SHA-224": Buffer.from("302d300d06096086480165030402040500041c", "hex"),
  "SHA-256": Buffer.from("3031300d060960864801650304020105000420", "hex"),
  "SHA-384": Buffer.from("3041300d060960864801650304020205000430", "hex"),
  "SHA-512": Buffer.from("3051300d060960864801650304020305000440", "hex"),
}

/** True if `data` is exactly a DigestInfo of one of `hashes`. */
export function isDigestInfo(data: Uint8Array, hashes: readonly HashName[]): boolean {
  return hashes.some((hash) => {
    const prefix = DIGEST_INFO_PREFIX[hash]
    return (
      data.length === prefix.length + HASH_BYTES[hash] &&
      prefix.equals(data.subarray(0, prefix.length))
    )
  })
}
