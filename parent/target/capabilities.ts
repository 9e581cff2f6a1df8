/** What the installed OpenSSL and nginx can do with a PKCS #11 URI. */
import { access } from "node:fs/promises"
import { join } from "node:path"
import type { OptionsConfig } from "../config/config.js"
import { AgentError } from "../errors.js"
import type { CommandRunner } from "./command.js"

export interface Capabilities {
  /** `pkcs11` in OpenSSL's folder of engines: libp11. */
  engine: boolean
  /** `pkcs11` in OpenSSL's folder of providers: pkcs11-provider. */
  provider: boolean
  /** The system's openssl.cnf activates the provider. */
  providerActive: boolean
  /** nginx takes `store:` and a URI as a key; false where the server is another. */
  nginxStore: boolean
}

/** How a key is named to the server's OpenSSL. */
export type KeySyntax = "engine" | "provider"

const DETECTION_TIMEOUT_MS = 10_000
const KEPT_MS = 60_000
/** `store:` is in nginx from 1.29.0 on, in freenginx from 1.29.3 on (their documentation). */
const STORE_SINCE: Readonly<Record<string, number>> = { freenginx: 1_029_003 }
const STORE_SINCE_OTHERWISE = 1_029_000

const ADVICE = {
  library:
    "Install libengine-pkcs11-openssl or pkcs11-provider (Debian, Ubuntu; the latter from backports on Debian 12), openssl-pkcs11 (Amazon Linux 2023, RHEL 9) or pkcs11-provider (RHEL 10, Fedora).",
  nginx: "Install an nginx that is built with OpenSSL.",
} as const

/** Looks at most once a minute: packages come and go while the agent runs. */
export class CapabilityProbe {
  readonly #service: OptionsConfig["service"]
  readonly #run: CommandRunner
  #last: { at: number; found: Promise<Capabilities> } | undefined

  constructor(service: OptionsConfig["service"], run: CommandRunner) {
    this.#service = service
    this.#run = run
  }

  /** @throws AgentError `server-without-pkcs11` if nginx is built with another library than OpenSSL */
  capabilities(): Promise<Capabilities> {
    const now = Date.now()
    if (this.#last === undefined || now - this.#last.at >= KEPT_MS) {
      const found = detect(this.#service, this.#run)
      this.#last = { at: now, found }
      // What failed is tried again at once.
      found.catch(() => {
        this.#last = undefined
      })
    }
    return this.#last.found
  }
}

async function detect(
  service: OptionsConfig["service"],
  run: CommandRunner,
): Promise<Capabilities> {
  const [version, providers, nginx] = await Promise.all([
    run(["openssl", "version", "-a"], DETECTION_TIMEOUT_MS),
    run(["openssl", "list", "-providers"], DETECTION_TIMEOUT_MS),
    service === "nginx" ? run(["nginx", "-V"], DETECTION_TIMEOUT_MS) : undefined,
  ])
  if (nginx !== undefined) refuseOtherLibraries(nginx.output)
  return {
    engine: await isThere(folder(version.output, "ENGINESDIR"), ["pkcs11.so", "libpkcs11.so"]),
    provider: await isThere(folder(version.output, "MODULESDIR"), ["pkcs11.so"]),
    providerActive: providers.failure === undefined && /^ {2}pkcs11$/m.test(providers.output),
    nginxStore: nginx !== undefined && hasStore(nginx.output),
  }
}

/**
 * The syntax to use: the configured one, else by what is there. mod_ssl takes the engine wherever there
 * is one; for nginx a provider that the system has activated comes first.
 *
 * @throws AgentError `pkcs11-library-missing` where neither is installed
 */
export function chooseSyntax(
  { service, key_syntax }: Pick<OptionsConfig, "service" | "key_syntax">,
  { engine, provider, providerActive }: Capabilities,
): KeySyntax {
  if (key_syntax !== "auto") return key_syntax
  if (service === "nginx" && providerActive) return "provider"
  if (engine) return "engine"
  if (provider) return "provider"
  throw new AgentError(
    "pkcs11-library-missing",
    "OpenSSL has neither the pkcs11 engine nor pkcs11-provider: the web server cannot reach a key",
    {
      advice: `${ADVICE.library} Or set options.key_syntax if the server has an OpenSSL of its own.`,
    },
  )
}

/** `ENGINESDIR: "/usr/lib/…"`, as `openssl version -a` says it from 1.1.0 on. */
function folder(output: string, name: string): string | undefined {
  return new RegExp(`^${name}: "(.+)"$`, "m").exec(output)?.[1]
}

async function isThere(dir: string | undefined, names: readonly string[]): Promise<boolean> {
  if (dir === undefined) return false
  const found = names.map((name) =>
    access(join(dir, name)).then(
      () => true,
      () => false,
    ),
  )
  return (await Promise.all(found)).includes(true)
}

/** nginx's relatives say `freenginx version: freenginx/1.29.3`, `nginx version: openresty/1.27.1.2`. */
export function hasStore(output: string): boolean {
  const [, product = "", ...numbers] = /version: (\w+)\/(\d+)\.(\d+)\.(\d+)/.exec(output) ?? []
  const [major = 0, minor = 0, patch = 0] = numbers.map(Number)
  const since = STORE_SINCE[product] ?? STORE_SINCE_OTHERWISE
  return major * 1_000_000 + minor * 1_000 + patch >= since
}

function refuseOtherLibraries(output: string): void {
  const [, library] = /^built with (BoringSSL|LibreSSL|AWS-LC|wolfSSL)/m.exec(output) ?? []
  if (library === undefined) return
  throw new AgentError("server-without-pkcs11", `nginx is built with ${library}`, {
    advice: ADVICE.nginx,
  })
}
