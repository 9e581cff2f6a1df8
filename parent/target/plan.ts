/** Which files make a publication, and what each is to hold. */
import type { X509Certificate } from "node:crypto"
import { fingerprintOf, publicKeyOf } from "../../shared/public-key.js"
import type { ListenerConfig, OptionsConfig } from "../config/config.js"
import { AgentError } from "../errors.js"
import type { RunDir } from "../run-dir.js"
import { type Capabilities, chooseSyntax } from "./capabilities.js"
import { type FormerFile, ownerOf, rememberFile, type TargetFile } from "./files.js"
import { rewriteHttpdConf } from "./httpd-conf.js"
import { keyReference } from "./key-reference.js"
import type { Publication } from "./publisher.js"
import { stanza } from "./stanza.js"

export interface Plan {
  label: string
  pin: string
  leaf: X509Certificate
  certificateFile: string
  /** The target's own path. */
  path: string
  listener: ListenerConfig | undefined
  /** In the order of writing: nothing is named before it is there. */
  files: readonly TargetFile[]
  /** The same files as they were, as {@link rememberFile} saw them. */
  formers: readonly FormerFile[]
  /** What the operator should know of, a sentence each. */
  notices: readonly string[]
}

export interface PlanContext {
  options: Pick<OptionsConfig, "service" | "key_syntax" | "pin_delivery">
  runDir: RunDir
  capabilities: Capabilities
}

/** Certificates are public. */
const CERTIFICATE_MODE = 0o644
/** What names a PIN's file, or holds a PIN, is for the server's group. */
const KEY_MODE = 0o640

/**
 * Reads what is there and decides what is to be.
 *
 * @throws AgentError `target-not-readable`, `target-lines-missing`, `target-not-writable` for an unknown
 *   user or group, `pkcs11-library-missing`, `pin-too-long`, `key-object-malformed`
 */
export async function planPublication(
  { token, object, pin }: Publication,
  { options, runDir, capabilities }: PlanContext,
): Promise<Plan> {
  const { service } = options
  const { label, target } = token
  const [leaf] = object.certificates
  if (leaf === undefined) {
    throw new AgentError("key-object-malformed", "the key object holds no certificate")
  }
  const certificateFile = quotable(runDir.certificateFile(service, label))
  const key = keyReference({
    service,
    label,
    // The key of this certificate, not the token's current one: another may be that in a moment.
    keyId: fingerprintOf(publicKeyOf(leaf)),
    pin,
    pinFile: runDir.pinFile(label),
    keyFile: runDir.certificateFile(`${service}-key`, label),
    syntax: chooseSyntax(options, capabilities),
    delivery: options.pin_delivery,
    capabilities,
  })
  const owner = await ownerOf(target.user, target.group)
  const chain = Buffer.from(object.certificates.map(String).join(""))
  const files: TargetFile[] = [
    { path: certificateFile, content: chain, mode: CERTIFICATE_MODE, owner },
  ]
  if (key.file !== undefined) {
    const { path, content } = key.file
    files.push({ path, content: Buffer.from(content), mode: KEY_MODE, owner })
  }
  const former = await rememberFile(target.path)
  const values = { certificateFile, key: key.value }
  const notices: string[] = []
  if (target.kind === "Conf" && service === "httpd") {
    const existing = existingConf(former)
    const { content, namesChainFile } = rewriteHttpdConf(existing.content, values, target.path)
    const mode = key.holdsPin ? existing.mode & KEY_MODE : existing.mode
    files.push({ path: target.path, content, mode, owner })
    if (namesChainFile) notices.push(chainFileNotice(target.path))
  } else {
    const content = Buffer.from(stanza(service, values))
    files.push({ path: target.path, content, mode: KEY_MODE, owner })
  }
  if (key.holdsPin && service === "httpd") notices.push(LOGGED_PIN)
  const others = await Promise.all(files.slice(0, -1).map(({ path }) => rememberFile(path)))
  return {
    ...{ label, pin, leaf, certificateFile, path: target.path, listener: target.listener },
    ...{ files, formers: [...others, former], notices },
  }
}

const LOGGED_PIN =
  "the PIN is part of SSLCertificateKeyFile: mod_ssl writes it to Apache's log at LogLevel info"

function chainFileNotice(path: string): string {
  return `${path} has SSLCertificateChainFile: the certificate file holds the chain already, so remove that line`
}

function existingConf({ path, former }: FormerFile): { content: Buffer; mode: number } {
  if (former !== undefined) return former
  throw new AgentError("target-not-readable", `cannot read ${path}: ENOENT`, {
    advice:
      "The target Conf rewrites a file of Apache's configuration that is there; use the target Snippet for one to include.",
  })
}

/** Both servers take `$` for the beginning of a variable. */
function quotable(path: string): string {
  if (!path.includes("$")) return path
  throw new AgentError("target-not-writable", `the web server cannot be given the path ${path}`, {
    advice: "Set options.run_dir to a path without $.",
  })
}
