/**
 * Where the simulator keeps everything below its one directory, and the account, region and names
 * that it plays. Every process of the simulator is told the directory and finds the rest here.
 */
import { join, resolve } from "node:path"

export const REGION = "us-east-1"
export const PARTITION = "aws"
export const ACCOUNT_ID = "123456789012"
export const INSTANCE_ID = "i-0123456789abcdef0"
export const ROLE_NAME = "tlskeep-instance"
export const ROLE_ARN = `arn:aws:iam::${ACCOUNT_ID}:role/${ROLE_NAME}`
export const ROLE_SESSION_ARN = `arn:aws:sts::${ACCOUNT_ID}:assumed-role/${ROLE_NAME}/${INSTANCE_ID}`
export const INSTANCE_PROFILE_ARN = `arn:aws:iam::${ACCOUNT_ID}:instance-profile/${ROLE_NAME}`
export const ADMIN_ARN = `arn:aws:iam::${ACCOUNT_ID}:user/admin`
export const KMS_HOST = `kms.${REGION}.amazonaws.com`
export const S3_HOST = `s3.${REGION}.amazonaws.com`
/** IAM is one service for all regions of a partition. */
export const IAM_HOST = "iam.amazonaws.com"

/** Absolute paths of one simulator directory; nothing is created by asking. */
export interface SimPaths {
  dir: string
  /** `sim.json`, `sim.env`: what `up` writes for host-side tools. */
  simJson: string
  simEnv: string
  /** The local CA's certificate (PEM); its key and the server certificates lie beside it. */
  caDir: string
  caFile: string
  iamFile: string
  kmsDir: string
  s3Dir: string
  /** Faults that S3 and IMDS play, read for every request. */
  s3Settings: string
  imdsSettings: string
  /** Held by `up` while it runs; enclaves end when it closes, as on an instance that stops. */
  powerSocket: string
  nitroPkiDir: string
  vsockDir: string
  enclavesDir: string
  /** Its presence switches recording of the vsock streams on. */
  recordDir: string
  binDir: string
  logDir: string
  vsockProxyConfig: string
}

/** Lays out the simulator directory `dir`, made absolute. */
export function simPaths(dir: string): SimPaths {
  const root = resolve(dir)
  const at = (...parts: string[]) => join(root, ...parts)
  return {
    dir: root,
    simJson: at("sim.json"),
    simEnv: at("sim.env"),
    caDir: at("ca"),
    caFile: at("ca", "ca.pem"),
    iamFile: at("iam.json"),
    kmsDir: at("kms"),
    s3Dir: at("s3"),
    s3Settings: at("s3-settings.json"),
    imdsSettings: at("imds-settings.json"),
    powerSocket: at("power.sock"),
    nitroPkiDir: at("nitro-pki"),
    vsockDir: at("vsock"),
    enclavesDir: at("enclaves"),
    recordDir: at("record"),
    binDir: at("bin"),
    logDir: at("log"),
    vsockProxyConfig: at("vsock-proxy.yaml"),
  }
}

/** The Unix socket that stands for AF_VSOCK port `port` of `cid` in `vsockDir`. */
export function vsockPath(vsockDir: string, cid: number, port: number): string {
  return join(vsockDir, `${cid}_${port}.sock`)
}
