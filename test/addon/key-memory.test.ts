/** What a private key leaves in the memory of the process that held it, seen from outside. */

import { type ChildProcess, spawn } from "node:child_process"
import { generateKeyPairSync, type KeyObject } from "node:crypto"
import { once } from "node:events"
import { closeSync, openSync, readFileSync, readSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Bundle, bundleChild } from "./bundle.js"

let bundle: Bundle
beforeAll(async () => {
  bundle = await bundleChild("hold-key")
})
afterAll(() => bundle.remove())

/** How often each pattern occurs in the child's writable memory. */
function occurrences(pid: number, patterns: Record<string, Buffer>): Record<string, number> {
  const counts = Object.fromEntries(Object.keys(patterns).map((name) => [name, 0]))
  const memory = openSync(`/proc/${pid}/mem`, "r")
  for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
    const [, from = "", to = ""] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? []
    if (from === "") continue
    const region = Buffer.alloc(Number(BigInt(`0x${to}`) - BigInt(`0x${from}`)))
    try {
      readSync(memory, region, 0, region.length, BigInt(`0x${from}`))
    } catch {
      continue // not readable: [vvar] and the like
    }
    for (const [name, pattern] of Object.entries(patterns)) {
      for (let at = region.indexOf(pattern); at >= 0; at = region.indexOf(pattern, at + 1)) {
        counts[name] = (counts[name] ?? 0) + 1
      }
    }
  }
  closeSync(memory)
  return counts
}

async function step(child: ChildProcess, name: string): Promise<void> {
  const done = once(child.stdout as NonNullable<typeof child.stdout>, "data")
  child.stdin?.write(`${name}\n`)
  expect((await done)[0].toString()).toBe(`${name}\n`)
}

/** The PEM text, and each secret number as in DER and as libcrypto keeps it: lowest byte first. */
function secrets(pem: string, key: KeyObject): Record<string, Buffer> {
  const jwk = key.export({ format: "jwk" })
  if (jwk.crv === "Ed25519") {
    // One line of PEM, and a seed that libcrypto keeps as DER has it.
    const seed = Buffer.from(jwk.d as string, "base64url")
    return { pem: Buffer.from(pem.split("\n")[1] as string), "d in memory": seed.subarray(0, 24) }
  }
  const patterns: Record<string, Buffer> = { pem: Buffer.from(pem.split("\n")[2] as string) }
  for (const name of ["d", "p", "q", "dp", "dq"] as const) {
    if (jwk[name] === undefined) continue
    const number = Buffer.from(jwk[name], "base64url")
    const half = number.subarray(0, 24)
    patterns[`${name} in DER`] = half
    patterns[`${name} in memory`] = Buffer.from(half).reverse()
  }
  return patterns
}

describe.each([
  ["RSA", "pkcs8", generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey],
  ["RSA", "pkcs1", generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey],
  ["EC", "pkcs8", generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey],
  ["EC", "sec1", generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey],
  ["Ed25519", "pkcs8", generateKeyPairSync("ed25519").privateKey],
] as const)("an %s key read from %s", (_, type, key) => {
  it("is there once parsed, and gone once destroyed, with all that it passed through", async () => {
    const pem = key.export({ format: "pem", type } as { format: "pem"; type: "pkcs8" }).toString()
    const path = join(bundle.folder, "key.pem")
    await writeFile(path, pem)
    const patterns = secrets(pem, key)
    const none = Object.fromEntries(Object.keys(patterns).map((name) => [name, 0]))
    const child = spawn(process.execPath, [bundle.main, path], {
      stdio: ["pipe", "pipe", "inherit"],
    })
    const pid = child.pid as number

    for (const use of ["load", "sign"]) {
      await step(child, use)
      const held = Object.entries(occurrences(pid, patterns))
      const parsed = held.filter(([name]) => name.endsWith("in memory"))
      expect(Object.fromEntries(parsed)["d in memory"]).toBeGreaterThan(0) // the scan sees it
      const leftovers = held.filter(([name, count]) => !name.endsWith("in memory") && count > 0)
      expect(leftovers, use).toEqual([])
    }

    await step(child, "destroy")
    expect(occurrences(pid, patterns)).toEqual(none)
    child.stdin?.end()
    await once(child, "exit")
  }, 30_000)
})
