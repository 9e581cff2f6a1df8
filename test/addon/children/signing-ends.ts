/**
 * Runs signing services under load in worker threads that end in the midst of it: by themselves, by exit()
 * and by terminate(); then in the main thread, which ends so too. Prints how many sockets and signing
 * threads of the workers are left.
 */

import { generateKeyPairSync } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { isMainThread } from "node:worker_threads"
import {
  KeyDirectory,
  SigningKey,
  SigningService,
  socketPair,
  streamFromFd,
} from "../../../native/addon/index.js"
import { encodeCbor } from "../../../shared/cbor.js"
import { encodeFrame } from "../../../shared/frame.js"
import { fingerprintOf } from "../../../shared/public-key.js"
import { endWorkers, openSockets, workAndEnd } from "./ending-workers.js"

const WORKERS = 8
const CONNECTIONS = 10

/** Half of the requests are signed by the threads, half come to the event loop. */
function serve(pem: string): void {
  const key = SigningKey.fromPem(Buffer.from(pem))
  const fingerprint = fingerprintOf(key.publicKey)
  const directory = new KeyDirectory()
  directory.publish({
    token: 1,
    gate: 1,
    expiresAt: Date.now() + 3_600_000,
    keys: [
      { fingerprint, key, mechanisms: ["ECDSA"], hashes: [], ecdsaBytes: { min: 32, max: 64 } },
    ],
  })
  const service = new SigningService(directory, { threads: 3, latencyBounds: [1_000] })
  const requests = Buffer.concat(
    Array.from({ length: 100 }, (_, id) =>
      encodeFrame(
        encodeCbor([id, "sign", fingerprint, "ECDSA", Buffer.alloc(id % 2 ? 32 : 8), null]),
      ),
    ),
  )
  for (let i = 0; i < CONNECTIONS; i++) {
    const [ours, theirs] = socketPair()
    const channel = service.adopt(theirs, {
      payload: () => channel.send(Buffer.alloc(8)),
      ended: () => channel.close(),
      closed: () => undefined,
    })
    channel.greet()
    channel.prove(1)
    const peer = streamFromFd(ours)
    peer.on("error", () => undefined)
    const pump = () => {
      while (peer.write(requests));
    }
    peer.on("drain", pump)
    peer.resume()
    pump()
  }
}

function signingThreads(): number {
  return readdirSync("/proc/self/task").filter((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/comm`, "utf8") === "tlskeep-sign\n"
    } catch {
      return false
    }
  }).length
}

if (isMainThread) {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const pem = privateKey.export({ format: "pem", type: "pkcs8" })
  const before = openSockets()
  await endWorkers(new URL(import.meta.url), WORKERS, pem)
  const left = { sockets: openSockets() - before, threads: signingThreads() }
  process.stdout.write(JSON.stringify(left))
  serve(pem as string)
  setTimeout(() => process.exit(0), 50)
} else {
  workAndEnd(serve)
}
