/** What the installed OpenSSL has for PKCS #11, and which way a key is named because of it. */
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import type { Config } from "../config/config.js"
import { chooseSyntax, type KeySyntax } from "../target/capabilities.js"
import { printed } from "./command.js"
import type { DoctorContext } from "./context.js"

export interface OpensslSupport {
  /** `3.0.22` */
  version: string
  /** Folder of the default openssl.cnf. */
  configDir: string | undefined
  /** Paths of libp11's engine and of pkcs11-provider, where they are installed. */
  engine: string | undefined
  provider: string | undefined
  /** The default configuration activates the provider. */
  providerActive: boolean
}

/** Undefined where there is no `openssl` command. */
export async function opensslSupport(context: DoctorContext): Promise<OpensslSupport | undefined> {
  const [version, folders, providers] = await Promise.all([
    context.run("openssl", ["version"]),
    context.run("openssl", ["version", "-a"]),
    context.run("openssl", ["list", "-providers"]),
  ])
  const [, number] = /^OpenSSL (\S+)/.exec(printed(version) ?? "") ?? []
  if (number === undefined) return undefined
  const said = printed(folders) ?? ""
  return {
    version: number,
    configDir: folder(said, "OPENSSLDIR"),
    engine: await find(folder(said, "ENGINESDIR"), ["pkcs11.so", "libpkcs11.so"]),
    provider: await find(folder(said, "MODULESDIR"), ["pkcs11.so"]),
    providerActive: /^ {2}pkcs11$/m.test(printed(providers) ?? ""),
  }
}

/** As the agent chooses it; undefined where there is nothing to choose from. */
export function keySyntax({ options }: Config, support: OpensslSupport): KeySyntax | undefined {
  const { engine, provider, providerActive } = support
  if (options.key_syntax === "auto" && engine === undefined && provider === undefined) {
    return undefined
  }
  return chooseSyntax(options, {
    engine: engine !== undefined,
    provider: provider !== undefined,
    providerActive,
    nginxStore: false,
  })
}

/** `ENGINESDIR: "/usr/lib/…"` */
function folder(output: string, name: string): string | undefined {
  return new RegExp(`^${name}: "(.+)"$`, "m").exec(output)?.[1]
}

async function find(
  dir: string | undefined,
  names: readonly string[],
): Promise<string | undefined> {
  if (dir === undefined) return undefined
  const there = await readdir(dir).catch((): string[] => [])
  const name = names.find((one) => there.includes(one))
  return name === undefined ? undefined : join(dir, name)
}
