/** The web server as a client sees it: it presents the certificate that was published, and in time. */
import { X509Certificate } from "node:crypto"
import { readFile } from "node:fs/promises"
import pLimit from "p-limit"
import type { Config, TokenConfig } from "../../config/config.js"
import { reasonOf } from "../context.js"
import { type Finding, Reporter } from "../finding.js"
import { type Handshake, handshake } from "../handshake.js"
import type { ConfiguredCheck } from "../run.js"
import { certificateFile } from "../run-files.js"

const report = new Reporter("listener")
const PARALLEL = 8
const DAY_MS = 86_400_000
/** A warning comes so long before the end, or at three quarters of a short life. */
const WARNING_MS = 14 * DAY_MS

export const listener: ConfiguredCheck = {
  name: "listener",
  runConfigured: async (context, config) => {
    const limit = pLimit(PARALLEL)
    const found = await Promise.all(
      config.tokens.map((token) => limit(() => lookAt(config, token, context.now()))),
    )
    const findings = found.flatMap((one) => one.findings)
    if (findings.length > 0) return findings
    const days = Math.floor(Math.min(...found.map(({ endsIn }) => endsIn)) / DAY_MS)
    const [first] = config.tokens
    const what =
      config.tokens.length === 1
        ? `${first?.target.listener?.address} presents the token's certificate`
        : `all ${config.tokens.length} listeners present their token's certificate`
    const until = config.tokens.length === 1 ? "" : " until the first of them ends"
    return [report.ok(what, `${days} days are left${until}.`)]
  },
}

interface Seen {
  findings: Finding[]
  /** Milliseconds until the certificate ends. */
  endsIn: number
}

async function lookAt(config: Config, token: TokenConfig, now: number): Promise<Seen> {
  const file = certificateFile(config, token)
  let published: X509Certificate
  try {
    published = new X509Certificate(await readFile(file))
  } catch (error) {
    return { findings: [notPublished(token, file, reasonOf(error))], endsIn: Infinity }
  }
  const endsIn = Date.parse(published.validTo) - now
  const ending = endingFindings(token, published, now)
  const { listener: where } = token.target
  if (where === undefined) return { findings: [notConfigured(token), ...ending], endsIn }
  const seen = await handshake(where, published)
  return {
    findings: [...handshakeFindings(token, where.address, seen, published), ...ending],
    endsIn,
  }
}

function notPublished({ label }: TokenConfig, file: string, reason: string): Finding {
  return report.problem(
    "certificate-not-published",
    `token ${label}: the web server has not been given a certificate`,
    `${file}: ${reason}`,
    "Start the agent, and see what it says of the token: tlskeep status.",
  )
}

function notConfigured({ label }: TokenConfig): Finding {
  return report.unknown(
    "listener-not-configured",
    `token ${label}: what the web server presents is not looked at`,
    "The token's target names no listener.",
    "Set target.listener.address, such as localhost:443: renewals are then checked, too.",
  )
}

function handshakeFindings(
  { label }: TokenConfig,
  address: string,
  seen: Handshake,
  published: X509Certificate,
): Finding[] {
  switch (seen.kind) {
    case "unreachable":
      return [
        report.problem(
          "listener-unreachable",
          `token ${label}: nothing listens at ${address}`,
          seen.reason,
          "Start the web server, and check that it listens there: ss -ltnp.",
        ),
      ]
    case "failed":
      return [
        report.problem(
          "listener-handshake-failed",
          `token ${label}: ${address} fails the TLS handshake`,
          seen.reason,
          "Look into the server's error log and the module's (syslog): it cannot sign where the enclave does not run or its token is gone.",
        ),
      ]
    case "presented":
      if (seen.certificate.fingerprint256 === published.fingerprint256) return []
      return [
        report.problem(
          "listener-other-certificate",
          `token ${label}: ${address} presents another certificate`,
          `It is ${serial(seen.certificate)}; the agent published ${serial(published)}`,
          "Reload the web server; check that its virtual host includes the token's file, and that target.listener.server_name is that host's.",
        ),
      ]
  }
}

function serial({ serialNumber, validTo }: X509Certificate): string {
  return `serial ${serialNumber}, until ${new Date(validTo).toISOString().slice(0, 10)}`
}

function endingFindings(
  { label, source }: TokenConfig,
  { validFrom, validTo }: X509Certificate,
  now: number,
): Finding[] {
  const end = Date.parse(validTo)
  const left = end - now
  if (left >= Math.min(WARNING_MS, (end - Date.parse(validFrom)) / 4)) return []
  const detail = `It ends at ${new Date(end).toISOString()}.`
  const advice =
    source.kind === "Acm"
      ? "ACM renews it 60 days before: see RenewalStatus of aws acm describe-certificate, often a DNS record that is gone."
      : "Seal the renewed key and certificate over the same object: tlskeep seal."
  if (left <= 0) {
    const title = `token ${label}: the certificate has ended`
    return [report.problem("certificate-expired", title, detail, advice)]
  }
  const title = `token ${label}: the certificate ends in ${Math.floor(left / DAY_MS)} days`
  return [report.warning("certificate-expiring", title, detail, advice)]
}
