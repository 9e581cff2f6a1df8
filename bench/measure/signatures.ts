/** Raw signatures: the load tool on every contender, one case after the other. */
import type { SigningContender } from "../contenders/contender.js"
import {
  KeyFileSigner,
  OpensslSpeed,
  SofthsmRemoteSigner,
  SofthsmSigner,
  TlskeepSigner,
} from "../contenders/signers.js"
import type { BenchHost } from "../host/bench-host.js"
import type { Say } from "../profile.js"
import { type Case, resultsOf, type Sample } from "../report/result.js"
import type { ContenderName, Result, SigningKeyType } from "../report/schema.js"
import { interleave } from "./rounds.js"

export interface SignatureProfile {
  cases: readonly { key: SigningKeyType; threads: number }[]
  contenders: readonly ContenderName[]
  rounds: number
  /** A round of one contender. */
  seconds: number
  warmupSeconds: number
}

const BASELINE = "openssl-speed"

export async function measureSignatures(
  host: BenchHost,
  profile: SignatureProfile,
  say: Say,
): Promise<Result[]> {
  const keyTypes = [...new Set(profile.cases.map(({ key }) => key))]
  const all: SigningContender[] = [
    new OpensslSpeed(),
    new KeyFileSigner(host, keyTypes),
    new TlskeepSigner(host, keyTypes),
    new SofthsmRemoteSigner(host, keyTypes),
    new SofthsmSigner(host, keyTypes),
  ]
  const contenders = all.filter(({ name }) => profile.contenders.includes(name))
  try {
    for (const contender of contenders) {
      await contender.prepare()
      await contender.start()
    }
    const results: Result[] = []
    for (const { key, threads } of profile.cases) {
      const name = `${key} signatures, ${threads} ${threads === 1 ? "thread" : "threads"}`
      say(name)
      const about: Case = { section: "signatures", name, key, protocol: null, clients: threads }
      const series = await interleave<SigningContender, Sample>({
        ...{ contenders, rounds: profile.rounds },
        measure: async (contender) => ({
          ...(await contender.sign({
            ...{ keyType: key, threads },
            ...{ seconds: profile.seconds, warmupSeconds: profile.warmupSeconds },
          })),
          idleShare: null,
        }),
      })
      results.push(...resultsOf(about, series, BASELINE))
    }
    return results
  } finally {
    for (const contender of contenders) await contender.stop()
  }
}
