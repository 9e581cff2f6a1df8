/** The configuration file: what it comes to, and that what is no configuration is refused safely. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { stringify } from "yaml"
import type { Config } from "../../parent/config/config.js"
import { loadConfig } from "../../parent/config/load.js"
import { AgentError } from "../../parent/errors.js"
import {
  CERTIFICATE_ARN,
  DEFAULTS,
  KEY_ARN,
  MINIMAL,
  minimalWith,
  parse,
  refused,
} from "./config-files.js"
import { refusalOf } from "./refusal.js"

// Properties take seconds where the machine is busy.
vi.setConfig({ testTimeout: 60_000 })

const ROLE_ARN = "arn:aws:iam::123456789012:role/web/server+1"

const FULL_FILE = {
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
    service: "nginx",
    unit: "nginx@web.service",
    test_command: ["nginx", "-t"],
    reload_command: ["systemctl", "reload", "nginx"],
    start_command: ["systemctl", "start", "nginx"],
    force_start: false,
    reload_wait_ms: 100,
    sync_interval_secs: 30,
    run_dir: "/run/keep",
    module_path: "/opt/module.so",
    key_syntax: "provider",
    pin_delivery: "value",
  },
  aws: { region: "eu-west-1", role_arn: ROLE_ARN },
  metrics: { listen: "127.0.0.1:9102" },
  tokens: [
    {
      label: "www",
      pin: "1234",
      source: { S3: { uri: "s3://keys/a/b c.json", kms_key_id: KEY_ARN } },
      target: {
        Snippet: {
          path: "/etc/a.conf",
          user: "www-data",
          group: "www-data",
          listener: { address: "[::1]:443", server_name: "www.example.com" },
        },
      },
      refresh_interval_secs: 3_600,
    },
    {
      label: "näme 2",
      source: { Acm: { certificate_arn: CERTIFICATE_ARN, bucket: "beta", kms_key_id: KEY_ARN } },
      target: { Conf: { path: "/etc/b.conf", listener: "localhost:8443" } },
      refresh_interval_secs: 60,
    },
    {
      label: "3",
      source: {
        FileDb: {
          path: "/var/keys.json",
          id: "second",
          certificate_path: "/var/web.pem",
          kms_key_id: KEY_ARN,
        },
      },
      target: { NginxStanza: { path: "/etc/c.conf", user: "nginx" } },
    },
  ],
  log: { level: "trace", enable_timestamp: false },
}

const FULL: Config = {
  enclave: { ...FULL_FILE.enclave, expected_pcr0: "ab".repeat(48) },
  options: {
    ...FULL_FILE.options,
    service: "nginx",
    key_syntax: "provider",
    pin_delivery: "value",
  },
  aws: FULL_FILE.aws,
  metrics: FULL_FILE.metrics,
  tokens: [
    {
      label: "www",
      pin: "1234",
      source: { kind: "S3", uri: "s3://keys/a/b c.json", kms_key_id: KEY_ARN },
      target: {
        kind: "Snippet",
        path: "/etc/a.conf",
        user: "www-data",
        group: "www-data",
        listener: { address: "[::1]:443", server_name: "www.example.com" },
      },
      refresh_interval_secs: 3_600,
    },
    {
      label: "näme 2",
      source: {
        kind: "Acm",
        certificate_arn: CERTIFICATE_ARN,
        bucket: "beta",
        kms_key_id: KEY_ARN,
      },
      target: {
        kind: "Conf",
        path: "/etc/b.conf",
        user: "root",
        group: "root",
        listener: { address: "localhost:8443" },
      },
      refresh_interval_secs: 60,
    },
    {
      label: "3",
      source: {
        kind: "FileDb",
        path: "/var/keys.json",
        id: "second",
        certificate_path: "/var/web.pem",
        kms_key_id: KEY_ARN,
      },
      target: { kind: "Conf", path: "/etc/c.conf", user: "nginx", group: "root" },
      refresh_interval_secs: 43_200,
    },
  ],
  log: { level: "trace", enable_timestamp: false },
  notices: [],
}

describe("a file that is right", () => {
  it("is filled up with the defaults", () => {
    expect(parse(MINIMAL)).toEqual(DEFAULTS)
  })

  it("needs no section but tokens", () => {
    const tokens = MINIMAL.slice(MINIMAL.indexOf("tokens:"))
    const { image_path, ...enclave } = parse(tokens).enclave
    expect(image_path).toBe("/usr/share/tlskeep/tlskeep.eif")
    expect(enclave).toEqual((({ image_path: _, ...rest }) => rest)(DEFAULTS.enclave))
  })

  it("is taken as it stands where it says everything", () => {
    expect(parse(stringify(FULL_FILE))).toEqual(FULL)
  })

  it("may be JSON, which is YAML", () => {
    expect(parse(JSON.stringify(FULL_FILE))).toEqual(FULL)
  })

  it.each(["options", "aws", "log"])("may have nothing but comments in %s", (section) => {
    expect(parse(`${MINIMAL}${section}:\n  # nothing\n`)).toEqual(DEFAULTS)
    expect(parse(`${MINIMAL}${section}: {} # nothing\n`)).toEqual(DEFAULTS)
  })

  it("takes the defaults of an enclave section of comments", () => {
    const text = minimalWith("  image_path: /srv/tlskeep.eif", "  # none")
    expect(parse(text).enclave.image_path).toBe("/usr/share/tlskeep/tlskeep.eif")
  })

  it.each([
    ["an IPv4 address", "10.1.2.3:443"],
    ["an IPv6 address", "'[2001:db8::1]:443'"],
    ["a host name", "www-1.example.com:65535"],
  ])("takes %s as a listener, for short", (_name, address) => {
    const { tokens } = parse(`${MINIMAL}        listener: ${address}\n`)
    expect(tokens[0]?.target.listener).toEqual({ address: address.replaceAll("'", "") })
  })

  it.each(["unix:/run/m.sock", "127.0.0.1:9102", "127.9.9.9:1", "'[::1]:9102'", "localhost:65535"])(
    "takes %s for metrics",
    (listen) => {
      const { metrics } = parse(`${MINIMAL}metrics: {listen: ${listen}}\n`)
      expect(metrics).toEqual({ listen: listen.replaceAll("'", "") })
    },
  )

  it("takes a user and a group by number", () => {
    const { tokens } = parse(`${MINIMAL}        user: 33\n        group: 033\n`)
    expect(tokens[0]?.target).toMatchObject({ user: "33", group: "033" })
  })
})

describe("labels and PINs that are written as numbers", () => {
  it.each([
    "1234",
    "0123",
    "00000000",
    "1e10",
    "0x1F",
    "0o17",
    "12345678901234567890",
    "1.50",
    "-123",
  ])("are taken as they are spelt: %s", (digits) => {
    const text = minimalWith("label: www", `label: ${digits}\n    pin: ${digits}`)
    expect(parse(text).tokens[0]).toMatchObject({ label: digits, pin: digits })
  })

  it("are taken so by an alias, too", () => {
    const text = minimalWith(
      "label: www",
      "refresh_interval_secs: &n 3600\n    label: *n\n    pin: *n",
    )
    expect(parse(text).tokens[0]).toMatchObject({
      label: "3600",
      pin: "3600",
      refresh_interval_secs: 3_600,
    })
  })

  it("are taken as they are spelt, whatever the digits", () => {
    const digits = fc.stringMatching(/^[0-9]{4,20}$/)
    fc.assert(
      fc.property(digits, (pin) => {
        const text = minimalWith("label: www", `label: ${pin}\n    pin: ${pin}`)
        expect(parse(text).tokens[0]).toMatchObject({ label: pin, pin })
      }),
    )
  })

  it("are told apart by their spelling", () => {
    const text = `${minimalWith("label: www", "label: 7")}  - label: 07
    source: {S3: {uri: "s3://keys/2.json"}}
    target: {Snippet: {path: /etc/b.conf}}
`
    expect(parse(text).tokens.map(({ label }) => label)).toEqual(["7", "07"])
  })

  it("are taken so as the id of an entry", () => {
    const text = minimalWith(
      "S3:\n        uri: s3://keys/www.json",
      "FileDb:\n        path: /k.json\n        id: 007",
    )
    expect(parse(text).tokens[0]?.source).toEqual({ kind: "FileDb", path: "/k.json", id: "007" })
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

const SECRET = "s3cr3t-4711"

describe("a PIN in a file that is wrong", () => {
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

  it.each([
    ["too short", "pin: 47", "47"],
    ["without a space, a key to YAML", "pin4711: x", "4711"],
    ["in braces without a space", "{pin:4711}", "4711"],
    ["as a key", `${SECRET} 1: x`, SECRET],
  ])("is not in the message: %s", async (_name, line, secret) => {
    const { code, message } = await refused(minimalWith("label: www", `label: www\n    ${line}`))
    expect(code).toMatch(/^config-(invalid|not-yaml)$/)
    expect(message).not.toContain(secret)
  })

  it("is told by its place and what is expected", async () => {
    const { message } = await refused(minimalWith("label: www", "label: www\n    pin: 471"))
    expect(message).toBe("f.yaml:5:10: tokens[0].pin: expected text of 4 to 64 characters")
  })
})

it("lets no warning of the parser's quote the file", async () => {
  const warned = vi.spyOn(process, "emitWarning")
  try {
    for (const key of [`{pin: ${SECRET}}`, `[${SECRET}]`, `? ${SECRET}: x\n`]) {
      const { code, message } = await refused(`${MINIMAL}${key}: 1\n`)
      expect(code).toBe("config-not-yaml")
      expect(message).toMatch(/^f\.yaml:11:\d+: /)
      expect(message).not.toContain(SECRET)
    }
    expect(warned).not.toHaveBeenCalled()
  } finally {
    warned.mockRestore()
  }
})

it("is told of without its PIN, whatever is wrong with a file", () => {
  const text = minimalWith("label: www", `label: www\n    pin: "${SECRET}"`)
  const piece = fc.constantFrom(..."{}[]:,-#&*!|>\"%@`\n\t '0a", "- ", ": ", "\n  ", "?")
  const change = fc.tuple(fc.nat({ max: text.length - 1 }), fc.nat({ max: 3 }), piece)
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const changed = changes.reduce(
        (before, [at, cut, put]) => before.slice(0, at) + put + before.slice(at + cut),
        text,
      )
      try {
        parse(changed)
      } catch (error) {
        expect(error).toBeInstanceOf(AgentError)
        const { code, message, advice, cause } = error as AgentError
        expect(code).toMatch(/^config-(invalid|not-yaml)$/)
        for (const line of message.split("\n")) expect(line).toMatch(/^f\.yaml(:\d+:\d+)?: /)
        expect(`${message} ${advice} ${cause}`).not.toContain(SECRET)
      }
    }),
    { numRuns: 200 },
  )
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
