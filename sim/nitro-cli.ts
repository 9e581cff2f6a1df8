/** Entry point of the simulated nitro-cli; `TLSKEEP_SIM_DIR` names the simulator's directory. */
import { runNitroCli } from "./nitro/cli.js"

process.exitCode = await runNitroCli(process.argv.slice(2), process.env)
