/**
 * Opens sockets, a listener and signatures in worker threads that end in the midst of it: by
 * themselves, by exit() and by terminate(). Prints how many of this process's sockets are left.
 */

import { generateKeyPairSync } from "node:crypto"
import { isMainThread } from "node:worker_threads"
import {
  listenVsock,
  SigningKey,
  socketPair,
  streamFromFd,
  VMADDR_PORT_ANY,
} from "../../../native/addon/index.js"
import { endWorkers, openSockets, workAndEnd } from "./ending-workers.js"

const WORKERS = 12

function busy(pem: string): void {
  const key = SigningKey.fromPem(Buffer.from(pem))
  for (let i = 0; i < 20; i++) key.sign("RSA_PKCS", Buffer.alloc(32), null, () => undefined)
  for (let i = 0; i < 20; i++) {
    const [a, b] = socketPair().map((fd) => streamFromFd(fd))
    if (a === undefined || b === undefined) throw new Error("a pair has two ends")
    a.on("error", () => undefined)
    b.on("error", () => undefined)
    const pump = () => {
      while (a.write(Buffer.alloc(100_000)));
    }
    a.on("drain", pump)
    b.resume()
    pump()
  }
  listenVsock({ port: VMADDR_PORT_ANY }, () => undefined).catch(() => undefined)
}

if (isMainThread) {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
  const pem = privateKey.export({ format: "pem", type: "pkcs8" })
  const before = openSockets()
  await endWorkers(new URL(import.meta.url), WORKERS, pem)
  process.stdout.write(JSON.stringify({ left: openSockets() - before }))
  busy(pem as string)
  setTimeout(() => process.exit(0), 50) // the main thread ends in the midst of it too
} else {
  workAndEnd(busy)
}
