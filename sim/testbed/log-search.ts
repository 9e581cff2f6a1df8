/** Looks for secrets in everything that the processes of a testbed logged. */
import { readdirSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { readPrincipals } from "../iam/principals.js"
import { simPaths } from "../paths.js"
import { type Needle, needlesOf } from "./key-material.js"
import { type SearchResult, searchFiles } from "./key-search.js"

export interface LogSecrets {
  /** PEM, PKCS #8. */
  privateKeys: readonly string[]
  /** PINs that configurations name. */
  pins: readonly string[]
}

/** What is in no log, whoever's it is. */
const NEVER: readonly Needle[] = [
  { name: "a PIN in a URI", bytes: Buffer.from("pin-value=") },
  { name: "a private key", bytes: Buffer.from("PRIVATE KEY-----") },
]

/**
 * Searches every `*.log` below a testbed's directory, and the KMS's audit trail, for PINs, private keys,
 * credentials that were ever given out, the agents' control secrets, and URIs with a PIN.
 */
export function searchLogs(dir: string, secrets: LogSecrets): Promise<SearchResult> {
  const needles = [
    ...NEVER,
    ...secrets.privateKeys.flatMap(needlesOf),
    ...secrets.pins.map((pin) => ({ name: "a configured PIN", bytes: Buffer.from(pin) })),
    ...agentSecrets(dir),
    ...credentials(join(dir, "aws")),
  ]
  return searchFiles(dir, needles, (path) => /\.log$|^audit\.jsonl$/.test(basename(path)))
}

/** PINs and control secrets of every run directory. */
function agentSecrets(dir: string): Needle[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true }).flatMap((entry) => {
    const isSecret = entry.name === "control-secret" || entry.name.endsWith(".pin")
    if (!entry.isFile() || !isSecret) return []
    const text = readFileSync(join(entry.parentPath, entry.name), "utf8").trim()
    return text === "" ? [] : [{ name: `the content of ${entry.name}`, bytes: Buffer.from(text) }]
  })
}

function credentials(simDir: string): Needle[] {
  return readPrincipals(simPaths(simDir)).flatMap(({ secretAccessKey, sessionToken }) =>
    [secretAccessKey, sessionToken ?? ""]
      .filter((text) => text !== "")
      .map((text) => ({ name: "AWS credentials", bytes: Buffer.from(text) })),
  )
}
