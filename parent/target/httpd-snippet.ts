/** Apache httpd's part of a token: a certificate file, and a snippet for a virtual host to include. */
import type { KeyObject } from "../source/key-object.js"
import { ownerOf, writeTargetFile } from "./files.js"
import { privateKeyUri } from "./pkcs11-uri.js"

export interface SnippetTarget {
  label: string
  /** The snippet's path. */
  path: string
  user: string
  group: string
  /** Where the certificate and its chain are written. */
  certificateFile: string
  pinFile: string
}

/**
 * Writes both files, the certificate first: a snippet never names what is not there yet.
 *
 * @throws AgentError `target-not-writable`
 */
export async function writeHttpdSnippet(target: SnippetTarget, object: KeyObject): Promise<void> {
  const owner = await ownerOf(target.user, target.group)
  const chain = object.certificates.map((certificate) => certificate.toString()).join("")
  await writeTargetFile(target.certificateFile, chain, { mode: 0o644, owner })
  await writeTargetFile(target.path, snippet(target), { mode: 0o640, owner })
}

function snippet({ label, certificateFile, pinFile }: SnippetTarget): string {
  const uri = privateKeyUri({ token: label, pin: { file: pinFile } })
  return [
    "# Written by tlskeep; changes are lost at the next renewal.",
    `SSLCertificateFile "${certificateFile}"`,
    `SSLCertificateKeyFile "${uri}"`,
    "",
  ].join("\n")
}
