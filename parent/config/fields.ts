/** Kinds of values that several keys of the configuration take. */
import { isIP } from "node:net"
import { z } from "zod"
import { parseAddress } from "../../shared/address.js"
import { isCodedError } from "../../shared/errors.js"

/** A timer of Node's takes less than 25 days; a day is more than anyone means. */
export const DAY_SECS = 86_400

/** Quotes and control characters have no place in the web server's configuration. */
export const absolutePath = z
  .string()
  .regex(/^\/[^"\\\p{Cc}]*$/u, "must be an absolute path without quotes and backslashes")

/** An absolute path that can be a file's. */
export const filePath = absolutePath.regex(/[^/]$/, "must name a file, not a directory")

/** A command and its arguments, run without a shell. */
export const command = z.array(z.string().min(1)).min(1)

/** Name of a user or a group, or its number. */
export const accountName = z
  .string()
  .regex(/^[^\s:/-][^\s:/]{0,63}$/, "must be a name of the system, or its number")

/** `{cid}` and `{port}` stand for an enclave's CID and port. */
export const addressPattern = z.string().superRefine((pattern, context) => {
  try {
    parseAddress(pattern.replaceAll("{cid}", "4").replaceAll("{port}", "9999"))
  } catch (error) {
    if (!isCodedError(error, "malformed-address")) throw error
    context.addIssue({ code: "custom", message: error.message })
  }
})

/** Host name as in a certificate or a name service: labels of letters, digits and hyphens. */
export const hostName = z
  .string()
  .regex(
    /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)*$/,
    "must be a host name such as www.example.com",
  )

/** `<host>:<port>`: an IPv4 address, an IPv6 address in brackets or a host name, and a TCP port. */
export const hostAndPort = z
  .string()
  .refine(
    (text) => splitHostAndPort(text) !== undefined,
    "must be <host>:<port> such as 127.0.0.1:443 or [::1]:443, the port from 1 to 65535",
  )

/** `unix:<path>`, or an address of the loopback interface and a port. */
export const metricsAddress = z
  .string()
  .refine(
    (text) => isUnixAddress(text) || isLoopback(splitHostAndPort(text)?.host),
    "must be unix:<absolute path>, or a loopback address and port such as 127.0.0.1:9102",
  )

function splitHostAndPort(text: string): { host: string; port: number } | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  if (!(port >= 1 && port <= 65_535)) return undefined
  if (bracketed !== undefined) {
    return isIP(bracketed) === 6 ? { host: bracketed, port } : undefined
  }
  const host = plain ?? ""
  // What looks like an IPv4 address and is none is no host name either.
  const good = isIP(host) === 4 || (hostName.safeParse(host).success && !/^[0-9.]+$/.test(host))
  return good ? { host, port } : undefined
}

function isLoopback(host: string | undefined): boolean {
  if (host === undefined) return false
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."))
}

function isUnixAddress(text: string): boolean {
  if (!text.startsWith("unix:")) return false
  try {
    return parseAddress(text).kind === "unix"
  } catch (error) {
    if (isCodedError(error, "malformed-address")) return false
    throw error
  }
}
