/**
 * The simulator's entry point of the enclave: the production service with simulated edges. It is
 * another program than `enclave/main.ts`, so a key policy that names the one refuses the other.
 */
import { TLS_SERVER_POLICY } from "../enclave/policy/tls-server.js"
import { runSimulatedEnclave } from "./enclave-edges.js"

await runSimulatedEnclave(TLS_SERVER_POLICY)
