/**
 * Status codes of the signing service, and the CK_RV each becomes in the module. PROTOCOL.md holds
 * the same table for readers; `native/pkcs11/src/protocol_status.h` for the module; a test compares them.
 */

export const SIGNING_STATUS = {
  ok: 0,
  "malformed-request": 1,
  "frame-too-large": 2,
  "hello-required": 3,
  "unsupported-version": 4,
  "unknown-op": 5,
  "unknown-token": 6,
  "unknown-key": 7,
  "pin-incorrect": 8,
  "login-required": 9,
  "mechanism-refused": 10,
  "mechanism-param-refused": 11,
  "data-refused": 12,
  "data-len-range": 13,
  busy: 14,
  internal: 15,
  "encrypted-data-invalid": 16,
  "encrypted-data-len-range": 17,
} as const

export type SigningStatusName = keyof typeof SIGNING_STATUS
/** What a refused signing request answers: any status but ok. */
export type SigningErrorCode = Exclude<SigningStatusName, "ok">
export type SigningStatus = (typeof SIGNING_STATUS)[SigningStatusName]

const NAMES = new Map<number, SigningStatusName>(
  Object.entries(SIGNING_STATUS).map(([name, status]) => [status, name as SigningStatusName]),
)

/** The name of a status, or undefined for a number that is none. */
export function signingStatusName(status: number): SigningStatusName | undefined {
  return NAMES.get(status)
}
