/**
 * Entry point of the enclave image. Everything that it trusts is named here and measured with it:
 * the real NSM, Amazon's roots, the policy `tls-server`; the parent can set none of it.
 */
import { pino } from "pino"
import { connectVsock, listenVsock, openNsmDevice } from "../native/addon/index.js"
import {
  CONTROL_PORT,
  KMS_RELAY_PORT,
  PARENT_CID,
  SIGNING_PORT,
} from "../shared/protocol/limits.js"
import type { TransportOptions } from "../shared/transport/transport.js"
import { AMAZON_ROOTS } from "./kms/amazon-roots.js"
import { TLS_SERVER_POLICY } from "./policy/tls-server.js"
import { runEnclave } from "./run.js"

/** VMADDR_CID_ANY, vsock(7): whatever CID the hypervisor gave this enclave. */
const ANY_CID = 0xffff_ffff

const log = pino({ name: "tlskeep-enclave" })
const transport: TransportOptions = {
  vsock: {
    connect: connectVsock,
    listen: (port, onConnection) => listenVsock({ port, cid: ANY_CID }, onConnection),
  },
}

try {
  await runEnclave({
    nsm: openNsmDevice(),
    policy: TLS_SERVER_POLICY,
    kmsRoots: AMAZON_ROOTS,
    connectKmsRelay: () =>
      connectVsock({ cid: PARENT_CID, port: KMS_RELAY_PORT, timeoutMs: 10_000 }),
    signing: { kind: "vsock", cid: ANY_CID, port: SIGNING_PORT },
    control: { kind: "vsock", cid: ANY_CID, port: CONTROL_PORT },
    transport,
    log,
  })
} catch (error) {
  log.fatal({ err: error }, "the enclave cannot start")
  process.exitCode = 1
}
