/** What checks are given: the configuration, and every edge of the host, so that tests can be one. */
import { fileURLToPath } from "node:url"
import { KMSClient } from "@aws-sdk/client-kms"
import { S3Client } from "@aws-sdk/client-s3"
import { CodedError, systemErrorCode } from "../../shared/errors.js"
import { Imds } from "../aws/imds.js"
import { type Aws, createAws } from "../aws.js"
import type { Config } from "../config/config.js"
import type { AgentError } from "../errors.js"
import { type CommandRunner, commandRunner } from "./command.js"
import { type HttpAnswer, type HttpRequest, httpRequest } from "./http.js"

/** Files of the host that are not configured. */
export interface HostPaths {
  /** Device of the Nitro Enclaves driver. */
  nitroDevice: string
  allocatorFile: string
  vsockProxyFile: string
  hugepagesDir: string
  procDir: string
  /** Where p11-kit looks for module files. */
  p11KitDirs: readonly string[]
  /** The program that loads the PKCS #11 module. */
  loadModuleWorker: string
}

export interface AwsClients {
  s3: S3Client
  kms: KMSClient
}

export interface DoctorContext {
  configFile: string
  /** What reading the configuration came to. */
  configuration: { config: Config } | { error: AgentError }
  paths: HostPaths
  env: NodeJS.ProcessEnv
  uid: number
  now(): number
  run: CommandRunner
  request(request: HttpRequest): Promise<HttpAnswer>
  /** The instance metadata service. */
  imds: Imds
  /** What the agent has its key objects from; it rejects with AgentError `region-unknown`. */
  agentAws(config: Config): Promise<Aws>
  /** Clients of the SDK, by its default chains for credentials and endpoints. */
  aws(region: string): AwsClients
  /** What several checks ask for is found out once. */
  once<T>(probe: (context: DoctorContext) => Promise<T>): Promise<T>
}

export const HOST_PATHS: HostPaths = {
  nitroDevice: "/dev/nitro_enclaves",
  allocatorFile: "/etc/nitro_enclaves/allocator.yaml",
  vsockProxyFile: "/etc/nitro_enclaves/vsock-proxy.yaml",
  hugepagesDir: "/sys/kernel/mm/hugepages",
  procDir: "/proc",
  p11KitDirs: ["/etc/pkcs11/modules", "/usr/share/p11-kit/modules"],
  loadModuleWorker: fileURLToPath(new URL("./load-module.js", import.meta.url)),
}

/** Where servers are that a shell's PATH often leaves out. */
const ADMIN_DIRS = ["/usr/local/sbin", "/usr/sbin", "/sbin"]

export type HostContextOptions = Pick<DoctorContext, "configFile" | "configuration"> &
  Partial<Omit<DoctorContext, "once">>

/** The context of this host; tests replace the edges that they play. */
export function hostContext(options: HostContextOptions): DoctorContext {
  const given = options.env ?? process.env
  const path = [given.PATH ?? "", ...(options.env === undefined ? ADMIN_DIRS : [])].join(":")
  const env = { ...given, PATH: path }
  const probes = new Map<unknown, Promise<unknown>>()
  const context: DoctorContext = {
    paths: HOST_PATHS,
    uid: process.geteuid?.() ?? -1,
    now: Date.now,
    run: commandRunner(env),
    request: httpRequest,
    imds: new Imds(),
    agentAws: (config) => createAws(config.aws),
    aws: (region) => awsClients(region, env),
    ...options,
    env,
    once: <T>(probe: (context: DoctorContext) => Promise<T>): Promise<T> => {
      const found = probes.get(probe) ?? probe(context)
      probes.set(probe, found)
      return found as Promise<T>
    },
  }
  return context
}

/** One attempt each, and that bounded: a doctor does not wait for what may come right. */
function awsClients(region: string, env: NodeJS.ProcessEnv): AwsClients {
  const shared = {
    region,
    maxAttempts: 1,
    requestHandler: { connectionTimeout: 4_000, requestTimeout: 8_000, socketTimeout: 8_000 },
  }
  return {
    s3: new S3Client({ ...shared, forcePathStyle: env.AWS_ENDPOINT_URL_S3 !== undefined }),
    kms: new KMSClient(shared),
  }
}

/** Why something could not be reached or read, as a code for a finding's detail. */
export function reasonOf(error: unknown): string {
  if (error instanceof CodedError) return error.code
  return systemErrorCode(error) ?? (error instanceof Error ? error.name : "failed")
}
