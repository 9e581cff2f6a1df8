/**
 * The environment in which the agent's AWS clients meet a simulator of this test's process. Node
 * reads NODE_EXTRA_CA_CERTS when it starts, before there is a CA: plain doors lead to the services.
 */
import { readFileSync } from "node:fs"
import { type AddressInfo, createServer, type Socket } from "node:net"
import { connect as connectTls } from "node:tls"
import { vi } from "vitest"
import type { TestSimulator } from "../sim/simulator.js"

export interface Doors {
  s3: string
  iam: string
  close(): Promise<void>
}

/** Opens a door to S3 and one to IAM. */
export async function openDoors({ info }: TestSimulator): Promise<Doors> {
  const ca = readFileSync(info.caFile)
  const s3 = await openDoor(info.urls.s3, ca)
  const iam = await openDoor(info.urls.iam, ca)
  const close = async () => {
    await Promise.all([s3.close(), iam.close()])
  }
  return { s3: s3.url, iam: iam.url, close }
}

/** Listens in the clear and speaks TLS to `url` for whoever connects. */
async function openDoor(url: string, ca: Buffer) {
  const sockets = new Set<Socket>()
  const server = createServer((outer) => {
    const inner = connectTls({ host: "127.0.0.1", port: Number(new URL(url).port), ca })
    for (const [socket, other] of [
      [outer, inner],
      [inner, outer],
    ] as const) {
      sockets.add(socket)
      socket.on("error", () => other.destroy())
      socket.on("close", () => {
        sockets.delete(socket)
        other.destroy()
      })
      socket.pipe(other)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const close = () =>
    new Promise<void>((resolve) => {
      for (const socket of sockets) socket.destroy()
      server.close(() => resolve())
    })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close }
}

/** Forgets what the machine says of AWS; `vi.unstubAllEnvs` brings it back. */
export function clearAwsEnvironment(): void {
  for (const name of Object.keys(process.env)) {
    if (name.startsWith("AWS_")) vi.stubEnv(name, undefined)
  }
  vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
  vi.stubEnv("AWS_CONFIG_FILE", "/dev/null")
}

/** As on an instance: everything is told by IMDS. */
export function stubInstance(sim: TestSimulator, doors: Doors): void {
  clearAwsEnvironment()
  vi.stubEnv("AWS_EC2_METADATA_SERVICE_ENDPOINT", sim.info.urls.imds)
  vi.stubEnv("AWS_ENDPOINT_URL_S3", doors.s3)
  vi.stubEnv("AWS_ENDPOINT_URL_IAM", doors.iam)
}
