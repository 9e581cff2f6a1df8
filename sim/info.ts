/**
 * What `up` tells the world about a running simulator: `sim.json` for programs and `sim.env` for
 * shells. Host-side tools find AWS by nothing else.
 */
import { z } from "zod"
import { readJson, writeFileInOneStep, writeJson } from "./files.js"
import {
  ACCOUNT_ID,
  INSTANCE_ID,
  INSTANCE_PROFILE_ARN,
  KMS_HOST,
  PARTITION,
  REGION,
  ROLE_ARN,
  type SimPaths,
} from "./paths.js"

const portSchema = z.int().min(1).max(65_535)

const simInfoSchema = z.strictObject({
  dir: z.string(),
  partition: z.string(),
  region: z.string(),
  accountId: z.string(),
  instanceId: z.string(),
  roleArn: z.string(),
  instanceProfileArn: z.string(),
  urls: z.strictObject({ kms: z.url(), s3: z.url(), iam: z.url(), imds: z.url() }),
  /** DNS of the vsock-proxy: `name:port` → where it is simulated. */
  hosts: z.record(z.string(), z.strictObject({ host: z.string(), port: portSchema })),
  caFile: z.string(),
  vsockDir: z.string(),
  nitroPkiDir: z.string(),
  binDir: z.string(),
  recordDir: z.string().nullable(),
  /** Process ids by service, `up` among them. */
  pids: z.record(z.string(), z.int()),
})

export type SimInfo = z.infer<typeof simInfoSchema>

/** Ports on 127.0.0.1 that the services listen at. */
export interface ServicePorts {
  kms: number
  s3: number
  iam: number
  imds: number
}

export function describeSimulator(
  paths: SimPaths,
  ports: ServicePorts,
  pids: Record<string, number>,
  recording: boolean,
): SimInfo {
  return {
    dir: paths.dir,
    partition: PARTITION,
    region: REGION,
    accountId: ACCOUNT_ID,
    instanceId: INSTANCE_ID,
    roleArn: ROLE_ARN,
    instanceProfileArn: INSTANCE_PROFILE_ARN,
    urls: {
      kms: `https://127.0.0.1:${ports.kms}`,
      s3: `https://127.0.0.1:${ports.s3}`,
      iam: `https://127.0.0.1:${ports.iam}`,
      imds: `http://127.0.0.1:${ports.imds}`,
    },
    hosts: { [`${KMS_HOST}:443`]: { host: "127.0.0.1", port: ports.kms } },
    caFile: paths.caFile,
    vsockDir: paths.vsockDir,
    nitroPkiDir: paths.nitroPkiDir,
    binDir: paths.binDir,
    recordDir: recording ? paths.recordDir : null,
    pids,
  }
}

/** Undefined while the simulator has never been up. */
export function readSimInfo(paths: SimPaths): SimInfo | undefined {
  return readJson(paths.simJson, simInfoSchema)
}

export function writeSimInfo(paths: SimPaths, info: SimInfo): void {
  writeJson(paths.simJson, info)
  const assignments = Object.entries(simEnvironment(info)).map(
    ([name, value]) => `export ${name}=${shellQuote(value)}\n`,
  )
  // PATH is extended where the file is read, not where it is written.
  const path = 'export PATH="$TLSKEEP_SIM_BIN:$PATH"\n'
  writeFileInOneStep(paths.simEnv, `${assignments.join("")}${path}`)
}

/** The environment in which host-side tools meet the simulator instead of AWS. */
export function simEnvironment(info: SimInfo): Record<string, string> {
  return {
    AWS_REGION: info.region,
    AWS_ENDPOINT_URL_S3: info.urls.s3,
    AWS_ENDPOINT_URL_KMS: info.urls.kms,
    AWS_ENDPOINT_URL_IAM: info.urls.iam,
    AWS_EC2_METADATA_SERVICE_ENDPOINT: info.urls.imds,
    NODE_EXTRA_CA_CERTS: info.caFile,
    TLSKEEP_SIM_DIR: info.dir,
    TLSKEEP_SIM_BIN: info.binDir,
  }
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
