/**
 * Holds the private key of the PEM file named, then lets go of it, one step for each line on stdin;
 * prints each step when it is done.
 */

import { readFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { SigningKey } from "../../../native/addon/index.js"

const path = process.argv[2] ?? ""
const MECHANISMS = { RSA: "RSA_PKCS", EC: "ECDSA", Ed25519: "EDDSA" } as const
let key: SigningKey | undefined
const steps: Record<string, () => void> = {
  load() {
    const pem = readFileSync(path)
    key = SigningKey.fromPem(pem)
    pem.fill(0)
  },
  sign() {
    const mechanism = MECHANISMS[key?.keyType ?? "RSA"]
    for (let i = 0; i < 50; i++) key?.signSync(mechanism, Buffer.alloc(32, i), null)
  },
  destroy() {
    key?.destroy()
  },
}
for await (const line of createInterface({ input: process.stdin })) {
  steps[line]?.()
  process.stdout.write(`${line}\n`)
}
