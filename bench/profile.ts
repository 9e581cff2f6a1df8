/** How much to measure: the whole of it, or what fits a minute and a half. */
import type { HandshakeProfile } from "./measure/handshakes.js"
import type { ScaleProfile } from "./measure/scale.js"
import type { SignatureProfile } from "./measure/signatures.js"

/** Says one line to whoever watches. */
export type Say = (line: string) => void

export type ProfileName = "quick" | "full"

export interface Profile {
  name: ProfileName
  handshakes: HandshakeProfile
  signatures: SignatureProfile
  scale: ScaleProfile
  roundTrips: { handshakes: number }
  startup: { rounds: number }
  instructions: { signatures: number }
}

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  quick: {
    name: "quick",
    handshakes: {
      keys: ["RSA-2048", "P-256"],
      protocols: ["TLS1.3"],
      clients: [16],
      contenders: ["key-file", "tlskeep-engine", "softhsm-p11-kit"],
      ...{ rounds: 3, seconds: 1 },
    },
    signatures: {
      cases: [
        { key: "RSA-2048", threads: 16 },
        { key: "P-256", threads: 16 },
        { key: "P-256", threads: 1 },
      ],
      contenders: ["openssl-speed", "key-file", "tlskeep", "softhsm-p11-kit"],
      ...{ rounds: 3, seconds: 0.6, warmupSeconds: 0.2 },
    },
    scale: { keys: [1, 128], connections: [1], ...{ rounds: 3, seconds: 0.6 } },
    roundTrips: { handshakes: 10 },
    startup: { rounds: 1 },
    instructions: { signatures: 200 },
  },
  full: {
    name: "full",
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
    scale: { keys: [1, 16, 128, 1_000], connections: [1, 50, 500], ...{ rounds: 5, seconds: 1.5 } },
    roundTrips: { handshakes: 50 },
    startup: { rounds: 5 },
    instructions: { signatures: 1_000 },
  },
}
