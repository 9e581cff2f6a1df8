/**
 * The services of the simulator as processes: each starts, tells `up` (if that forked it) the port
 * it listens at, and stops on a signal or with its parent. Each loads its own code alone: a simulator has
 * six of them, which start at once.
 */
import type { FastifyInstance } from "fastify"
import type { Logger } from "pino"
import { stopWithParent } from "./lifecycle.js"
import type { SimPaths } from "./paths.js"
import type { VsockProxyOptions } from "./vsock-proxy/proxy.js"

/** Sent by a service to the process that forked it; `port` is null for a Unix socket. */
export interface ReadyMessage {
  ready: { port: number | null }
}

export interface HttpServiceOptions {
  paths: SimPaths
  /** 0 for any. */
  port: number
  log: Logger
}

export async function runKms(
  options: HttpServiceOptions & { rootFingerprintFile?: string | undefined },
): Promise<void> {
  const { buildKmsServer } = await import("./kms/server.js")
  const { defaultRootFile } = await import("./kms/recipient.js")
  const { paths, log } = options
  const rootFingerprintFile = options.rootFingerprintFile ?? defaultRootFile(paths.nitroPkiDir)
  await serve(buildKmsServer({ paths, rootFingerprintFile, log }), options)
}

export async function runS3(options: HttpServiceOptions): Promise<void> {
  const { buildS3Server } = await import("./s3/server.js")
  await serve(buildS3Server(options), options)
}

export async function runIam(options: HttpServiceOptions): Promise<void> {
  const { buildIamServer } = await import("./iam/server.js")
  await serve(buildIamServer(options), options)
}

export async function runImds(
  options: HttpServiceOptions & { sessionTtlSecs: number },
): Promise<void> {
  const { buildImdsServer } = await import("./imds/server.js")
  await serve(buildImdsServer(options), options)
}

export async function runVsockProxy(options: VsockProxyOptions): Promise<void> {
  const { startVsockProxy } = await import("./vsock-proxy/proxy.js")
  const proxy = await startVsockProxy(options)
  stopWithParent(() => proxy.stop())
  announce(null)
}

async function serve(
  app: FastifyInstance,
  { port, log }: Pick<HttpServiceOptions, "port" | "log">,
): Promise<void> {
  await app.listen({ host: "127.0.0.1", port })
  const address = app.server.address()
  if (address === null || typeof address === "string") throw new Error("no port to listen at")
  stopWithParent(() => app.close())
  log.info({ port: address.port }, "listening")
  announce(address.port)
}

function announce(port: number | null): void {
  process.send?.({ ready: { port } } satisfies ReadyMessage)
}
