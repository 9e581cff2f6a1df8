/** Files that are refused: each problem by line and column, by field, and with what is expected. */
import fc from "fast-check"
import { describe, expect, it, vi } from "vitest"
import { another, CERTIFICATE_ARN, MINIMAL, minimalWith, parse, refused } from "./config-files.js"

// Properties take seconds where the machine is busy.
vi.setConfig({ testTimeout: 60_000 })

/** Lines put in after a line of the minimal file, so that the first of them is line `at + 1`. */
function withLines(at: number, ...lines: string[]): string {
  return MINIMAL.split("\n")
    .toSpliced(at, 0, ...lines)
    .join("\n")
}

const SECTION = 0
const ENCLAVE = 2
const TOKEN = 4
const SOURCE = 7
const TARGET = 10

async function expectOnly(text: string, expected: string): Promise<void> {
  const { code, message, advice } = await refused(text)
  expect(message).toBe(`f.yaml:${expected}`)
  expect(code).toBe("config-invalid")
  expect(advice).toContain("README")
}

describe("misspelt keys", () => {
  const SECS = "a whole number of seconds, 1 to 86400"
  const MIB = "a whole number of MiB from 64"
  it.each<[name: string, text: string, expected: string]>([
    [
      "swapped letters",
      withLines(ENCLAVE, "  memroy_mib: 64"),
      `3:3: unknown key "memroy_mib" (did you mean memory_mib?), which takes ${MIB}`,
    ],
    [
      "hyphens",
      withLines(ENCLAVE, "  cpu-count: 2"),
      '3:3: unknown key "cpu-count" (did you mean cpu_count?), which takes a whole number from 1',
    ],
    [
      "camel case",
      withLines(ENCLAVE, "  memoryMib: 64"),
      `3:3: unknown key "memoryMib" (did you mean memory_mib?), which takes ${MIB}`,
    ],
    [
      "a unit left out",
      withLines(ENCLAVE, "  memory: 64"),
      `3:3: unknown key "memory" (did you mean memory_mib?), which takes ${MIB}`,
    ],
    [
      "another unit: MB",
      withLines(ENCLAVE, "  memory_mb: 512"),
      `3:3: unknown key "memory_mb" (did you mean memory_mib?), which takes ${MIB}`,
    ],
    [
      "another unit: GiB",
      withLines(ENCLAVE, "  memory_gib: 1"),
      `3:3: unknown key "memory_gib" (did you mean memory_mib?), which takes ${MIB}`,
    ],
    [
      "another unit: seconds",
      withLines(ENCLAVE, "  boot_timeout_secs: 5"),
      '3:3: unknown key "boot_timeout_secs" (did you mean boot_timeout_ms?), which takes a whole number of milliseconds, 100 to 600000',
    ],
    [
      "an interval without its unit",
      withLines(SECTION, "options:", "  sync_interval: 600"),
      `2:3: unknown key "sync_interval" (did you mean sync_interval_secs?), which takes ${SECS}`,
    ],
    [
      "an interval in milliseconds",
      withLines(SECTION, "options:", "  sync_interval_ms: 600000"),
      `2:3: unknown key "sync_interval_ms" (did you mean sync_interval_secs?), which takes ${SECS}`,
    ],
    [
      "an interval in minutes",
      withLines(SECTION, "options: {sync_interval_mins: 10}"),
      `1:11: unknown key "sync_interval_mins" (did you mean sync_interval_secs?), which takes ${SECS}`,
    ],
    [
      "a wait in seconds",
      withLines(SECTION, "options: {reload_wait_secs: 1}"),
      '1:11: unknown key "reload_wait_secs" (did you mean reload_wait_ms?), which takes a whole number of milliseconds, 100 to 600000',
    ],
    [
      "a name of a choice",
      withLines(SECTION, "options: {servcie: nginx}"),
      '1:11: unknown key "servcie" (did you mean service?), which takes one of httpd, nginx',
    ],
    [
      "a name of a switch",
      withLines(SECTION, "options: {nginx_forcestart: true}"),
      '1:11: unknown key "nginx_forcestart" (did you mean nginx_force_start?), which takes true or false',
    ],
    [
      "a name of a command",
      withLines(SECTION, "options: {reload_cmd: [x]}"),
      '1:11: unknown key "reload_cmd" (did you mean reload_command?), which takes a list of a command and its arguments, [command, argument]',
    ],
    [
      "an interval of a token",
      withLines(TOKEN, "    refresh_interval: 1"),
      `5:5: unknown key "refresh_interval" (did you mean refresh_interval_secs?), which takes ${SECS}`,
    ],
    ["a source's case", minimalWith("S3:", "s3:"), '6:7: unknown key "s3" (did you mean S3?)'],
    [
      "a source's key",
      withLines(SOURCE, "        kms_key: x"),
      '8:9: unknown key "kms_key" (did you mean kms_key_id?), which takes text',
    ],
    [
      "a target's name",
      minimalWith("Snippet:", "NginxStanca:"),
      '9:7: unknown key "NginxStanca" (did you mean NginxStanza?)',
    ],
    [
      "a target's key",
      withLines(TARGET, "        gruop: x"),
      '11:9: unknown key "gruop" (did you mean group?), which takes text',
    ],
    [
      "a listener's key",
      withLines(TARGET, "        listener: {address: 'x:1', servername: x}"),
      '11:36: unknown key "servername" (did you mean server_name?), which takes text',
    ],
    [
      "of aws",
      withLines(SECTION, "aws: {regoin: x}"),
      '1:7: unknown key "regoin" (did you mean region?), which takes text',
    ],
    [
      "of log",
      withLines(SECTION, "log: {levle: info}"),
      '1:7: unknown key "levle" (did you mean level?), which takes one of trace, debug, info, warn, error',
    ],
    [
      "of metrics",
      withLines(SECTION, "metrics: {listen: 'unix:/m', port: 1}"),
      '1:30: unknown key "port" (known here: listen)',
    ],
    [
      "at the wrong place",
      withLines(TOKEN, "    region: eu-west-1"),
      '5:5: unknown key "region" (it belongs below aws)',
    ],
    [
      "at the wrong place, one of a token's",
      withLines(SECTION, "refresh_interval_secs: 60"),
      '1:1: unknown key "refresh_interval_secs" (it belongs below tokens[])',
    ],
    [
      "at a place of many",
      withLines(TOKEN, "    path: /x"),
      '5:5: unknown key "path" (known here: label, pin, source, target, refresh_interval_secs)',
    ],
    [
      "like none",
      withLines(SECTION, "log: {colour: red}"),
      '1:7: unknown key "colour" (known here: level, enable_timestamp)',
    ],
    [
      "a source there is not",
      minimalWith("S3:", "Vault:"),
      '6:7: unknown key "Vault" (known here: Acm, S3, FileDb)',
    ],
    [
      "a PIN without a space is not quoted",
      `${MINIMAL}  - {label: b, pin:471147, source: {S3: {uri: "s3://keys/x"}}, target: {Conf: {path: /y}}}\n`,
      "11:16: unknown key (known here: label, pin, source, target, refresh_interval_secs)",
    ],
  ])("%s", (_name, text, expected) => expectOnly(text, expected))

  it("of the top level, beside what is missing then", async () => {
    const { message } = await refused(minimalWith("tokens:", "toknes:"))
    expect(message.split("\n")).toEqual([
      "f.yaml:1:1: tokens: is missing; expected a list of 1 to 128 sections",
      'f.yaml:3:1: unknown key "toknes" (did you mean tokens?), which takes a list of 1 to 128 sections',
    ])
  })

  it.each(["__proto__", "constructor", "toString"])("%s is none of ours", async (key) => {
    const { code, message } = await refused(`${MINIMAL}log:\n  ${key}: 1\n`)
    expect(code).toBe("config-invalid")
    expect(message).toContain(`f.yaml:12:3: unknown key "${key}"`)
  })
})

describe("values that are wrong", () => {
  const listenerShape =
    "must be <host>:<port> such as 127.0.0.1:443 or [::1]:443, the port from 1 to 65535"
  const metricsShape =
    "must be unix:<absolute path>, or a loopback address and port such as 127.0.0.1:9102"
  const arnShape = "arn:aws:acm:<region>:<account>:certificate/<id>"
  it.each<[name: string, text: string, expected: string]>([
    [
      "a number as text",
      withLines(ENCLAVE, '  cpu_count: "2"'),
      "3:14: enclave.cpu_count: expected a whole number from 1, not text",
    ],
    [
      "memory with a unit",
      withLines(ENCLAVE, "  memory_mib: 512M"),
      "3:15: enclave.memory_mib: expected a whole number of MiB from 64, not text",
    ],
    [
      "a time with a unit",
      withLines(SECTION, "options:", "  sync_interval_secs: 10m"),
      "2:23: options.sync_interval_secs: expected a whole number of seconds, 1 to 86400, not text",
    ],
    [
      "a fraction",
      withLines(ENCLAVE, "  cpu_count: 1.5"),
      "3:14: enclave.cpu_count: expected a whole number from 1",
    ],
    [
      "not a number",
      withLines(ENCLAVE, "  cpu_count: .nan"),
      "3:14: enclave.cpu_count: expected a whole number from 1",
    ],
    [
      "none at all",
      withLines(ENCLAVE, "  cpu_count:"),
      "3:13: enclave.cpu_count: expected a whole number from 1, not nothing",
    ],
    [
      "too small",
      withLines(ENCLAVE, "  memory_mib: 63"),
      "3:15: enclave.memory_mib: expected a whole number of MiB from 64",
    ],
    [
      "beyond a timer",
      withLines(SECTION, "options: {sync_interval_secs: 2147484}"),
      "1:31: options.sync_interval_secs: expected a whole number of seconds, 1 to 86400",
    ],
    [
      "zero",
      withLines(SECTION, "options: {nginx_reload_wait_ms: 0}"),
      "1:33: options.nginx_reload_wait_ms: expected a whole number of milliseconds, 100 to 600000",
    ],
    [
      "a refresh that races the lease",
      withLines(TOKEN, "    refresh_interval_secs: 86401"),
      "5:28: tokens[0].refresh_interval_secs: must be at most 86400: a token ends 48 h after it was last attested, and an attempt may fail",
    ],
    [
      "a relative path",
      minimalWith("/srv/", "srv/"),
      "2:15: enclave.image_path: must be an absolute path without quotes and backslashes",
    ],
    [
      "a path with a quote",
      minimalWith("/etc/apache2/", "/etc/'\"'/"),
      "10:15: tokens[0].target.Snippet.path: must be an absolute path without quotes and backslashes",
    ],
    [
      "a directory",
      minimalWith("tlskeep.conf", ""),
      "10:15: tokens[0].target.Snippet.path: must name a file, not a directory",
    ],
    [
      "a user that is none",
      withLines(TARGET, "        user: www data"),
      "11:15: tokens[0].target.Snippet.user: must be a name of the system, or its number",
    ],
    [
      "no URI of S3",
      minimalWith("s3://keys/www.json", "https://keys/www.json"),
      "7:14: tokens[0].source.S3.uri: must be s3://<bucket>/<key>",
    ],
    [
      "a bucket without a key",
      minimalWith("s3://keys/www.json", "s3://keys/"),
      "7:14: tokens[0].source.S3.uri: must be s3://<bucket>/<key>",
    ],
    [
      "a key alias",
      withLines(SOURCE, "        kms_key_id: alias/x"),
      "8:21: tokens[0].source.S3.kms_key_id: must be the ARN of a KMS key, arn:aws:kms:<region>:<account>:key/<id>",
    ],
    [
      "a certificate's ARN as AWS's sample has it",
      minimalWith("S3:\n        uri: s3://keys/www.json", 'Acm: {certificate_arn: ""}'),
      `6:30: tokens[0].source.Acm.certificate_arn: is empty: fill in the certificate's ARN, ${arnShape}`,
    ],
    [
      "the ARN of a role for a certificate's",
      minimalWith(
        "S3:\n        uri: s3://keys/www.json",
        "Acm: {certificate_arn: 'arn:aws:iam::123456789012:role/x'}",
      ),
      `6:30: tokens[0].source.Acm.certificate_arn: must be the ARN of a certificate, ${arnShape}`,
    ],
    [
      "a bucket that is none",
      minimalWith(
        "S3:\n        uri: s3://keys/www.json",
        `Acm: {bucket: a/b, certificate_arn: '${CERTIFICATE_ARN}'}`,
      ),
      "6:21: tokens[0].source.Acm.bucket: must be the end of a bucket's name",
    ],
    [
      "a relative path of a file",
      minimalWith("S3:\n        uri: s3://keys/www.json", "FileDb: {path: keys.json}"),
      "6:22: tokens[0].source.FileDb.path: must be an absolute path without quotes and backslashes",
    ],
    [
      "an entry without a name",
      minimalWith("S3:\n        uri: s3://keys/www.json", 'FileDb: {path: /k, id: ""}'),
      "6:30: tokens[0].source.FileDb.id: expected text that is not empty",
    ],
    [
      "a long label",
      minimalWith("label: www", `label: ${"ü".repeat(17)}`),
      "4:12: tokens[0].label: at most 32 bytes",
    ],
    [
      "a label that is a switch",
      minimalWith("label: www", "label: true"),
      "4:12: tokens[0].label: expected text that is not empty, not true or false",
    ],
    [
      "an empty label",
      minimalWith("label: www", 'label: ""'),
      "4:12: tokens[0].label: expected text that is not empty",
    ],
    [
      "a PIN too short",
      withLines(TOKEN, "    pin: 123"),
      "5:10: tokens[0].pin: expected text of 4 to 64 characters",
    ],
    [
      "a PIN too long",
      withLines(TOKEN, `    pin: ${"1".repeat(65)}`),
      "5:10: tokens[0].pin: expected text of 4 to 64 characters",
    ],
    [
      "a PIN with a line break",
      withLines(TOKEN, '    pin: "12\\n34"'),
      "5:10: tokens[0].pin: must not hold control characters",
    ],
    [
      "no PIN where one is begun",
      withLines(TOKEN, "    pin:"),
      "5:9: tokens[0].pin: expected text of 4 to 64 characters, not nothing",
    ],
    [
      "an unknown server",
      withLines(SECTION, "options: {service: caddy}"),
      "1:20: options.service: expected one of httpd, nginx",
    ],
    [
      "a unit with a slash",
      withLines(SECTION, "options: {unit: ../x}"),
      "1:17: options.unit: must be the name of a systemd unit",
    ],
    [
      "a command as one text",
      withLines(SECTION, "options: {reload_command: apachectl graceful}"),
      "1:27: options.reload_command: expected a list of a command and its arguments, [command, argument], not text",
    ],
    [
      "an empty command",
      withLines(SECTION, "options: {test_command: []}"),
      "1:25: options.test_command: expected a list of a command and its arguments, [command, argument]",
    ],
    [
      "a switch of YAML 1.1",
      withLines(SECTION, "options: {force_start: yes}"),
      "1:24: options.force_start: expected true or false, not text",
    ],
    [
      "an unknown syntax",
      withLines(SECTION, "options: {key_syntax: uri}"),
      "1:23: options.key_syntax: expected one of auto, engine, provider",
    ],
    [
      "an unknown delivery",
      withLines(SECTION, "options: {pin_delivery: env}"),
      "1:25: options.pin_delivery: expected one of auto, file, value",
    ],
    [
      "a PCR0 cut short",
      withLines(ENCLAVE, `  expected_pcr0: "${"ab".repeat(47)}"`),
      "3:18: enclave.expected_pcr0: must be 96 hex digits",
    ],
    [
      "a PCR0 left empty: nothing would be checked",
      withLines(ENCLAVE, "  expected_pcr0:"),
      "3:17: enclave.expected_pcr0: expected text, not nothing",
    ],
    [
      "a port of AWS's as text",
      withLines(ENCLAVE, '  rpc_port: "10000"'),
      "3:13: enclave.rpc_port: expected a whole number, 1 to 4294967294, not text",
    ],
    [
      "a count of AWS's below zero",
      withLines(ENCLAVE, "  attestation_retry_count: -1"),
      "3:28: enclave.attestation_retry_count: expected a whole number from 0",
    ],
    [
      "an address",
      withLines(ENCLAVE, "  address_pattern: tcp:{cid}:{port}"),
      '3:20: enclave.address_pattern: malformed address "tcp:4:9999": expected vsock:<cid>:<port>, unix:<path> or unix+vsock:<path>:<port>',
    ],
    [
      "a region",
      withLines(SECTION, "aws: {region: ireland}"),
      "1:15: aws.region: must be a region such as eu-west-1",
    ],
    [
      "a role by its name",
      withLines(SECTION, "aws: {role_arn: web}"),
      "1:17: aws.role_arn: must be the ARN of a role, arn:aws:iam::<account>:role/<name>",
    ],
    [
      "an unknown level",
      withLines(SECTION, "log: {level: verbose}"),
      "1:14: log.level: expected one of trace, debug, info, warn, error",
    ],
    [
      "a level in capitals",
      withLines(SECTION, "log: {level: INFO}"),
      "1:14: log.level: expected one of trace, debug, info, warn, error",
    ],
    [
      "a section that is a text",
      withLines(SECTION, "log: info"),
      "1:6: log: expected a section of keys: level, enable_timestamp, not text",
    ],
    [
      "a section that is a list",
      withLines(SECTION, "aws: [eu-west-1]"),
      "1:6: aws: expected a section of keys: region, role_arn, not a list",
    ],
    [
      "metrics with nothing in it",
      withLines(SECTION, "metrics:"),
      "1:9: metrics: expected a section of keys: listen, not nothing",
    ],
    [
      "a port alone for metrics",
      withLines(SECTION, "metrics: {listen: 9102}"),
      "1:19: metrics.listen: expected text, not a number",
    ],
    ...["0.0.0.0:9102", "10.0.0.1:9102", "127.0.0.1", "unix:m", "localhost:0"].map(
      (listen): [string, string, string] => [
        `metrics at ${listen}`,
        withLines(SECTION, `metrics: {listen: '${listen}'}`),
        `1:19: metrics.listen: ${metricsShape}`,
      ],
    ),
    ...[
      "443",
      ":443",
      "127.0.0.1",
      "127.0.0.1:0",
      "127.0.0.1:65536",
      "256.0.0.1:443",
      "::1:443",
    ].map((listener): [string, string, string] => [
      `a listener ${listener}`,
      withLines(TARGET, `        listener: "${listener}"`),
      `11:19: tokens[0].target.Snippet.listener.address: ${listenerShape}`,
    ]),
    ...["[127.0.0.1]:443", "https://www:443", "a b:443", "www:443/", "-www:443"].map(
      (listener): [string, string, string] => [
        `a listener {address: ${listener}}`,
        withLines(TARGET, "        listener:", `          address: "${listener}"`),
        `12:20: tokens[0].target.Snippet.listener.address: ${listenerShape}`,
      ],
    ),
    [
      "a listener without an address",
      withLines(TARGET, "        listener: {server_name: www}"),
      "11:19: tokens[0].target.Snippet.listener.address: is missing; expected text",
    ],
    [
      "a listener that is a port",
      withLines(TARGET, "        listener: 443"),
      "11:19: tokens[0].target.Snippet.listener: expected a section of keys: address, server_name, not a number",
    ],
    [
      "a server name with a port",
      withLines(TARGET, "        listener: {address: '127.0.0.1:443', server_name: 'www:443'}"),
      "11:59: tokens[0].target.Snippet.listener.server_name: must be a host name such as www.example.com",
    ],
    [
      "no token",
      `${MINIMAL.slice(0, MINIMAL.indexOf("tokens:"))}tokens: []\n`,
      "3:9: tokens: expected a list of 1 to 128 sections",
    ],
    [
      "tokens by name",
      `${MINIMAL.slice(0, MINIMAL.indexOf("tokens:"))}tokens: {www: {}}\n`,
      "3:9: tokens: expected a list of 1 to 128 sections, not a section of keys",
    ],
  ])("%s", (_name, text, expected) => expectOnly(text, expected))

  it("is refused wherever a number of the wrong size stands", () => {
    const least = { "sync_interval_secs: ": 1, "reload_wait_ms: ": 100 }
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...(Object.keys(least) as (keyof typeof least)[])),
        fc.integer({ min: -1_000_000, max: 0 }),
        fc.nat({ max: 20 }),
        async (key, number, blank) => {
          const lines = Array<string>(blank).fill("# nothing")
          const text = withLines(SECTION, "options:", ...lines, `  ${key}${number}`)
          const { message } = await refused(text)
          const place = `f.yaml:${blank + 2}:${key.length + 3}: `
          expect(message).toContain(`${place}options.${key}expected a whole number of `)
          expect(message).toContain(`, ${least[key]} to `)
        },
      ),
      { numRuns: 50 },
    )
  })
})

describe("keys that are missing", () => {
  it.each([
    [
      "tokens",
      MINIMAL.slice(0, MINIMAL.indexOf("tokens:")),
      "1:1: tokens: is missing; expected a list of 1 to 128 sections",
    ],
    [
      "the label",
      minimalWith("label: www", "pin: abcd"),
      "4:5: tokens[0].label: is missing; expected text that is not empty",
    ],
    [
      "what a source needs",
      minimalWith("uri: s3://keys/www.json", "{}"),
      "7:9: tokens[0].source.S3.uri: is missing; expected text",
    ],
    [
      "the target",
      MINIMAL.slice(0, MINIMAL.indexOf("    target:")),
      "4:5: tokens[0].target: is missing; expected a section of keys: Conf, NginxStanza, Snippet",
    ],
    [
      "all of a token",
      `${MINIMAL.slice(0, MINIMAL.indexOf("tokens:"))}tokens: [www]\n`,
      "3:10: tokens[0]: expected a section of keys: label, pin, source, target, refresh_interval_secs, not text",
    ],
    ["everything", "", " tokens: is missing; expected a list of 1 to 128 sections"],
    [
      "everything but comments",
      "# todo\n",
      " tokens: is missing; expected a list of 1 to 128 sections",
    ],
    [
      "the file's form",
      "- a\n- b\n",
      "1:1: the file: expected a section of keys: enclave, options, aws, metrics, tokens, log, not a list",
    ],
    [
      "the file's form, of a text",
      "hello\n",
      "1:1: the file: expected a section of keys: enclave, options, aws, metrics, tokens, log, not text",
    ],
  ])("%s", (_name, text, expected) => expectOnly(text, expected))
})

describe("exactly one of several", () => {
  it.each([
    [
      "sources: two",
      minimalWith("S3:", `Acm: {certificate_arn: '${CERTIFICATE_ARN}'}\n      S3:`),
      "7:7: tokens[0].source.S3: exactly one of Acm, S3, FileDb is expected, given are Acm and S3",
    ],
    [
      "sources: three",
      minimalWith(
        "S3:",
        `Acm: {certificate_arn: '${CERTIFICATE_ARN}'}\n      FileDb: {path: /k}\n      S3:`,
      ),
      "8:7: tokens[0].source.S3: exactly one of Acm, S3, FileDb is expected, given are Acm and S3 and FileDb",
    ],
    [
      "sources: none",
      minimalWith("      S3:\n        uri: s3://keys/www.json\n", "      {}\n"),
      "6:7: tokens[0].source: exactly one of Acm, S3, FileDb is expected, none is given",
    ],
    [
      "targets: two",
      minimalWith("Snippet:", "Conf: {path: /b}\n      Snippet:"),
      "10:7: tokens[0].target.Snippet: exactly one of Conf, NginxStanza, Snippet is expected, given are Conf and Snippet",
    ],
    [
      "targets: one by both names",
      minimalWith("Snippet:", "Conf: {path: /b}\n      NginxStanza:"),
      "10:7: tokens[0].target.NginxStanza: exactly one of Conf, NginxStanza, Snippet is expected, given are Conf and NginxStanza",
    ],
    [
      "names of an option",
      withLines(SECTION, "options:", "  force_start: true", "  nginx_force_start: true"),
      "3:3: options.nginx_force_start: is another name of force_start, which is given, too; expected one of them",
    ],
    [
      "names of an option, the other one first",
      withLines(SECTION, "options: {nginx_reload_wait_ms: 100, reload_wait_ms: 100}"),
      "1:11: options.nginx_reload_wait_ms: is another name of reload_wait_ms, which is given, too; expected one of them",
    ],
  ])("%s", (_name, text, expected) => expectOnly(text, expected))
})

describe("what must be there once", () => {
  const conf = (path: string): string =>
    `  - label: b\n    source: {FileDb: {path: /k.json}}\n    target: {Conf: {path: ${path}}}\n`
  it.each([
    ["labels", MINIMAL + another("www", "/etc/b.conf"), '11:12: label "www" is token 1\'s already'],
    [
      "labels, one written as a number",
      minimalWith("www", "'0123'") + another("0123", "/etc/b.conf"),
      '11:12: label "0123" is token 1\'s already',
    ],
    [
      "files written",
      MINIMAL + another("b", "/etc/apache2/tlskeep.conf"),
      '13:30: target file "/etc/apache2/tlskeep.conf" is token 1\'s already',
    ],
    [
      "files written, by another spelling",
      MINIMAL + another("b", "/etc//apache2/./x/../tlskeep.conf"),
      '13:30: target file "/etc//apache2/./x/../tlskeep.conf" is token 1\'s already',
    ],
    [
      "files written, by targets of two kinds",
      MINIMAL + conf("/etc/apache2/tlskeep.conf"),
      '13:27: target file "/etc/apache2/tlskeep.conf" is token 1\'s already',
    ],
    [
      "files written, under AWS's older name",
      MINIMAL + conf("/etc/apache2/tlskeep.conf").replace("Conf:", "NginxStanza:"),
      '13:34: target file "/etc/apache2/tlskeep.conf" is token 1\'s already',
    ],
    [
      "files of the run directory",
      minimalWith("/etc/apache2/tlskeep.conf", "/run/tlskeep/endpoint"),
      '10:15: target file "/run/tlskeep/endpoint" lies in options.run_dir, where all files are the agent\'s own',
    ],
    [
      "files of a run directory of one's own, by another spelling",
      `options: {run_dir: /srv/run/}\n${minimalWith("/etc/apache2/tlskeep.conf", "/srv/./run/pins/x")}`,
      '11:15: target file "/srv/./run/pins/x" lies in options.run_dir, where all files are the agent\'s own',
    ],
    [
      "a source's file",
      MINIMAL + conf("/k.json"),
      '13:27: target file "/k.json" is tokens[1].source.FileDb.path, too',
    ],
    [
      "the image",
      minimalWith("/etc/apache2/tlskeep.conf", "/srv/tlskeep.eif"),
      '10:15: target file "/srv/tlskeep.eif" is enclave.image_path, too',
    ],
    [
      "the metrics' socket",
      `metrics: {listen: "unix:/run/m"}\n${minimalWith("/etc/apache2/tlskeep.conf", "/run/m")}`,
      '11:15: target file "/run/m" is metrics.listen, too',
    ],
  ])("%s", (_name, text, expected) => expectOnly(text, expected))

  it("but not a directory beside the run directory", () => {
    const text = minimalWith("/etc/apache2/tlskeep.conf", "/run/tlskeep-web/x.conf")
    expect(parse(text).tokens[0]?.target.path).toBe("/run/tlskeep-web/x.conf")
  })

  it("names every token that is wrong", async () => {
    const text = MINIMAL + another("www", "/etc/a.conf") + another("www", "/etc/a.conf")
    expect((await refused(text)).message.split("\n")).toEqual([
      'f.yaml:11:12: label "www" is token 1\'s already',
      'f.yaml:14:12: label "www" is token 1\'s already',
      'f.yaml:16:30: target file "/etc/a.conf" is token 2\'s already',
    ])
  })
})

it("takes 128 tokens and no more", async () => {
  const text = (count: number): string =>
    JSON.stringify({
      tokens: Array.from({ length: count }, (_, i) => ({
        label: `t${i}`,
        source: { S3: { uri: `s3://keys/${i}.json` } },
        target: { Conf: { path: `/etc/${i}.conf` } },
      })),
    })
  expect(parse(text(128)).tokens).toHaveLength(128)
  await expectOnly(text(129), "1:11: tokens: expected a list of 1 to 128 sections")
})

it("reports all problems at once, in the order of the file", async () => {
  const text = minimalWith("/srv/tlskeep.eif", "relative\n  cpu_count: 0\n  memroy_mib: 1")
    .replace("label", "lable")
    .replace("s3://", "s4://")
  const { message } = await refused(text)
  expect(message.split("\n").map((line) => line.split(": ")[0])).toEqual([
    "f.yaml:2:15",
    "f.yaml:3:14",
    "f.yaml:4:3",
    "f.yaml:6:5",
    "f.yaml:6:5",
    "f.yaml:9:14",
  ])
})
