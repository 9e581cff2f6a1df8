/** The allowlist of vsock-proxy: a YAML file that names every remote it may relay to. */
import { parse } from "yaml"
import { z } from "zod"
import { CodedError } from "../../shared/errors.js"
import { readIfThere } from "../files.js"

const allowlistSchema = z.object({
  allowlist: z.array(z.object({ address: z.string().min(1), port: z.int().min(1).max(65_535) })),
})

export type VsockProxyErrorCode = "bad-allowlist" | "not-allowed" | "unknown-host" | "bad-argument"

/** @throws CodedError `bad-allowlist` if the file is missing or not an allowlist. */
export function readAllowlist(file: string): z.infer<typeof allowlistSchema>["allowlist"] {
  try {
    return allowlistSchema.parse(parse(readIfThere(file)?.toString("utf8") ?? "")).allowlist
  } catch (cause) {
    throw new CodedError<VsockProxyErrorCode>("bad-allowlist", `${file} is no allowlist`, { cause })
  }
}

/** @throws CodedError `not-allowed` unless the file lists exactly this address and port. */
export function requireAllowed(file: string, address: string, port: number): void {
  const listed = readAllowlist(file).some((one) => one.address === address && one.port === port)
  if (listed) return
  throw new CodedError<VsockProxyErrorCode>(
    "not-allowed",
    `The given address and port are not allowed: ${address}:${port}`,
  )
}
