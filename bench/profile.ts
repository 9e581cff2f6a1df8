/** How much to measure: the whole of it, or what fits a minute and a half. */
import type { HandshakeProfile } from "./measure/handshakes.js"
import type { ScaleProfile } from "./measure/scale.js"
import type { SignatureProfile } from "./measure/signatures.js"
import type { ServedKeyType } from "./report/schema.js"

/** Says one line to whoever watches. */
export type Say = (line: string) => void

export type ProfileName = "quick" | "full"

export const SECTIONS = [
  "handshakes",
  "round-trips",
  "signatures",
  "scale",
  "startup",
  "instructions",
] as const
export type Section = (typeof SECTIONS)[number]

export interface Profile {
  name: ProfileName
  /** Measured unless others are named. */
  sections: readonly Section[]
  handshakes: HandshakeProfile
  signatures: SignatureProfile
  scale: ScaleProfile
  roundTrips: { keys: readonly ServedKeyType[]; handshakes: number }
  startup: { rounds: number; agentTokens: readonly number[] }
  instructions: { signatures: number }
}

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  quick: {
    name: "quick",
    sections: ["handshakes", "round-trips", "signatures"],
    handshakes: {
      keys: ["RSA-2048", "P-256"],
      protocols: ["TLS1.3"],
      clients: [16],
      contenders: ["key-file", "tlskeep-engine", "softhsm-p11-kit"],
      ...{ rounds: 3, seconds: 0.6 },
    },
    signatures: {
      cases: [
        { key: "RSA-2048", threads: 16 },
        { key: "P-256", threads: 16 },
        { key: "P-256", threads: 1 },
      ],
      contenders: ["openssl-speed", "key-file", "tlskeep", "softhsm-p11-kit"],
      ...{ rounds: 3, seconds: 0.4, warmupSeconds: 0.1 },
    },
    scale: { keys: [1, 16], connections: [1, 50], ...{ rounds: 3, seconds: 0.6 } },
    // A signature is a request, whatever the key: one of them will do.
    roundTrips: { keys: ["P-256"], handshakes: 10 },
    startup: { rounds: 1, agentTokens: [1] },
    instructions: { signatures: 50 },
  },
  full: {
    name: "full",
    sections: SECTIONS,
    handshakes: {
      keys: ["RSA-2048", "P-256"],
      protocols: ["TLS1.2", "TLS1.3"],
      clients: [2, 16],
      contenders: ["key-file", "tlskeep-engine", "tlskeep-provider", "softhsm-p11-kit", "softhsm"],
      ...{ rounds: 7, seconds: 2 },
    },
    signatures: {
      cases: (["RSA-2048", "RSA-3072", "RSA-4096", "P-256", "P-384"] as const).flatMap((key) =>
        [1, 4, 16, 64].map((threads) => ({ key, threads })),
      ),
      contenders: ["openssl-speed", "key-file", "tlskeep", "softhsm-p11-kit", "softhsm"],
      ...{ rounds: 5, seconds: 1, warmupSeconds: 0.3 },
    },
    scale: { keys: [1, 16, 128, 1_000], connections: [1, 50, 500], ...{ rounds: 7, seconds: 2 } },
    roundTrips: { keys: ["RSA-2048", "P-256"], handshakes: 50 },
    startup: { rounds: 5, agentTokens: [1, 16, 128] },
    instructions: { signatures: 200 },
  },
}

/** The same with other rounds, or other seconds for a round of one contender: to try a section out. */
export function shortened(profile: Profile, by: { rounds?: number; seconds?: number }): Profile {
  const { handshakes, signatures, scale, startup } = profile
  const { rounds } = by
  return {
    ...profile,
    handshakes: { ...handshakes, ...by },
    signatures: { ...signatures, ...by },
    scale: { ...scale, ...by },
    startup: { ...startup, ...(rounds === undefined ? {} : { rounds }) },
  }
}
