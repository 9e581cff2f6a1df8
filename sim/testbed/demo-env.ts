/** What a person needs to use the demo's token by hand, as shell assignments. */
import { readFile } from "node:fs/promises"
import type { Apache } from "./apache.js"
import { CHECKOUT } from "./checkout.js"
import { readSnippet } from "./snippet.js"
import type { Testbed } from "./testbed.js"

export interface DemoTokenOptions {
  testbed: Testbed
  apache: Apache
  label: string
  configFile: string
  /** Pid of the process that holds it all. */
  pid: number
  stopCommand: string
}

/** The assignments, by name; the README lists what each is for. */
export async function demoVariables(options: DemoTokenOptions): Promise<Record<string, string>> {
  const { testbed, apache, label, configFile, pid, stopCommand } = options
  const { keyUri, certificateFile } = await readSnippet(apache)
  const [, pinFile = ""] = keyUri.split("?pin-source=file:")
  // By the token's label, unlike the server's files: it stays true over renewals.
  const named = encodeURIComponent(label)
  const path = `pkcs11:token=${named};object=${named};type=private`
  return {
    TLSKEEP_ENDPOINT: (await readFile(testbed.endpointFile, "utf8")).trim(),
    TLSKEEP_MODULE: CHECKOUT.module,
    TLSKEEP_TOKEN_LABEL: label,
    TLSKEEP_PIN_FILE: decodeURIComponent(pinFile),
    TLSKEEP_KEY_URI: path,
    TLSKEEP_KEY_URI_WITH_PIN_SOURCE: `${path}?pin-source=file:${pinFile}`,
    TLSKEEP_CERTIFICATE_URI: path.replace("type=private", "type=cert"),
    TLSKEEP_CERTIFICATE_FILE: certificateFile,
    TLSKEEP_CA_FILE: testbed.caFile,
    TLSKEEP_URL: apache.url,
    TLSKEEP_CONFIG: configFile,
    TLSKEEP_DEMO_DIR: testbed.dir,
    TLSKEEP_DEMO_PID: String(pid),
    TLSKEEP_STOP: stopCommand,
  }
}

/** As `. build/demo.env` reads them; exported, for the programs that are tried. */
export function shellAssignments(variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}='${value.replaceAll("'", "'\\''")}'\n`)
    .join("")
}
