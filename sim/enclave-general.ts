/** The simulator's entry point of the enclave under the policy `general`, as `enclave/main-general.ts`. */
import { GENERAL_POLICY } from "../enclave/policy/general.js"
import { runSimulatedEnclave } from "./enclave-edges.js"

await runSimulatedEnclave(GENERAL_POLICY)
