/** Entry point of the VMM process: `node vmm.js <simulator directory> <enclave id>`, by nitro-cli only. */
import { pino } from "pino"
import { NitroCliError } from "./nitro/errors.js"
import type { VmmReport } from "./nitro/run-enclave.js"
import { bootVm, watchPower } from "./nitro/vmm.js"
import { simPaths } from "./paths.js"

const [dir, enclaveId] = process.argv.slice(2)
if (dir === undefined || enclaveId === undefined) throw new Error("started without its arguments")
const paths = simPaths(dir)
const log = pino({ name: "vmm" })

try {
  const vm = await bootVm(paths, enclaveId, log)
  process.on("SIGTERM", vm.powerOff)
  process.on("SIGINT", vm.powerOff)
  watchPower(paths, vm.powerOff)
  report({ outcome: "running" })
  await vm.ended
  process.exit(0)
} catch (error) {
  log.error({ err: error }, "the enclave did not boot")
  const { code, message } =
    error instanceof NitroCliError ? error : new NitroCliError("E36", "The VMM failed.")
  report({ outcome: "failed", code, message }, () => process.exit(1))
}

/** nitro-cli may have gone away, which changes nothing. */
function report(message: VmmReport, done: () => void = () => {}): void {
  if (process.send && process.connected) process.send(message, done)
  else done()
}
