/**
 * Entry point of the enclave image that the tests boot in a virtual machine: production's, with the
 * real NSM device and AF_VSOCK, but for two edges. KMS is vouched for by the roots in the file beside
 * the program, and the parent is CID 2, where vhost-device-vsock has it. Both are in the image and so
 * measured: it has another PCR0 than production's, and a key policy that names the one refuses the
 * other.
 */
import { readFileSync } from "node:fs"
import { TLS_SERVER_POLICY } from "../enclave/policy/tls-server.js"
import { runInProduction } from "../enclave/production.js"

/** VMADDR_CID_HOST, vsock(7). */
const HOST_CID = 2

await runInProduction(TLS_SERVER_POLICY, {
  kmsRoots: [readFileSync(new URL("kms-root.pem", import.meta.url), "utf8")],
  parentCid: HOST_CID,
})
