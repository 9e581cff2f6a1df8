/** The typed surface of the Node addon: signing keys, AF_VSOCK sockets and the NSM device. */

export { AddonError, isAddonError } from "./addon-error.js"
export {
  type PssParameters,
  type SignCallback,
  type SigningHash,
  SigningKey,
  type SigningKeyErrorCode,
  type SigningMechanism,
} from "./signing-key.js"
