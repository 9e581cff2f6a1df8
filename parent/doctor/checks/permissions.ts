/** Files that hold secrets, or that decide where the module connects: closed to those they are not for. */
import type { Stats } from "node:fs"
import { readdir, readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import type { Config } from "../../config/config.js"
import type { DoctorContext } from "../context.js"
import { type Finding, Reporter } from "../finding.js"
import type { ConfiguredCheck } from "../run.js"
import { keyFile, runFiles } from "../run-files.js"

const report = new Reporter("permissions")
const OTHERS_READ = 0o004
const OTHERS_ANY = 0o007
const OTHERS_WRITE = 0o002
const BEYOND_OWNER = 0o077

export const permissions: ConfiguredCheck = {
  name: "permissions",
  runConfigured: async (context, config) => {
    const findings = [
      ...(await configFindings(context, config)),
      ...(await runDirFindings(config)),
      ...(await targetFindings(config)),
    ]
    return findings.length > 0 ? findings : [report.ok("secrets are closed to other users")]
  },
}

async function configFindings({ configFile }: DoctorContext, config: Config): Promise<Finding[]> {
  const mode = (await modeOf(configFile))?.mode ?? 0
  if ((mode & OTHERS_READ) === 0 || !config.tokens.some(({ pin }) => pin !== undefined)) return []
  return [
    report.problem(
      "config-pin-readable",
      "every user can read the PINs in the configuration",
      `${configFile} has mode ${octal(mode)}.`,
      `chmod 600 ${configFile}, then give the tokens other PINs, or none: the agent makes its own.`,
    ),
  ]
}

async function runDirFindings(config: Config): Promise<Finding[]> {
  const files = runFiles(config)
  const dir = await modeOf(files.dir)
  if (dir === undefined) {
    return [
      report.unknown(
        "run-dir-missing",
        "there is no run directory yet",
        `${files.dir} is not there.`,
        "Start the agent, which makes it.",
      ),
    ]
  }
  const secret = (await modeOf(files.controlSecret))?.mode ?? 0
  return [
    ...(dir.uid === 0 ? [] : [notRoots(files.dir)]),
    ...((dir.mode & OTHERS_WRITE) === 0 ? [] : [writable(files.dir, dir.mode)]),
    ...((secret & BEYOND_OWNER) === 0 ? [] : [openSecret(files.controlSecret, secret)]),
    ...(await pinFindings(files.pins)),
  ]
}

function notRoots(dir: string): Finding {
  return report.problem(
    "run-dir-not-roots",
    "the run directory does not belong to root",
    `Who owns ${dir} can point web servers at an enclave of his own.`,
    `chown root:root ${dir}`,
  )
}

function writable(dir: string, mode: number): Finding {
  return report.problem(
    "run-dir-writable",
    "every user can write to the run directory",
    `${dir} has mode ${octal(mode)}: anyone can put another endpoint file there.`,
    `chmod 755 ${dir}, and restart the agent.`,
  )
}

function openSecret(path: string, mode: number): Finding {
  return report.problem(
    "control-secret-readable",
    "the secret that manages the enclave is open to others",
    `${path} has mode ${octal(mode)}.`,
    `chmod 600 ${path}, then replace the enclave (tlskeep enclave replace), which gets a new one.`,
  )
}

async function pinFindings(dir: string): Promise<Finding[]> {
  const names = await readdir(dir).catch((): string[] => [])
  const modes = await Promise.all(
    names.map(async (name) => ({ name, mode: (await modeOf(join(dir, name)))?.mode ?? 0 })),
  )
  const open = modes.filter(({ mode }) => (mode & OTHERS_ANY) !== 0)
  const [first] = open
  if (first === undefined) return []
  const count = open.length === 1 ? "a token's PIN" : `the PINs of ${open.length} tokens`
  return [
    report.problem(
      "pin-readable",
      `every user can read ${count}`,
      `${join(dir, first.name)} has mode ${octal(first.mode)}.`,
      `chmod 640 ${join(dir, "*.pin")}; a PIN that others had is to be changed: remove its file and restart the agent.`,
    ),
  ]
}

/** Where a PIN stands in the server's own file. */
async function targetFindings(config: Config): Promise<Finding[]> {
  const targets = config.tokens.flatMap((token) => [token.target.path, keyFile(config, token)])
  const paths = [...new Set(targets)]
  const found = await Promise.all(
    paths.map(async (path) => {
      const mode = (await modeOf(path))?.mode ?? 0
      if ((mode & OTHERS_READ) === 0) return []
      const text = await readFile(path, "utf8").catch(() => "")
      return holdsPin(text) ? [openTarget(path, mode)] : []
    }),
  )
  return found.flat()
}

/** A URI with the PIN in it, in plain sight or in a provider's PEM form of it. */
function holdsPin(text: string): boolean {
  const [, body = ""] = /^-----BEGIN [^-]+-----\n([^-]+)-----END/m.exec(text) ?? []
  return [text, Buffer.from(body, "base64").toString("latin1")].some((one) =>
    one.includes("pin-value="),
  )
}

function openTarget(path: string, mode: number): Finding {
  return report.problem(
    "target-pin-readable",
    "every user can read a PIN in the web server's configuration",
    `${path} has mode ${octal(mode)} and a URI with pin-value.`,
    `chmod 640 ${path}, or set options.pin_delivery: file where the server can read PINs from files.`,
  )
}

async function modeOf(path: string): Promise<Stats | undefined> {
  return stat(path).catch(() => undefined)
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0")
}
