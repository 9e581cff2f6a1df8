/** The enclave's client of the Nitro Secure Module. */
export { MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, type NsmDevice } from "./device.js"
export { type EntropyErrorCode, requireNsmEntropy } from "./entropy.js"
export { NsmError, type NsmErrorCode } from "./errors.js"
export { Nsm } from "./nsm.js"
export type { AttestationRequest } from "./requests.js"
export type { NsmDescription, PcrDescription } from "./responses.js"
