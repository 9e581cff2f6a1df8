/** What the figures were measured on and with. */
import { cpus, loadavg, release, totalmem } from "node:os"
import { execa } from "execa"
import { VERSION } from "../../shared/version.js"
import type { Report } from "../report/schema.js"

const PACKAGES = [
  "apache2-bin",
  "libengine-pkcs11-openssl",
  "pkcs11-provider",
  "p11-kit",
  "softhsm2",
] as const

/** The load of the last minute. */
export function loadAverage(): number {
  return loadavg()[0] ?? 0
}

/** @param before - the run: its load, and the round trip over pipes */
export function machineOf(
  before: { load: number; pipeRoundTripUs: number | null },
  loadAfter: number,
): Report["machine"] {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memory_mib: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    load_average: [before.load, loadAfter],
    pipe_round_trip_us: before.pipeRoundTripUs,
  }
}

/** Of Node.js, OpenSSL and Debian's packages, as far as they are there. */
export async function versions(): Promise<Record<string, string>> {
  const { stdout } = await execa("openssl", ["version"])
  const found: Record<string, string> = {
    tlskeep: VERSION,
    "Node.js": process.versions.node,
    OpenSSL: stdout.split(" ")[1] ?? stdout,
  }
  for (const name of PACKAGES) {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg's own syntax
    const query = await execa("dpkg-query", ["-W", "-f=${Version}", name], { reject: false })
    if (query.exitCode === 0) found[name] = query.stdout
  }
  return found
}
