/**
 * Simulators for tests: the services within the test's own process, on ports of their own, in a
 * directory of their own.
 */
import { generateKeyPairSync, type KeyObject } from "node:crypto"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { readFile } from "node:fs/promises"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { FastifyInstance } from "fastify"
import { pino } from "pino"
import { Nsm } from "../../enclave/nsm/index.js"
import { ensureAcmBucket } from "../../sim/acm/associate.js"
import { ensureCa } from "../../sim/ca.js"
import { ensurePrincipals, SESSION_TTL_SECS } from "../../sim/iam/principals.js"
import { buildIamServer } from "../../sim/iam/server.js"
import { buildImdsServer } from "../../sim/imds/server.js"
import { describeSimulator, type SimInfo, writeSimInfo } from "../../sim/info.js"
import { type AuditRecord, auditFile } from "../../sim/kms/audit.js"
import { defaultRootFile } from "../../sim/kms/recipient.js"
import { buildKmsServer } from "../../sim/kms/server.js"
import { createNitroPki, type NitroPki, SimulatedNsm } from "../../sim/nsm/index.js"
import { INSTANCE_ID, type SimPaths, simPaths } from "../../sim/paths.js"
import { buildS3Server } from "../../sim/s3/server.js"

export const log = pino({ level: "silent" })

/** A simulator whose services run in the test's process. */
export interface TestSimulator {
  paths: SimPaths
  dir: string
  info: SimInfo
  pki: NitroPki
  stop(): Promise<void>
}

export async function startTestSimulator(
  options: { sessionTtlSecs?: number } = {},
): Promise<TestSimulator> {
  const paths = simPaths(mkdtempSync(join(tmpdir(), "sim-")))
  for (const dir of [paths.s3Dir, paths.kmsDir, paths.vsockDir]) mkdirSync(dir)
  await ensureCa(paths)
  ensurePrincipals(paths)
  ensureAcmBucket(paths)
  const pki = await createNitroPki(paths.nitroPkiDir)
  const rootFingerprintFile = defaultRootFile(paths.nitroPkiDir)
  const sessionTtlSecs = options.sessionTtlSecs ?? SESSION_TTL_SECS
  const servers = [
    buildKmsServer({ paths, rootFingerprintFile, log }),
    buildS3Server({ paths, log }),
    buildIamServer({ paths, log }),
    buildImdsServer({ paths, sessionTtlSecs }),
  ] as const
  const [kms, s3, iam, imds] = await Promise.all([
    listen(servers[0]),
    listen(servers[1]),
    listen(servers[2]),
    listen(servers[3]),
  ])
  const info = describeSimulator(paths, { kms, s3, iam, imds }, {}, false)
  writeSimInfo(paths, info)
  const stop = async () => {
    await Promise.all(servers.map((server) => server.close()))
    rmSync(paths.dir, { recursive: true })
  }
  return { paths, dir: paths.dir, info, pki, stop }
}

async function listen(server: FastifyInstance): Promise<number> {
  await server.listen({ host: "127.0.0.1", port: 0 })
  return (server.server.address() as AddressInfo).port
}

/** The KMS's audit trail so far. */
export async function readAudit(paths: SimPaths): Promise<AuditRecord[]> {
  const text = await readFile(auditFile(paths.kmsDir), "utf8")
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as AuditRecord)
}

/** An enclave as KMS sees it: its measurements and a fresh recipient key. */
export interface TestRecipient {
  privateKey: KeyObject
  document: Uint8Array
}

export async function makeRecipient(
  pki: NitroPki,
  options: { pcr0?: Buffer; modulusLength?: number; now?: Date; withoutKey?: boolean } = {},
): Promise<TestRecipient> {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", {
    modulusLength: options.modulusLength ?? 2048,
  })
  const device = new SimulatedNsm({
    moduleId: `${INSTANCE_ID}-enc0123456789abcdef`,
    pcrs: new Map([[0, options.pcr0 ?? Buffer.alloc(48, 0xaa)]]),
    pki,
    now: () => options.now ?? new Date(),
  })
  const document = await new Nsm(device).attest({
    ...(options.withoutKey ? {} : { publicKey: publicKey.export({ type: "spki", format: "der" }) }),
  })
  return { privateKey, document }
}
