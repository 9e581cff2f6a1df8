/** What the agent's snippet for Apache says. */
import { readFile } from "node:fs/promises"
import { CodedError } from "../../shared/errors.js"
import type { Apache } from "./apache.js"

export interface Snippet {
  certificateFile: string
  /** With its `pin-source`. */
  keyUri: string
}

export async function readSnippet(apache: Apache): Promise<Snippet> {
  const text = await readFile(apache.snippet, "utf8")
  return {
    certificateFile: directive(text, "SSLCertificateFile"),
    keyUri: directive(text, "SSLCertificateKeyFile"),
  }
}

function directive(text: string, name: string): string {
  const [, value] = new RegExp(`^${name} "([^"]+)"$`, "m").exec(text) ?? []
  if (value === undefined) throw new CodedError("bad-snippet", `the snippet has no ${name}`)
  return value
}
