/** Entry point of the simulator: `up` for everything below one directory, or one service alone. */
import { Command } from "commander"
import { pino } from "pino"
import { CodedError } from "../shared/errors.js"
import { acmCommand } from "./acm/command.js"
import { ensurePrincipals, SESSION_TTL_SECS } from "./iam/principals.js"
import { stopWithParent } from "./lifecycle.js"
import { type SimPaths, simPaths } from "./paths.js"
import { ensureIdentities } from "./server-identity.js"
import { runIam, runImds, runKms, runS3, runVsockProxy } from "./services.js"

interface ServiceFlags {
  dir: string
  port: string
}

const program = new Command("tlskeep-sim").description("a local AWS for tlskeep")

program
  .command("up")
  .description("start everything and hold it; prints 'ready' when all answer")
  .requiredOption("--dir <dir>", "the simulator's directory; made if it is not there")
  .option("--record", "keep all bytes that pass between parent and enclaves", false)
  .action(up)

service("kms")
  .option("--nitro-root <file>", "SHA-256 fingerprint of the root of attestation documents")
  .action(async (flags: ServiceFlags & { nitroRoot?: string }) =>
    runKms({ ...(await prepare(flags, "kms")), rootFingerprintFile: flags.nitroRoot }),
  )
service("s3").action(async (flags: ServiceFlags) => runS3(await prepare(flags, "s3")))
service("iam").action(async (flags: ServiceFlags) => runIam(await prepare(flags, "iam")))
service("imds")
  .option("--session-ttl-secs <n>", "life of the role's sessions", String(SESSION_TTL_SECS))
  .action(async (flags: ServiceFlags & { sessionTtlSecs: string }) =>
    runImds({
      ...(await prepare(flags, "imds")),
      sessionTtlSecs: wholeNumber(flags.sessionTtlSecs),
    }),
  )

program.addCommand(acmCommand())
program
  .command("vsock-proxy")
  .option("--dir <dir>", "the simulator's directory", process.env.TLSKEEP_SIM_DIR)
  .option("-4, --ipv4", "accepted and ignored")
  .option("-6, --ipv6", "accepted and ignored")
  .option("-w, --num_workers <n>", "most connections relayed at once", "4")
  .option("--config <file>", "YAML allowlist")
  .argument("<local_port>")
  .argument("<remote_addr>")
  .argument("<remote_port>")
  .action(vsockProxy)

try {
  await program.parseAsync()
} catch (error) {
  const message = error instanceof CodedError ? error.message : String(error)
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

function service(name: string): Command {
  return program
    .command(name)
    .requiredOption("--dir <dir>", "the simulator's directory")
    .option("--port <port>", "on 127.0.0.1; 0 for any", "0")
}

async function prepare(flags: ServiceFlags, name: string) {
  const paths = simPaths(flags.dir)
  await ensureIdentities(paths)
  ensurePrincipals(paths)
  return { paths, port: wholeNumber(flags.port), log: pino({ name: `sim-${name}` }) }
}

async function up({ dir, record }: { dir: string; record: boolean }): Promise<void> {
  const { startSimulator } = await import("./up.js")
  const paths: SimPaths = simPaths(dir)
  const simulator = await startSimulator(
    paths,
    record,
    pino({ name: "sim-up" }, pino.destination(2)),
  )
  stopWithParent(() => simulator.stop())
  process.stdout.write("ready\n")
  const failed = await simulator.failed
  process.stderr.write(`the service ${failed} has ended; see log/${failed}.log\n`)
  await simulator.stop()
  process.exit(1)
}

async function vsockProxy(
  localPort: string,
  remoteAddress: string,
  remotePort: string,
  flags: { dir?: string; num_workers: string; config?: string },
): Promise<void> {
  if (flags.dir === undefined) throw new CodedError("bad-argument", "TLSKEEP_SIM_DIR is not set")
  const paths = simPaths(flags.dir)
  await runVsockProxy({
    paths,
    localPort: wholeNumber(localPort),
    remoteAddress,
    remotePort: wholeNumber(remotePort),
    workers: Math.max(1, wholeNumber(flags.num_workers)),
    configFile: flags.config ?? paths.vsockProxyConfig,
    log: pino({ name: "vsock-proxy" }),
  })
}

function wholeNumber(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new CodedError("bad-argument", `'${text}' is not a whole number`)
}
