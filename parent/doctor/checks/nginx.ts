/** nginx: there, with TLS, sound, running, and able to take a key from a token. */
import type { Config } from "../../config/config.js"
import { hasStore, type KeySyntax } from "../../target/capabilities.js"
import { failure } from "../command.js"
import type { DoctorContext } from "../context.js"
import { type Finding, lastWords, Reporter } from "../finding.js"
import { keySyntax, opensslSupport } from "../openssl-support.js"
import type { ConfiguredCheck } from "../run.js"
import { serverOpensslConf, serverProcess } from "../web-server.js"

const report = new Reporter("nginx")
export const nginx: ConfiguredCheck = {
  name: "nginx",
  applies: ({ options }) => options.service === "nginx",
  runConfigured: async (context, config) => {
    const build = await context.run("nginx", ["-V"])
    const said = build.kind === "exited" ? build.stderr + build.stdout : ""
    const [, product, version] = /version: (\w+)\/(\d+\.\d+\.\d+)/.exec(said) ?? []
    if (product === undefined || version === undefined) {
      const title = "nginx was not found"
      const advice = "Install nginx, or set options.service."
      return [report.problem("nginx-missing", title, "", advice)]
    }
    const support = await context.once(opensslSupport)
    const syntax = support === undefined ? undefined : keySyntax(config, support)
    const findings = [
      ...sslFindings(said),
      ...(syntax === "provider" && !hasStore(said) ? [withoutStore(version)] : []),
      ...(await configFindings(context, config, syntax)),
      ...(await runningFindings(context)),
    ]
    return findings.length > 0 ? findings : [report.ok(`${product} ${version} runs`)]
  },
}

function sslFindings(build: string): Finding[] {
  if (/^built with OpenSSL /m.test(build)) return []
  const [library = "no TLS library"] = /^built with .*$/m.exec(build) ?? []
  return [
    report.problem(
      "nginx-without-ssl",
      "this nginx cannot take a key from a token",
      `It has ${library.replace("built with ", "")}, and needs OpenSSL.`,
      "Install an nginx built with OpenSSL and --with-http_ssl_module.",
    ),
  ]
}

function withoutStore(version: string): Finding {
  return report.warning(
    "nginx-without-store",
    `nginx ${version} does not know store: keys`,
    "With pkcs11-provider the key is named by a PEM file that holds its URI instead, which pkcs11-provider before 1.0 may not read.",
    "Nothing, where the page is served. Else update nginx to 1.29.0 or newer, or use the engine.",
  )
}

async function configFindings(
  context: DoctorContext,
  config: Config,
  syntax: KeySyntax | undefined,
): Promise<Finding[]> {
  // `-T` tests as `-t` does, and prints the configuration.
  const test = config.options.test_command ?? ["nginx", "-t"]
  const [command = "", ...args] = test.map((word) => (word === "-t" ? "-T" : word))
  const dump = await context.run(command, args)
  if (dump.kind !== "exited" || dump.code !== 0) {
    const detail = dump.kind === "exited" ? lastWords(dump.stderr, 4) : failure(dump)
    return [
      ...(/engine routines.*not initiali[sz]ed/.test(detail) ? [notInitialised()] : []),
      report.problem(
        "nginx-config-broken",
        "nginx's configuration has an error",
        detail,
        "Correct what nginx -t says; a running nginx goes on with what it has.",
      ),
    ]
  }
  if (syntax !== "engine" || /^\s*ssl_engine\s+pkcs11\s*;/m.test(dump.stdout)) return []
  const conf = await serverOpensslConf(context, config.options.service)
  return /^\s*init\s*=\s*1\b/m.test(conf?.text ?? "") ? [] : [notInitialised()]
}

function notInitialised(): Finding {
  return report.problem(
    "nginx-engine-not-initialised",
    "nginx does not initialise the pkcs11 engine",
    'With OpenSSL 3 it then fails with "engine routines::not initialized", at the start or at a handshake.',
    "Put ssl_engine pkcs11; and env OPENSSL_CONF; into nginx's main context, or init = 1 into the engine's section of openssl.cnf.",
  )
}

async function runningFindings(context: DoctorContext): Promise<Finding[]> {
  if ((await serverProcess(context, "nginx")) !== undefined) return []
  return [
    report.problem(
      "nginx-not-running",
      "nginx does not run",
      "",
      "Start it (systemctl start nginx), or set options.force_start and let the agent do so.",
    ),
  ]
}
