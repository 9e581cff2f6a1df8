/**
 * The server certificates of the simulated services, as {@link ensureCa} of ca.js leaves them. Apart from
 * their making, whose library takes longer to load than most of the processes that read them.
 */
import { join } from "node:path"
import { readIfThere } from "./files.js"
import type { SimPaths } from "./paths.js"

export const TLS_SERVICES = ["kms", "s3", "iam"] as const
/** Services with a certificate of their own. */
export type TlsService = (typeof TLS_SERVICES)[number]

/** What an HTTPS server needs: PEM certificate chain and PKCS#8 key. */
export interface ServerIdentity {
  cert: Buffer
  key: Buffer
}

/** Makes the CA and the certificates unless they are there. */
export async function ensureIdentities(paths: SimPaths): Promise<void> {
  if (hasIdentities(paths)) return
  const { ensureCa } = await import("./ca.js")
  await ensureCa(paths)
}

/** Whether the CA's certificate and those of all services are there. */
export function hasIdentities(paths: SimPaths): boolean {
  const needed = [paths.caFile, ...TLS_SERVICES.map((name) => identityFiles(paths, name).certFile)]
  return needed.every((file) => readIfThere(file) !== undefined)
}

export function readServerIdentity(paths: SimPaths, service: TlsService): ServerIdentity {
  const { certFile, keyFile } = identityFiles(paths, service)
  const cert = readIfThere(certFile)
  const key = readIfThere(keyFile)
  if (cert === undefined || key === undefined) throw new Error(`${certFile} is missing`)
  return { cert, key }
}

export function identityFiles(paths: SimPaths, service: TlsService) {
  return {
    certFile: join(paths.caDir, `${service}.pem`),
    keyFile: join(paths.caDir, `${service}.key`),
  }
}
