/** The running web server, and the OpenSSL configuration that it was started with. */
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import type { Config } from "../config/config.js"
import type { DoctorContext } from "./context.js"
import { opensslSupport } from "./openssl-support.js"
import { environmentOf, type HostProcess, processesOf } from "./processes.js"

const PROGRAMS = { httpd: ["httpd", "apache2"], nginx: ["nginx"] } as const

/** The server's first process, which is its master; undefined where it does not run. */
export async function serverProcess(
  context: DoctorContext,
  service: Config["options"]["service"],
): Promise<HostProcess | undefined> {
  return (await processesOf(context, PROGRAMS[service]))[0]
}

export interface OpensslConfiguration {
  file: string
  text: string
}

/** That of the running server, else OpenSSL's default; undefined where it cannot be read. */
export async function serverOpensslConf(
  context: DoctorContext,
  service: Config["options"]["service"],
): Promise<OpensslConfiguration | undefined> {
  const server = await serverProcess(context, service)
  const own =
    server === undefined ? undefined : await environmentOf(context, server.pid, "OPENSSL_CONF")
  const dir = (await context.once(opensslSupport))?.configDir
  const file = own ?? (dir === undefined ? undefined : join(dir, "openssl.cnf"))
  if (file === undefined) return undefined
  const text = await readFile(file, "utf8").catch(() => undefined)
  return text === undefined ? undefined : { file, text }
}

/** Whether a module file of p11-kit names the module: an engine without MODULE_PATH asks p11-kit. */
export async function p11KitKnows({ paths }: DoctorContext, modulePath: string): Promise<boolean> {
  for (const dir of paths.p11KitDirs) {
    for (const name of await readdir(dir).catch((): string[] => [])) {
      const text = await readFile(join(dir, name), "utf8").catch(() => "")
      if (text.includes(modulePath)) return true
    }
  }
  return false
}
