/** `openssl speed`: what the machine's cores can sign when nothing stands between. */
import { execa } from "execa"
import { CodedError } from "../../shared/errors.js"
import type { SigningKeyType } from "../report/schema.js"

const ALGORITHMS: Readonly<Record<SigningKeyType, string>> = {
  "RSA-2048": "rsa2048",
  "RSA-3072": "rsa3072",
  "RSA-4096": "rsa4096",
  "P-256": "ecdsap256",
  "P-384": "ecdsap384",
}

/**
 * Signatures per second by the wall clock, on so many processes. It takes whole seconds only.
 *
 * @throws CodedError `speed-failed`
 */
export async function opensslSpeed(keyType: SigningKeyType, processes: number): Promise<number> {
  const multi = processes > 1 ? ["-multi", String(processes)] : []
  const args = ["speed", "-mr", "-elapsed", "-seconds", "1", ...multi, ALGORITHMS[keyType]]
  const { stdout } = await execa("openssl", args, { env: { OPENSSL_CONF: "/dev/null" } })
  return parseSpeed(stdout)
}

/**
 * The line `+F2:n:bits:signs:verifies` of RSA or `+F4:…` of ECDSA; several processes' lines of the same
 * kind, which begin with `Got: `, are in its sum.
 *
 * @throws CodedError `speed-failed`
 */
export function parseSpeed(stdout: string): number {
  const perSecond = Number(/^\+F[24]:\d+:\d+:([0-9.]+):/m.exec(stdout)?.[1] ?? Number.NaN)
  if (perSecond > 0) return perSecond
  throw new CodedError("speed-failed", stdout)
}
