/** Entry point of the enclave image for TLS servers: production's edges, the policy `tls-server`. */
import { TLS_SERVER_POLICY } from "./policy/tls-server.js"
import { runInProduction } from "./production.js"

await runInProduction(TLS_SERVER_POLICY)
