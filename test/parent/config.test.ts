/** The configuration file: what it comes to, and where it says that something is wrong. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { stringify } from "yaml"
import type { Config } from "../../parent/config/config.js"
import { loadConfig, parseConfig } from "../../parent/config/load.js"
import { refusalOf } from "./refusal.js"

const MINIMAL = `enclave:
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

const DEFAULTS: Config = {
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
    reload_command: ["apachectl", "-k", "graceful"],
    sync_interval_secs: 600,
    run_dir: "/run/tlskeep",
    module_path: "/usr/lib/tlskeep/libtlskeep-pkcs11.so",
  },
  aws: {},
  tokens: [
    {
      label: "www",
      source: { S3: { uri: "s3://keys/www.json" } },
      target: { Snippet: { path: "/etc/apache2/tlskeep.conf", user: "root", group: "root" } },
      refresh_interval_secs: 43_200,
    },
  ],
  log: { level: "info", enable_timestamp: true },
}

const KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d"

const FULL: Config = {
  enclave: {
    image_path: "/srv/a b.eif",
    cpu_count: 4,
    memory_mib: 1_024,
    boot_timeout_ms: 20_000,
    name: "keep_1",
    expected_pcr0: "Ab".repeat(48),
    nitro_cli_path: "/opt/bin/nitro-cli",
    address_pattern: "unix+vsock:/run/vm-{cid}.sock:{port}",
  },
  options: {
    service: "httpd",
    reload_command: ["systemctl", "reload", "apache2"],
    sync_interval_secs: 30,
    run_dir: "/run/keep",
    module_path: "/opt/module.so",
  },
  aws: { region: "eu-west-1" },
  tokens: [
    {
      label: "www",
      pin: "1234",
      source: { S3: { uri: "s3://keys/a/b c.json", kms_key_id: KEY_ARN } },
      target: { Snippet: { path: "/etc/a.conf", user: "www-data", group: "www-data" } },
      refresh_interval_secs: 3_600,
    },
    {
      label: "näme 2",
      source: { S3: { uri: "s3://keys/2.json" } },
      target: { Snippet: { path: "/etc/b.conf", user: "root", group: "root" } },
      refresh_interval_secs: 60,
    },
  ],
  log: { level: "trace", enable_timestamp: false },
}

function refused(text: string) {
  return refusalOf(() => parseConfig(text, "f.yaml"))
}

/** The minimal file with some text in place of other. */
function minimalWith(old: string, replacement: string): string {
  expect(MINIMAL).toContain(old)
  return MINIMAL.replace(old, replacement)
}

describe("a file that is right", () => {
  it("is filled up with the defaults", () => {
    expect(parseConfig(MINIMAL, "f.yaml")).toEqual(DEFAULTS)
  })

  it("is taken as it stands where it says everything", () => {
    expect(parseConfig(stringify(FULL), "f.yaml")).toEqual(FULL)
  })

  it("may be JSON, which is YAML", () => {
    expect(parseConfig(JSON.stringify(FULL), "f.yaml")).toEqual(FULL)
  })

  it("may have sections with nothing in them but comments", async () => {
    const { code, message } = await refused(`${MINIMAL}options:\n  # service: httpd\n`)
    expect(code).toBe("config-invalid")
    expect(message).toMatch(/^f\.yaml:11:9: options: .*expected object, received null$/)
    expect(parseConfig(`${MINIMAL}options: {} # nothing\n`, "f.yaml")).toEqual(DEFAULTS)
  })
})

describe("misspelt keys", () => {
  const cases: [name: string, old: string, replacement: string, place: string, likely: string][] = [
    ["top level", "tokens:", "toknes:", "3:1", "tokens"],
    ["swapped letters", "image_path:", "memroy_mib: 64\n  image_path:", "2:3", "memory_mib"],
    ["hyphens", "image_path:", "cpu-count: 2\n  image_path:", "2:3", "cpu_count"],
    ["camel case", "image_path:", "memoryMib: 64\n  image_path:", "2:3", "memory_mib"],
    ["a unit left out", "image_path:", "memory: 64\n  image_path:", "2:3", "memory_mib"],
    ["a short key", "- label:", "- lable:", "4:5", "label"],
    [
      "of a token",
      "    source:",
      "    refresh_interval: 1\n    source:",
      "5:5",
      "refresh_interval_secs",
    ],
    ["a source's case", "S3:", "s3:", "6:7", "S3"],
    ["of a source", "        uri:", "        kms_key: x\n        uri:", "7:9", "kms_key_id"],
    ["a target's case", "Snippet:", "snippet:", "9:7", "Snippet"],
    ["of a target", "path: /etc", "gruop: x\n        path: /etc", "10:9", "group"],
    ["of aws", "enclave:", "aws: {regoin: x}\nenclave:", "1:7", "region"],
    ["of log", "enclave:", "log: {levle: info}\nenclave:", "1:7", "level"],
    [
      "of options",
      "enclave:",
      "options:\n  sync-interval-sec: 1\nenclave:",
      "2:3",
      "sync_interval_secs",
    ],
  ]
  it.each(cases)("%s", async (_name, old, replacement, place, likely) => {
    const { code, message } = await refused(minimalWith(old, replacement))
    expect(code).toBe("config-invalid")
    const line = message.split("\n").find((one) => one.includes("unknown key")) ?? message
    expect(line).toMatch(
      new RegExp(`^f\\.yaml:${place}: unknown key "[^"]+" \\(did you mean ${likely}\\?\\)$`),
    )
  })

  it("lists the known keys where nothing is like it", async () => {
    const { message } = await refused(`${MINIMAL}log:\n  colour: red\n`)
    expect(message).toBe('f.yaml:12:3: unknown key "colour" (known here: level, enable_timestamp)')
    const { message: source } = await refused(minimalWith("S3:", "Vault:"))
    expect(source).toContain('f.yaml:6:7: unknown key "Vault" (known here: S3)')
  })

  it("does not guess at random", async () => {
    const { message } = await refused(minimalWith("S3:", "db:"))
    expect(message).toContain('unknown key "db" (known here: S3)')
  })

  it("takes no key of Object.prototype for a known one", async () => {
    for (const key of ["__proto__", "constructor", "toString"]) {
      const { code, message } = await refused(`${MINIMAL}log:\n  ${key}: 1\n`)
      expect(code).toBe("config-invalid")
      expect(message).toContain(`f.yaml:12:3: unknown key "${key}"`)
    }
  })
})

describe("values that are wrong", () => {
  const cases: [name: string, old: string, replacement: string, problem: RegExp][] = [
    [
      "a number as text",
      "image_path:",
      'cpu_count: "2"\n  image_path:',
      /^f\.yaml:2:14: enclave\.cpu_count: .*expected number, received string$/,
    ],
    [
      "a unit",
      "image_path:",
      "memory_mib: 512M\n  image_path:",
      /^f\.yaml:2:15: enclave\.memory_mib: .*expected number/,
    ],
    [
      "a fraction",
      "image_path:",
      "cpu_count: 1.5\n  image_path:",
      /^f\.yaml:2:14: enclave\.cpu_count: .*expected int/,
    ],
    [
      "too small",
      "image_path:",
      "memory_mib: 63\n  image_path:",
      /^f\.yaml:2:15: enclave\.memory_mib: .*>=64/,
    ],
    [
      "beyond a timer",
      "enclave:",
      "options: {sync_interval_secs: 2147484}\nenclave:",
      /^f\.yaml:1:31: options\.sync_interval_secs: .*<=86400/,
    ],
    [
      "a lease that would end",
      "label: www",
      "label: www\n    refresh_interval_secs: 172800",
      /^f\.yaml:5:28: tokens\[0\]\.refresh_interval_secs: .*<=86400/,
    ],
    [
      "a relative path",
      "/srv/",
      "srv/",
      /^f\.yaml:2:15: enclave\.image_path: must be an absolute path/,
    ],
    [
      "a path with a quote",
      "/etc/apache2/",
      "/etc/'\"'/",
      /^f\.yaml:10:15: tokens\[0\]\.target\.Snippet\.path: .*without quotes/,
    ],
    [
      "no URI of S3",
      "s3://keys/www.json",
      "https://keys/www.json",
      /^f\.yaml:7:14: tokens\[0\]\.source\.S3\.uri: must be s3:\/\/<bucket>\/<key>$/,
    ],
    [
      "a bucket without a key",
      "s3://keys/www.json",
      "s3://keys/",
      /tokens\[0\]\.source\.S3\.uri: must be s3/,
    ],
    [
      "a key alias",
      "www.json\n",
      "www.json\n        kms_key_id: alias/x\n",
      /^f\.yaml:8:21: tokens\[0\]\.source\.S3\.kms_key_id: must be the ARN of a KMS key$/,
    ],
    [
      "a long label",
      "label: www",
      `label: ${"ü".repeat(17)}`,
      /^f\.yaml:4:12: tokens\[0\]\.label: at most 32 bytes$/,
    ],
    [
      "an unknown server",
      "enclave:",
      "options: {service: caddy}\nenclave:",
      /^f\.yaml:1:20: options\.service: .*"httpd"$/,
    ],
    [
      "a command as one text",
      "enclave:",
      "options: {reload_command: apachectl graceful}\nenclave:",
      /^f\.yaml:1:27: options\.reload_command: .*expected array/,
    ],
    [
      "an empty command",
      "enclave:",
      "options: {reload_command: []}\nenclave:",
      /^f\.yaml:1:27: options\.reload_command/,
    ],
    [
      "a PCR0 cut short",
      "image_path:",
      `expected_pcr0: "${"ab".repeat(47)}"\n  image_path:`,
      /^f\.yaml:2:18: enclave\.expected_pcr0: must be 96 hex digits$/,
    ],
    [
      "an address",
      "image_path:",
      "address_pattern: tcp:{cid}:{port}\n  image_path:",
      /^f\.yaml:2:20: enclave\.address_pattern: malformed address/,
    ],
    [
      "a region",
      "enclave:",
      "aws: {region: ireland}\nenclave:",
      /^f\.yaml:1:15: aws\.region: must be a region such as eu-west-1$/,
    ],
    [
      "no token",
      MINIMAL.slice(MINIMAL.indexOf("tokens:")),
      "tokens: []\n",
      /^f\.yaml:3:9: tokens: /,
    ],
  ]
  it.each(cases)("%s", async (_name, old, replacement, problem) => {
    const { code, message, advice } = await refused(minimalWith(old, replacement))
    expect(code).toBe("config-invalid")
    expect(message).toMatch(problem)
    expect(message).not.toContain("\n")
    expect(advice).toContain("README")
  })

  it("takes 128 tokens and no more", async () => {
    const [token] = DEFAULTS.tokens
    const tokens = (count: number) =>
      Array.from({ length: count }, (_, i) => ({
        ...token,
        label: `t${i}`,
        target: { Snippet: { path: `/etc/${i}.conf` } },
      }))
    const text = (count: number) => JSON.stringify({ ...DEFAULTS, tokens: tokens(count) })
    expect(parseConfig(text(128), "f.yaml").tokens).toHaveLength(128)
    expect((await refused(text(129))).message).toMatch(/tokens: .*<=128/)
  })
})

describe("keys that are missing", () => {
  it.each([
    ["a section", MINIMAL.slice(0, MINIMAL.indexOf("tokens:")), "f.yaml:1:1: tokens: is missing"],
    [
      "a key",
      minimalWith("image_path: /srv/tlskeep.eif", "cpu_count: 2"),
      "f.yaml:2:3: enclave.image_path: is missing",
    ],
    [
      "the label",
      minimalWith("label: www", "pin: abcd"),
      "f.yaml:4:5: tokens[0].label: is missing",
    ],
    [
      "the source",
      minimalWith("      S3:\n        uri: s3://keys/www.json\n", "      {}\n"),
      "f.yaml:6:7: tokens[0].source.S3: is missing",
    ],
    [
      "the target",
      MINIMAL.slice(0, MINIMAL.indexOf("    target:")),
      "f.yaml:4:5: tokens[0].target: is missing",
    ],
    ["an empty file", "", "f.yaml: enclave: is missing\nf.yaml: tokens: is missing"],
    ["nothing but comments", "# todo\n", "f.yaml: enclave: is missing\nf.yaml: tokens: is missing"],
  ])("%s", async (_name, text, expected) => {
    const { code, message } = await refused(text)
    expect(code).toBe("config-invalid")
    expect(message).toBe(expected)
  })

  it("says that a file is no configuration at all", async () => {
    const { code, message } = await refused("- a\n- b\n")
    expect(code).toBe("config-invalid")
    expect(message).toMatch(/^f\.yaml:1:1: the file: .*expected object, received array$/)
  })
})

describe("what must be there once", () => {
  const second = (label: string, path: string): string =>
    `  - label: ${label}\n    source: {S3: {uri: "s3://keys/2.json"}}\n    target: {Snippet: {path: ${path}}}\n`

  it("labels", async () => {
    const { code, message } = await refused(MINIMAL + second("www", "/etc/b.conf"))
    expect(code).toBe("config-invalid")
    expect(message).toBe('f.yaml:11:12: label "www" is token 1\'s already')
  })

  it("files written", async () => {
    const { message } = await refused(MINIMAL + second("b", "/etc/apache2/tlskeep.conf"))
    expect(message).toMatch(
      /^f\.yaml:13:13: target file "\/etc\/apache2\/tlskeep\.conf" is token 1's/,
    )
  })

  it("files written, by another spelling", async () => {
    const { message } = await refused(MINIMAL + second("b", "/etc//apache2/./tlskeep.conf"))
    expect(message).toMatch(/target file .* is token 1's already$/)
  })

  it("a source and a target", async () => {
    const two = minimalWith("      S3:", "      Acm: {certificate_arn: x}\n      S3:")
    expect((await refused(two)).message).toBe('f.yaml:6:7: unknown key "Acm" (known here: S3)')
  })
})

describe("what is not YAML", () => {
  it.each([
    ["a key given twice", `${MINIMAL}log: {}\nlog: {}\n`, /^f\.yaml:12:1: the key is given twice$/],
    ["a tab", MINIMAL.replace("  image_path", "\timage_path"), /^f\.yaml:2:\d+: .*tab/],
    ["an open bracket", "enclave: {image_path: /x\n", /^f\.yaml:2:1: .*bracket is not closed$/],
    ["an open quote", 'enclave:\n  image_path: "/x\n', /^f\.yaml:\d+:\d+: .*missing$/],
    ["bad indentation", "enclave:\n  image_path: /x\n cpu_count: 2\n", /^f\.yaml:3:\d+: /],
    ["two documents", `${MINIMAL}---\na: 1\n`, /^f\.yaml:1[12]:1: a second document/],
    [
      "an alias to nothing",
      minimalWith("/srv/tlskeep.eif", "*image"),
      /^f\.yaml.*: an alias \(\*\) without an anchor/,
    ],
  ])("%s", async (_name, text, problem) => {
    const { code, message, advice } = await refused(text)
    expect(code).toBe("config-not-yaml")
    expect(message).toMatch(problem)
    expect(advice).toBe("Correct the YAML there.")
  })

  it("a file that grows without bounds", async () => {
    const bomb = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for (const [name, before] of ["ba", "cb", "dc", "ed", "fe", "gf"]) {
      bomb.push(`${name}: &${name} [${Array(9).fill(`*${before}`).join(", ")}]`)
    }
    expect((await refused(bomb.join("\n"))).code).toBe("config-not-yaml")
  })
})

it("reports all problems at once, each with its place", async () => {
  const text = minimalWith("/srv/tlskeep.eif", "relative\n  cpu_count: 0\n  memroy_mib: 1").replace(
    "label",
    "lable",
  )
  const { message } = await refused(text)
  const places = message.split("\n").map((line) => line.split(": ")[0])
  expect(places.toSorted()).toEqual([
    "f.yaml:2:15",
    "f.yaml:3:14",
    "f.yaml:4:3",
    "f.yaml:6:5",
    "f.yaml:6:5",
  ])
})

describe("a PIN in a file that is wrong", () => {
  const SECRET = "s3cr3t-4711"
  it.each([
    ["too long", `"${SECRET.repeat(10)}"`],
    ["a list", `[${SECRET}]`],
    ["a map", `{x: ${SECRET}}`],
    ["a control character", `"${SECRET}\\t"`],
    ["an open quote", `"${SECRET}`],
    ["text behind a quote", `"ab" ${SECRET}`],
    ["an alias", `*${SECRET}`],
    ["a tag", `!${SECRET} x`],
    ["a reserved character", `@${SECRET}`],
    ["a block scalar's header", `|${SECRET}`],
    ["an escape", `"\\z${SECRET}"`],
    ["a colon in it", `a: ${SECRET}`],
    ["a brace behind it", `${SECRET}\n  }`],
    ["a directive", `x\n%${SECRET}`],
  ])("is not in the message: %s", async (_name, pin) => {
    const error = await refused(minimalWith("label: www", `label: www\n    pin: ${pin}`))
    const told = [error.message, error.advice, JSON.stringify(error), String(error.cause)].join(" ")
    expect(told).not.toContain(SECRET)
    expect(told).not.toContain("4711")
  })

  it("of digits is asked to be text, without being quoted", async () => {
    const { message } = await refused(minimalWith("label: www", "label: www\n    pin: 471147"))
    expect(message).toMatch(/^f\.yaml:5:10: tokens\[0\]\.pin: .*expected string, received number$/)
    expect(message).not.toContain("471147")
  })
})

describe("loadConfig", () => {
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "config-"))
  })
  afterAll(() => rm(dir, { recursive: true }))

  it("reads a file", async () => {
    const file = join(dir, "a.yaml")
    await writeFile(file, MINIMAL)
    expect(await loadConfig(file)).toEqual(DEFAULTS)
  })

  it.each([
    ["missing", "none.yaml", "ENOENT"],
    ["a directory", ".", "EISDIR"],
  ])("says that it is %s", async (_name, name, reason) => {
    const file = join(dir, name)
    const { code, message, advice } = await refusalOf(loadConfig(file))
    expect(code).toBe("config-unreadable")
    expect(message).toBe(`cannot read the configuration ${file}: ${reason}`)
    expect(advice).toContain("--config")
  })
})
