/** How a server is told of a key and a PIN, by what is installed; and what an error may quote. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import {
  type Capabilities,
  CapabilityProbe,
  chooseSyntax,
} from "../../parent/target/capabilities.js"
import { type CommandRunner, runCommand } from "../../parent/target/command.js"
import { type KeyReferenceRequest, keyReference } from "../../parent/target/key-reference.js"
import { quoteEnd } from "../../parent/target/quote.js"
import { refusalOf } from "./refusal.js"

const NGINX_1_22 = "nginx version: nginx/1.22.1\nbuilt with OpenSSL 3.0.22 25 Aug 2026\n"
const NONE = "Providers:\n  default\n    name: OpenSSL Default Provider\n"
const ACTIVE = `${NONE}  pkcs11\n    name: PKCS#11 Provider\n    status: active\n`

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "target-key-"))
})
afterEach(() => rm(dir, { recursive: true }))

interface Machine {
  engines?: string[]
  providers?: string[]
  list?: string
  nginx?: string
}

/** A machine with these libraries; counts how often it was looked at. */
async function machine({ engines = [], providers = [], list = NONE, nginx = NGINX_1_22 }: Machine) {
  for (const [folder, names] of [
    ["engines", engines],
    ["modules", providers],
  ] as const) {
    await mkdir(join(dir, folder))
    for (const name of names) await writeFile(join(dir, folder, name), "")
  }
  const seen: string[] = []
  const run: CommandRunner = async (command) => {
    seen.push(command.join(" "))
    const said: Record<string, string> = {
      "openssl version -a": `OpenSSL 3.0.22\nENGINESDIR: "${dir}/engines"\nMODULESDIR: "${dir}/modules"\n`,
      "openssl list -providers": list,
      "nginx -V": nginx,
    }
    return { failure: undefined, output: said[command.join(" ")] ?? "" }
  }
  return { run, seen }
}

describe("what is installed", () => {
  it("is found by OpenSSL's own folders", async () => {
    const { run } = await machine({ engines: ["libpkcs11.so"], providers: ["pkcs11.so"] })
    expect(await new CapabilityProbe("httpd", run).capabilities()).toEqual({
      engine: true,
      provider: true,
      providerActive: false,
      nginxStore: false,
    })
  })

  it("is in use where the system's openssl.cnf activates it", async () => {
    const { run } = await machine({ providers: ["pkcs11.so"], list: ACTIVE })
    const found = await new CapabilityProbe("httpd", run).capabilities()
    expect(found).toMatchObject({ engine: false, provider: true, providerActive: true })
  })

  it("is not what only sounds like it", async () => {
    const { run } = await machine({ engines: ["padlock.so"], providers: ["legacy.so"] })
    const found = await new CapabilityProbe("httpd", run).capabilities()
    expect(found).toMatchObject({ engine: false, provider: false })
  })

  it("is nothing where there is no openssl command", async () => {
    const run: CommandRunner = async () => ({ failure: "openssl: ENOENT", output: "" })
    const found = await new CapabilityProbe("httpd", run).capabilities()
    expect(found).toMatchObject({ engine: false, provider: false, providerActive: false })
  })

  it.each([
    ["nginx/1.22.1", false],
    ["nginx/1.28.9", false],
    ["nginx/1.29.0", true],
    ["nginx/1.30.1 (Debian)", true],
    ["nginx/2.0.0", true],
    ["freenginx/1.29.2", false],
    ["freenginx/1.29.3", true],
    ["openresty/1.27.1.2", false],
    ["openresty/1.29.2.1", true],
  ])("%s has store: %s", async (version, store) => {
    const { run } = await machine({
      nginx: `nginx version: ${version}\nbuilt with OpenSSL 3.5.1\n`,
    })
    expect((await new CapabilityProbe("nginx", run).capabilities()).nginxStore).toBe(store)
  })

  it.each(["BoringSSL", "LibreSSL 4.0.0"])("%s cannot reach a key", async (library) => {
    const { run } = await machine({ nginx: `nginx version: nginx/1.29.0\nbuilt with ${library}\n` })
    const { code } = await refusalOf(new CapabilityProbe("nginx", run).capabilities())
    expect(code).toBe("server-without-pkcs11")
  })

  it("is looked at once a minute, a failure at once again", async () => {
    const { run, seen } = await machine({ engines: ["pkcs11.so"] })
    const probe = new CapabilityProbe("nginx", run)
    await Promise.all([probe.capabilities(), probe.capabilities()])
    await probe.capabilities()
    expect(seen.sort()).toEqual(["nginx -V", "openssl list -providers", "openssl version -a"])
    let built = "BoringSSL"
    const changing = new CapabilityProbe("nginx", async (command) =>
      command[0] === "nginx"
        ? { failure: undefined, output: `built with ${built}\n` }
        : run(command),
    )
    expect((await refusalOf(changing.capabilities())).code).toBe("server-without-pkcs11")
    built = "OpenSSL 3.0.2"
    expect((await changing.capabilities()).engine).toBe(true)
  })

  it("is read from this machine's own commands", async () => {
    const found = await new CapabilityProbe("nginx", runCommand).capabilities()
    expect(found.engine || found.provider).toBe(true)
    expect(found.nginxStore).toBe(false)
  })
})

describe("the syntax", () => {
  const BOTH = { engine: true, provider: true, providerActive: false, nginxStore: false }
  const NEITHER = { engine: false, provider: false, providerActive: false, nginxStore: false }
  type Row = ["httpd" | "nginx", "auto" | "engine" | "provider", Partial<Capabilities>, string]

  it.each<Row>([
    ["httpd", "auto", BOTH, "engine"],
    ["httpd", "auto", { ...BOTH, providerActive: true }, "engine"],
    ["httpd", "auto", { ...BOTH, engine: false }, "provider"],
    ["nginx", "auto", BOTH, "engine"],
    ["nginx", "auto", { ...BOTH, providerActive: true }, "provider"],
    ["nginx", "auto", { ...BOTH, engine: false }, "provider"],
    ["nginx", "engine", NEITHER, "engine"],
    ["httpd", "provider", NEITHER, "provider"],
  ])("of %s, %s", (service, key_syntax, capabilities, chosen) => {
    expect(chooseSyntax({ service, key_syntax }, { ...NEITHER, ...capabilities })).toBe(chosen)
  })

  it("cannot be chosen where nothing is installed; says what to install", async () => {
    const { code, advice } = await refusalOf(() =>
      chooseSyntax({ service: "nginx", key_syntax: "auto" }, NEITHER),
    )
    expect(code).toBe("pkcs11-library-missing")
    for (const name of ["libengine-pkcs11-openssl", "pkcs11-provider", "openssl-pkcs11"]) {
      expect(advice).toContain(name)
    }
  })
})

describe("a key's reference", () => {
  const PATH = "pkcs11:token=web;id=%01%FF;type=private"
  const BY_FILE = `${PATH}?pin-source=file:/run/p.pin`
  function reference(change: Partial<KeyReferenceRequest>) {
    return keyReference({
      ...{
        service: "httpd",
        label: "web",
        keyId: Uint8Array.of(1, 255),
        pin: "0123",
        pinFile: "/run/p.pin",
        keyFile: "/run/k.pem",
      },
      ...{ syntax: "engine", delivery: "auto", capabilities: { nginxStore: false } },
      ...change,
    })
  }

  it("is a plain URI for httpd", () => {
    for (const syntax of ["engine", "provider"] as const) {
      expect(reference({ syntax })).toEqual({ value: BY_FILE, holdsPin: false })
    }
  })

  it("names the engine, or the store where nginx has it", () => {
    expect(reference({ service: "nginx" }).value).toBe(`engine:pkcs11:${BY_FILE}`)
    const store = reference({
      service: "nginx",
      syntax: "provider",
      capabilities: { nginxStore: true },
    })
    expect(store).toEqual({ value: `store:${BY_FILE}`, holdsPin: false })
  })

  it("is a file with the URI in it for an nginx that has no store", () => {
    const { value, file, holdsPin } = reference({ service: "nginx", syntax: "provider" })
    expect({ value, path: file?.path, holdsPin }).toEqual({
      ...{ value: "/run/k.pem", path: "/run/k.pem", holdsPin: false },
    })
    const [, body = ""] =
      /^-+BEGIN PKCS#11 PROVIDER URI-+\n([^-]+)-/.exec(file?.content ?? "") ?? []
    expect(Buffer.from(body, "base64").toString("latin1")).toContain(BY_FILE)
  })

  it.each([
    ["engine", "auto", "x".repeat(31), "pin-source"],
    ["engine", "auto", "x".repeat(32), "pin-value"],
    ["engine", "auto", "ü".repeat(16), "pin-value"],
    ["engine", "value", "1234", "pin-value"],
    ["provider", "auto", "x".repeat(64), "pin-source"],
    ["provider", "file", "x".repeat(64), "pin-source"],
    ["provider", "value", "1234", "pin-value"],
  ] as const)("by %s, %s has PIN %s as %s", (syntax, delivery, pin, wanted) => {
    const { value, holdsPin } = reference({ syntax, delivery, pin })
    expect(value).toContain(`?${wanted}=`)
    expect(holdsPin).toBe(wanted === "pin-value")
  })

  it("encodes a PIN in it", () => {
    const { value } = reference({ delivery: "value", pin: 'a b"$;ü' })
    expect(value).toBe(`${PATH}?pin-value=a%20b%22%24%3B%C3%BC`)
  })

  it("is refused where the engine would cut the PIN", async () => {
    const pin = "secret-".repeat(5)
    const refusal = await refusalOf(() => reference({ delivery: "file", pin }))
    expect(refusal.code).toBe("pin-too-long")
    expect(refusal.message + refusal.advice).not.toContain("secret-")
    expect(refusal.advice).toContain("options.pin_delivery")
  })
})

describe("what an error quotes", () => {
  it("is the end", () => {
    expect(quoteEnd(`${"first ".repeat(500)}last\n`, [])).toMatch(/^: [a-z ]{595,596} last$/)
    expect(quoteEnd("  \n", [])).toBe("")
  })

  it.each([
    ["a URI", "cannot load pkcs11:token=web;type=private?pin-source=file:/p.pin now"],
    ["a URI in nginx's words", 'key "engine:pkcs11:pkcs11:token=web?pin-value=1%20234" failed'],
    ["a PIN", "no login by 1 234"],
    ["an encoded PIN", "no login by 1%20234"],
  ])("is free of %s", (_name, said) => {
    const quoted = quoteEnd(said, ["1 234"])
    expect(quoted).toMatch(
      /^: (cannot load pkcs11:… now|key "engine:pkcs11:… failed|key ".*|no login by …)$/,
    )
    for (const secret of ["token=web", "1 234", "1%20234"]) expect(quoted).not.toContain(secret)
  })
})

describe("a command", () => {
  it("takes success with what it said", async () => {
    expect(await runCommand(["sh", "-c", "echo out; echo err >&2"])).toEqual({
      failure: undefined,
      output: "out\nerr\n",
    })
  })

  it("fails with the end of what it said, from the start of a line", async () => {
    const script =
      "head -c 9000 /dev/zero | tr '\\0' x; echo; head -c 9000 /dev/zero | tr '\\0' y; exit 3"
    const { failure, output } = await runCommand(["sh", "-c", script])
    expect(failure).toBe("sh ended with exit code 3")
    expect(output).toMatch(/^y{9000}$/)
  })

  it("is missed", async () => {
    const { failure } = await runCommand(["/no/such/apachectl"])
    expect(failure).toBe("/no/such/apachectl: ENOENT")
  })

  it("is ended when it takes too long", async () => {
    const { failure } = await runCommand(["sleep", "30"], 50)
    expect(failure).toBe("sleep ended with SIGTERM")
  })

  it("is not waited for beyond its own end, whoever keeps its output open", async () => {
    const startedAt = Date.now()
    const { output } = await runCommand(["sh", "-c", "sleep 6 & echo $!"])
    expect(Date.now() - startedAt).toBeLessThan(4_000)
    process.kill(Number(output))
  })

  it("gets neither the agent's place at systemd nor its credentials", async () => {
    const names = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "AWS_SECRET_ACCESS_KEY", "TLSKEEP_TEST_KEPT"]
    const former = names.map((name) => process.env[name])
    for (const name of names) process.env[name] = `value of ${name}`
    try {
      const { output } = await runCommand(["env"])
      expect(names.filter((name) => output.includes(`value of ${name}`))).toEqual([
        "TLSKEEP_TEST_KEPT",
      ])
    } finally {
      names.forEach((name, index) => {
        if (former[index] === undefined) delete process.env[name]
        else process.env[name] = former[index]
      })
    }
  })
})
