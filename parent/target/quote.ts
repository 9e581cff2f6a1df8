/** What a web server said, as it may stand in an error: its end, without PINs and PKCS #11 URIs. */
import { encode } from "./pkcs11-uri.js"

const MAX_QUOTED = 600

/**
 * The end of a command's output, preceded by `: `; empty where there is none.
 *
 * @param pins - every PIN that may be in it, as it is or percent-encoded
 */
export function quoteEnd(output: string, pins: readonly string[]): string {
  const said = withoutSecrets(output, pins).trim()
  if (said === "") return ""
  return `: ${said.length > MAX_QUOTED ? said.slice(-MAX_QUOTED) : said}`
}

/** The text with every PIN and every PKCS #11 URI taken out. */
export function withoutSecrets(text: string, pins: readonly string[]): string {
  const withoutUris = text.replace(/pkcs11:[^\s"'`<>)]*/gi, "pkcs11:…")
  return pins
    .flatMap((pin) => [encode(pin), pin])
    .reduce((rest, secret) => rest.replaceAll(secret, "…"), withoutUris)
}
