/**
 * Types of the two parts of node-forge that are loaded by themselves. The whole has ciphers, TLS and random
 * numbers of its own, which an enclave neither needs nor has the memory for.
 */
declare module "node-forge/lib/asn1.js" {
  import type forge from "node-forge"

  const asn1: typeof forge.asn1
  export default asn1
}

declare module "node-forge/lib/util.js" {
  import type forge from "node-forge"

  const util: typeof forge.util
  export default util
}
