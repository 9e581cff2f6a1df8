/** The simulated Nitro Secure Module and its PKI. */
export {
  extendedPcr,
  PCR_BYTES,
  pcr3OfRole,
  pcr4OfInstance,
  pcrExtendedOnce,
  pcrOfImage,
} from "./measurements.js"
export { SimulatedNsm, type SimulatedNsmOptions } from "./nsm.js"
export {
  createNitroPki,
  type Leaf,
  loadNitroPki,
  makeRootAuthority,
  NitroPki,
  ROOT_FINGERPRINT_FILE,
} from "./pki.js"
