/**
 * Entry point of the enclave image. Everything that it trusts is named here and measured with it:
 * the real NSM, Amazon's roots, the policy `tls-server`; the parent can set none of it.
 */
import { pino } from "pino"
import { openNsmDevice, VMADDR_CID_ANY } from "../native/addon/index.js"
import { vsockTransport } from "../native/addon/vsock-transport.js"
import {
  CONTROL_PORT,
  KMS_RELAY_PORT,
  PARENT_CID,
  SIGNING_PORT,
} from "../shared/protocol/limits.js"
import { AMAZON_ROOTS } from "./kms/amazon-roots.js"
import { TLS_SERVER_POLICY } from "./policy/tls-server.js"
import { runEnclave } from "./run.js"

const log = pino({ name: "tlskeep-enclave" })

try {
  await runEnclave({
    nsm: openNsmDevice(),
    policy: TLS_SERVER_POLICY,
    kmsRoots: AMAZON_ROOTS,
    connectKmsRelay: () =>
      vsockTransport.connect({ cid: PARENT_CID, port: KMS_RELAY_PORT, timeoutMs: 10_000 }),
    signing: { kind: "vsock", cid: VMADDR_CID_ANY, port: SIGNING_PORT },
    control: { kind: "vsock", cid: VMADDR_CID_ANY, port: CONTROL_PORT },
    transport: { vsock: vsockTransport },
    log,
  })
} catch (error) {
  log.fatal({ err: error }, "the enclave cannot start")
  process.exitCode = 1
}
