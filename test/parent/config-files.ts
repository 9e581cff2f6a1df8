/** Configuration files for tests. */
import { expect } from "vitest"
import type { Config } from "../../parent/config/config.js"
import { parseConfig } from "../../parent/config/load.js"
import type { AgentError } from "../../parent/errors.js"
import { refusalOf } from "./refusal.js"

export const MINIMAL = `enclave:
  image_path: /srv/tlskeep.eif
tokens:
  - label: www
    source:
      S3:
        uri: s3://keys/www.json
    target:
      Snippet:
        path: /etc/apache2/tlskeep.conf
`

/** What {@link MINIMAL} comes to. */
export const DEFAULTS: Config = {
  enclave: {
    image_path: "/srv/tlskeep.eif",
    cpu_count: 2,
    memory_mib: 512,
    boot_timeout_ms: 5_000,
    name: "tlskeep",
    nitro_cli_path: "nitro-cli",
    address_pattern: "vsock:{cid}:{port}",
  },
  options: {
    service: "httpd",
    force_start: true,
    reload_wait_ms: 10_000,
    sync_interval_secs: 600,
    run_dir: "/run/tlskeep",
    module_path: "/usr/lib/tlskeep/libtlskeep-pkcs11.so",
    key_syntax: "auto",
    pin_delivery: "auto",
  },
  aws: {},
  tokens: [
    {
      label: "www",
      source: { kind: "S3", uri: "s3://keys/www.json" },
      target: {
        kind: "Snippet",
        path: "/etc/apache2/tlskeep.conf",
        user: "root",
        group: "root",
      },
      refresh_interval_secs: 43_200,
    },
  ],
  log: { level: "info", enable_timestamp: true },
  notices: [],
}

export const KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d"
export const CERTIFICATE_ARN = "arn:aws:acm:eu-west-1:123456789012:certificate/0a1b-2c3d"

export function parse(text: string): Config {
  return parseConfig(text, "f.yaml")
}

export function refused(text: string): Promise<AgentError> {
  return refusalOf(() => parse(text))
}

/** The minimal file with some text in place of other. */
export function minimalWith(old: string, replacement: string): string {
  expect(MINIMAL).toContain(old)
  return MINIMAL.replace(old, () => replacement)
}

/** A further token for the end of the minimal file. */
export function another(label: string, path: string): string {
  return [
    `  - label: ${label}`,
    '    source: {S3: {uri: "s3://keys/2.json"}}',
    `    target: {Snippet: {path: ${path}}}`,
    "",
  ].join("\n")
}
