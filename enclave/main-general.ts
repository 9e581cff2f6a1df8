/**
 * Entry point of the enclave image for other uses of keys: production's edges, the policy `general`.
 * Another program than `main.ts`, so another PCR0: a KMS key policy that names the one refuses the
 * other.
 */
import { GENERAL_POLICY } from "./policy/general.js"
import { runInProduction } from "./production.js"

await runInProduction(GENERAL_POLICY)
