/** Apache httpd with mod_ssl: there, sound, running, and of no version with a known fault. */
import type { Config } from "../../config/config.js"
import { failure, printed } from "../command.js"
import type { DoctorContext } from "../context.js"
import { type Finding, lastWords, Reporter } from "../finding.js"
import { keySyntax, opensslSupport } from "../openssl-support.js"
import { hasLoaded } from "../processes.js"
import type { ConfiguredCheck } from "../run.js"
import { serverProcess } from "../web-server.js"

const report = new Reporter("httpd")
/**
 * Since 2.4.62 mod_ssl knows OpenSSL's STORE beside engines, and its first version loads a pkcs11 key by
 * an engine only where `SSLCryptoDevice pkcs11` says so (apache/httpd, pull request 480).
 */
const NEEDS_CRYPTO_DEVICE = "2.4.62"

export const httpd: ConfiguredCheck = {
  name: "httpd",
  applies: ({ options }) => options.service === "httpd",
  runConfigured: async (context, config) => {
    const version = (await versionOf(context, "httpd")) ?? (await versionOf(context, "apache2"))
    if (version === undefined) {
      const title = "Apache httpd was not found"
      const advice = "Install httpd and mod_ssl (Debian: apache2), or set options.service."
      return [report.problem("httpd-missing", title, "", advice)]
    }
    const support = await context.once(opensslSupport)
    const byEngine = support !== undefined && keySyntax(config, support) === "engine"
    const findings = [
      ...(version === NEEDS_CRYPTO_DEVICE && byEngine ? [needsCryptoDevice()] : []),
      ...(await moduleFindings(context, config)),
      ...(await runningFindings(context)),
    ]
    return findings.length > 0 ? findings : [report.ok(`Apache httpd ${version} runs with mod_ssl`)]
  },
}

/** `Server version: Apache/2.4.71 (Debian)` */
async function versionOf(context: DoctorContext, command: string): Promise<string | undefined> {
  const stdout = printed(await context.run(command, ["-v"]))
  return /Apache\/(\d+\.\d+\.\d+)/.exec(stdout ?? "")?.[1]
}

function needsCryptoDevice(): Finding {
  return report.warning(
    "httpd-needs-crypto-device",
    `httpd ${NEEDS_CRYPTO_DEVICE} may fail to start with a key in a token`,
    "Its mod_ssl takes pkcs11: keys by the engine only where it is told to; versions before and after try by themselves.",
    "Put SSLCryptoDevice pkcs11 into the main configuration, or update httpd.",
  )
}

/** A server of its own configuration is tested by the configured command, which names that. */
async function moduleFindings(context: DoctorContext, { options }: Config): Promise<Finding[]> {
  // Debian's `apache2` wants an environment that `apachectl` sets.
  const [command = "", ...args] = listingOf(options.test_command ?? ["apachectl", "-t"])
  const outcome = await context.run(command, args)
  if (outcome.kind === "missing") return []
  if (outcome.kind === "timed-out" || outcome.code !== 0) {
    return [
      report.problem(
        "httpd-config-broken",
        "httpd's configuration has an error",
        outcome.kind === "exited" ? lastWords(outcome.stderr, 4) : failure(outcome),
        "Correct what apachectl configtest says; a running httpd goes on with what it has.",
      ),
    ]
  }
  const server = await serverProcess(context, "httpd")
  const loaded = server !== undefined && (await hasLoaded(context, server.pid, "mod_ssl.so"))
  const lists = /_module \((?:static|shared)\)/.test(outcome.stdout)
  if (loaded || !lists || /^ *ssl_module\b/m.test(outcome.stdout)) return []
  return [
    report.problem(
      "httpd-without-mod-ssl",
      "mod_ssl is not loaded",
      "httpd does not list ssl_module.",
      "Install mod_ssl, or switch it on (Debian: a2enmod ssl), and restart httpd.",
    ),
  ]
}

/** `-M` tests as `-t` does, and lists the modules. */
function listingOf(test: readonly string[]): string[] {
  return test.map((word) => (word === "-t" ? "-M" : word))
}

async function runningFindings(context: DoctorContext): Promise<Finding[]> {
  if ((await serverProcess(context, "httpd")) !== undefined) return []
  return [
    report.problem(
      "httpd-not-running",
      "httpd does not run",
      "",
      "Start it (systemctl start httpd, Debian: apache2), or set options.force_start and let the agent do so.",
    ),
  ]
}
