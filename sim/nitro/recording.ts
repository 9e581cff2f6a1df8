/**
 * Records what passes between the parent and an enclave: listens where the enclave would, relays to
 * the socket it listens at instead, and appends both directions to `record/<cid>_<port>.bin`.
 */
import { existsSync } from "node:fs"
import { connect, createServer, type Server } from "node:net"
import { join } from "node:path"
import { CONTROL_PORT, SIGNING_PORT } from "../../shared/protocol/limits.js"
import { listenAtSocket } from "../lifecycle.js"
import { type SimPaths, vsockPath } from "../paths.js"
import { openRecorder, relay } from "../relay.js"

/** Appended to the paths at which a recorded enclave listens. */
export const INNER_SUFFIX = ".inner"

export function isRecording({ recordDir }: SimPaths): boolean {
  return existsSync(recordDir)
}

/** Starts the recording relays of one enclave. */
export async function recordEnclave(paths: SimPaths, cid: number): Promise<Server[]> {
  return Promise.all([SIGNING_PORT, CONTROL_PORT].map((port) => recordPort(paths, cid, port)))
}

async function recordPort(paths: SimPaths, cid: number, port: number): Promise<Server> {
  const outer = vsockPath(paths.vsockDir, cid, port)
  const recorder = await openRecorder(join(paths.recordDir, `${cid}_${port}.bin`))
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const inner = connect({ path: outer + INNER_SUFFIX, allowHalfOpen: true })
    void relay(client, inner, recorder)
  })
  await listenAtSocket(server, outer)
  return server
}
