/** OpenSSL: a way from it to a PKCS #11 module, and that this module is ours. */
import type { Config } from "../../config/config.js"
import type { DoctorContext } from "../context.js"
import { type Finding, Reporter } from "../finding.js"
import { keySyntax, type OpensslSupport, opensslSupport } from "../openssl-support.js"
import type { ConfiguredCheck } from "../run.js"
import { p11KitKnows, serverOpensslConf } from "../web-server.js"

const report = new Reporter("openssl")
const ENGINE_PACKAGE = "libengine-pkcs11-openssl (Debian) or openssl-pkcs11 (Amazon Linux)"
const PROVIDER_PACKAGE = "pkcs11-provider"

export const openssl: ConfiguredCheck = {
  name: "openssl",
  runConfigured: async (context, config) => {
    const support = await context.once(opensslSupport)
    if (support === undefined) {
      return [
        report.problem(
          "openssl-missing",
          "there is no openssl command",
          "",
          "Install openssl, and with it a pkcs11 engine or pkcs11-provider.",
        ),
      ]
    }
    const findings = [
      ...wayFindings(config, support),
      ...(await moduleFindings(context, config, support)),
    ]
    if (findings.length > 0) return findings
    const way = keySyntax(config, support) === "engine" ? "the pkcs11 engine" : "pkcs11-provider"
    return [report.ok(`OpenSSL ${support.version} by ${way}`)]
  },
}

function wayFindings({ options }: Config, support: OpensslSupport): Finding[] {
  const { engine, provider, version } = support
  if (engine === undefined && provider === undefined) {
    return [
      report.problem(
        "openssl-without-pkcs11",
        "OpenSSL has neither a pkcs11 engine nor pkcs11-provider",
        `OpenSSL ${version}; openssl version -a names the folders they go to.`,
        `Install ${ENGINE_PACKAGE}, or ${PROVIDER_PACKAGE}.`,
      ),
    ]
  }
  if (options.key_syntax === "engine" && engine === undefined) {
    const title = "options.key_syntax asks for an engine that is not installed"
    const advice = `Install ${ENGINE_PACKAGE}, or leave key_syntax out.`
    return [report.problem("openssl-engine-missing", title, "", advice)]
  }
  if (options.key_syntax === "provider" && provider === undefined) {
    const title = "options.key_syntax asks for a provider that is not installed"
    const advice = `Install ${PROVIDER_PACKAGE}, or leave key_syntax out.`
    return [report.problem("openssl-provider-missing", title, "", advice)]
  }
  if (options.key_syntax === "provider" && engine !== undefined && options.service === "httpd") {
    return [
      report.warning(
        "openssl-engine-preferred",
        "mod_ssl takes the engine although the provider is asked for",
        `${engine} is installed, and mod_ssl prefers it wherever it finds it.`,
        "Remove the engine's package, or set OPENSSL_ENGINES to an empty folder in httpd's environment.",
      ),
    ]
  }
  return []
}

/** Whether the server's OpenSSL is told of our module, by openssl.cnf or by p11-kit. */
async function moduleFindings(
  context: DoctorContext,
  config: Config,
  support: OpensslSupport,
): Promise<Finding[]> {
  const { module_path, service } = config.options
  if (support.engine === undefined && support.provider === undefined) return []
  const conf = await serverOpensslConf(context, service)
  if (conf?.text.includes(module_path) || (await p11KitKnows(context, module_path))) return []
  const file = conf?.file ?? "openssl.cnf"
  return [
    report.warning(
      "openssl-module-not-configured",
      "OpenSSL does not seem to know the token module",
      `${file} does not name ${module_path}, nor does a module file of p11-kit.`,
      `Name it there as MODULE_PATH (engine) or pkcs11-module-path (provider), as docs/ec2.md shows; or point OPENSSL_CONF of ${service} at a file that does.`,
    ),
  ]
}
