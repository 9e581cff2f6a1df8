/** Instructions for a signature, which do not depend on the machine's neighbours. */
import { readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { execa } from "execa"
import { CodedError } from "../../shared/errors.js"
import {
  KeyFileSigner,
  type Signer,
  SofthsmRemoteSigner,
  TlskeepSigner,
} from "../contenders/signers.js"
import type { BenchHost } from "../host/bench-host.js"
import type { Say } from "../profile.js"
import type { Instructions } from "../report/schema.js"
import { SIGN_LOAD, type SignLoad, signLoadCommand } from "./sign-load.js"

const KEY_TYPES = ["RSA-2048", "P-256"] as const

/** So many more of those that are over sooner: the tool's other threads wait, and that counts too. */
const EC_TIMES = 20

/** Counts the instructions of one run of a command. */
type Counter = (command: readonly string[], env: Record<string, string>) => Promise<number>

/**
 * Instructions of the consumer's process: the load tool with the module, or libcrypto, in it. By the CPU's
 * counter where the kernel has one to give (a virtual machine's often has not), else by callgrind.
 */
export async function measureInstructions(
  host: BenchHost,
  signatures: number,
  say: Say,
): Promise<Instructions[]> {
  const by = (await perfCounts()) ? "perf" : "callgrind"
  const count = by === "perf" ? perf : callgrind(join(host.dir, "callgrind.out"))
  const signers: Signer[] = [
    new KeyFileSigner(host, KEY_TYPES),
    new TlskeepSigner(host, KEY_TYPES),
    new SofthsmRemoteSigner(host, KEY_TYPES),
  ]
  const results: Instructions[] = []
  for (const signer of signers) {
    await signer.prepare()
    await signer.start()
    for (const key of KEY_TYPES) {
      say(`instructions for a signature by ${by}, ${key}, ${signer.name}`)
      const { keyType, ...rest } = await host.signingKey(key)
      const load: SignLoad = { with: await signer.signWith({ keyType, ...rest }), keyType: key }
      const times = signatures * (key === "RSA-2048" ? 1 : EC_TIMES)
      const instructions_per_op = await perSignature(load, times, count)
      results.push({
        ...{ contender: signer.name, process: "consumer with module", key, by },
        instructions_per_op,
      })
    }
    await signer.stop()
  }
  return results
}

/**
 * The difference of two runs leaves out what loading, login and search take.
 *
 * @throws CodedError `no-counter` if the longer run counts no more
 */
async function perSignature(load: SignLoad, signatures: number, count: Counter): Promise<number> {
  const run = (times: number): Promise<number> => {
    const { args, env } = signLoadCommand({ ...load, count: times, warmupSeconds: 0 })
    return count([SIGN_LOAD, ...args, "--verify-every", "0"], env)
  }
  const few = await run(signatures)
  const many = await run(2 * signatures)
  if (many > few) return (many - few) / signatures
  throw new CodedError(
    "no-counter",
    `${few} instructions for ${signatures}, ${many} for twice that`,
  )
}

async function perfCounts(): Promise<boolean> {
  try {
    await perf(["/bin/true"], {})
    return true
  } catch {
    return false
  }
}

const perf: Counter = async (command, env) => {
  const args = ["stat", "-x", ",", "-e", "instructions:u", "--", ...command]
  return parsePerf((await execa("perf", args, { env })).stderr)
}

/**
 * @param stderr - of `perf stat -x ,`: `value,unit,event,…`
 * @throws CodedError `no-counter` where the kernel has none
 */
export function parsePerf(stderr: string): number {
  const value = Number(/^(\d+),[^,]*,instructions/m.exec(stderr)?.[1] ?? Number.NaN)
  if (Number.isFinite(value)) return value
  throw new CodedError("no-counter", stderr)
}

function callgrind(outFile: string): Counter {
  return async (command, env) => {
    await execa("valgrind", ["--tool=callgrind", `--callgrind-out-file=${outFile}`, ...command], {
      env,
    })
    const text = await readFile(outFile, "utf8")
    await rm(outFile)
    return parseCallgrind(text)
  }
}

/**
 * @param text - callgrind's file: `summary:` or `totals:` and the number of instructions
 * @throws CodedError `no-counter`
 */
export function parseCallgrind(text: string): number {
  const value = Number(/^(?:summary|totals): (\d+)$/m.exec(text)?.[1] ?? Number.NaN)
  if (Number.isFinite(value)) return value
  throw new CodedError("no-counter", "callgrind wrote no sum")
}
