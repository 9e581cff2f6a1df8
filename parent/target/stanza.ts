/** The file of two directives that a virtual host of httpd or a server of nginx includes. */
import type { OptionsConfig } from "../config/config.js"

export interface StanzaValues {
  certificateFile: string
  /** Value of SSLCertificateKeyFile or ssl_certificate_key. */
  key: string
}

const HEADER = "# Written by tlskeep; changes are lost at the next renewal."

/** The file's text; the values hold no quotes and no backslashes. */
export function stanza(
  service: OptionsConfig["service"],
  { certificateFile, key }: StanzaValues,
): string {
  const directives =
    service === "httpd"
      ? [`SSLCertificateFile "${certificateFile}"`, `SSLCertificateKeyFile "${key}"`]
      : [`ssl_certificate_key "${key}";`, `ssl_certificate "${certificateFile}";`]
  return `${[HEADER, ...directives].join("\n")}\n`
}
