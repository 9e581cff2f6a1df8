/** Publication as a transaction: what is written, tested, loaded and seen, and what becomes of failures. */
import { createHash } from "node:crypto"
import { realpathSync } from "node:fs"
import {
  chmod,
  lstat,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pino } from "pino"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { OptionsConfig, TargetConfig } from "../../parent/config/config.js"
import { RunDir } from "../../parent/run-dir.js"
import { createPublisher } from "../../parent/target/create-publisher.js"
import type { Publication, Publisher } from "../../parent/target/publisher.js"
import { FakeWebServer } from "./fake-web-server.js"
import { makeKey } from "./key-objects.js"
import { refusalOf } from "./refusal.js"

const PIN = "secret PIN"
/** On a busy machine. */
const SOON = { timeout: 10_000 }

let dir: string
let runDir: RunDir
let server: FakeWebServer
let lines: string[]
let publishers: Publisher[]

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "publisher-"))
  runDir = await RunDir.open(join(dir, "run"))
  server = await FakeWebServer.prepare(dir)
  lines = []
  publishers = []
})
afterEach(async () => {
  for (const publisher of publishers) publisher.close()
  await server.stop()
  await rm(dir, { recursive: true })
  for (const line of lines) expect(line).not.toMatch(/secret( |%20)PIN/)
})

async function publisher(change: Partial<OptionsConfig> = {}): Promise<Publisher> {
  const options: OptionsConfig = {
    ...{
      service: "httpd",
      test_command: ["test"],
      reload_command: ["reload"],
      start_command: ["start"],
    },
    ...{ force_start: false, reload_wait_ms: 600, sync_interval_secs: 600, run_dir: runDir.path },
    ...{ module_path: join(dir, "no-module.so"), key_syntax: "auto", pin_delivery: "auto" },
    ...change,
  }
  const log = pino({ level: "trace" }, { write: (line: string) => void lines.push(line) })
  const made = await createPublisher({ options, runDir, log, run: server.run, systemd: false })
  publishers.push(made)
  return made
}

function snippet(label: string): string {
  return join(dir, `${label}.conf`)
}

/** A fresh certificate for a token whose snippet the server includes and whose listener it is. */
async function fresh(
  label: string,
  { target = {}, pin = PIN }: { target?: Partial<TargetConfig>; pin?: string } = {},
): Promise<Publication & { leaf: string }> {
  const { object, web } = await makeKey()
  server.know(web)
  server.includes.set(`${label}.example`, snippet(label))
  const listener = { address: server.address, server_name: `${label}.example` }
  return {
    token: {
      ...{ label, source: { kind: "S3", uri: "s3://bucket/key" }, refresh_interval_secs: 43_200 },
      target: {
        kind: "Snippet",
        path: snippet(label),
        user: "root",
        group: "root",
        listener,
        ...target,
      },
    },
    ...{ object, pin, leaf: web.certificate.trim() },
  }
}

/** All files below the directory, with their bytes and modes. */
async function everything(): Promise<Record<string, string>> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  const found: Record<string, string> = {}
  for (const entry of entries.filter((each) => each.isFile())) {
    const path = join(entry.parentPath, entry.name)
    found[path] =
      `${((await stat(path)).mode & 0o7777).toString(8)} ${await readFile(path, "latin1")}`
  }
  return found
}

describe("a publication", () => {
  it("is written, tested, loaded and presented", async () => {
    await server.start()
    const publication = await fresh("web")
    const { formerWorkersGone } = await (await publisher()).publish(publication)
    expect(server.commands).toEqual(["test", "reload"])
    expect(await formerWorkersGone).toBe(true)
    const file = runDir.certificateFile("httpd", "web")
    expect(await readFile(file, "utf8")).toBe(publication.object.certificates.map(String).join(""))
    expect(await readFile(snippet("web"), "utf8")).toContain(`SSLCertificateFile "${file}"`)
    const [leaf] = publication.object.certificates
    const spki = leaf?.publicKey.export({ type: "spki", format: "der" }) ?? ""
    const keyId = createHash("sha256").update(spki).digest("hex").toUpperCase()
    expect(await readFile(snippet("web"), "utf8")).toContain(
      `SSLCertificateKeyFile "pkcs11:token=web;id=${keyId.replace(/../g, "%$&")};type=private?pin-source=file:${runDir.pinFile("web")}"`,
    )
    expect((await stat(snippet("web"))).mode & 0o777).toBe(0o640)
    expect(lines.join("")).toContain('"tokenLabel":"web"')
    expect(lines.filter((line) => line.includes('"msg":"web server reloaded"'))).toHaveLength(1)
  })

  it("shares test and reload with those that come with it", async () => {
    await server.start()
    const publications = await Promise.all([...Array(40).keys()].map((index) => fresh(`t${index}`)))
    const all = await publisher({ reload_wait_ms: 10_000 })
    await Promise.all(publications.map((publication) => all.publish(publication)))
    expect(server.commands).toEqual(["test", "reload"])
  }, 60_000)

  it("that comes while another is under way waits for the next reload", async () => {
    await server.start()
    const all = await publisher()
    const [first, second, third] = await Promise.all([fresh("a"), fresh("b"), fresh("c")])
    const published = all.publish(first)
    await expect.poll(() => server.count("test"), SOON).toBe(1)
    await Promise.all([published, all.publish(second), all.publish(third)])
    expect(server.commands).toEqual(["test", "reload", "test", "reload"])
  })

  it("that is in place already leaves the server alone", async () => {
    await server.start()
    const publication = await fresh("web")
    await (await publisher()).publish(publication)
    const before = await stat(snippet("web"))
    const { formerWorkersGone } = await (await publisher()).publish(publication)
    expect(await formerWorkersGone).toBe(true)
    expect(server.commands).toEqual(["test", "reload"])
    expect((await stat(snippet("web"))).ino).toBe(before.ino)
  })

  it("that is in place without a listener to ask leaves the server alone, too", async () => {
    await server.start()
    const { token, ...rest } = await fresh("web")
    const { listener: _, ...target } = token.target
    const publication = { ...rest, token: { ...token, target } }
    await (await publisher()).publish(publication)
    await (await publisher()).publish(publication)
    expect(server.commands).toEqual(["test", "reload"])
  })

  it("that is in place but not presented is loaded", async () => {
    await server.start()
    const publication = await fresh("web")
    await (await publisher()).publish(publication)
    await server.stop()
    const path = server.includes.get("web.example") ?? ""
    server.includes.clear()
    await server.start()
    server.includes.set("web.example", path)
    await (await publisher()).publish(publication)
    expect(server.commands).toEqual(["test", "reload", "test", "reload"])
  })

  it.each([
    ["bytes", () => writeFile(snippet("web"), "tampered with")],
    ["mode", () => chmod(snippet("web"), 0o666)],
    ["certificate", () => rm(runDir.certificateFile("httpd", "web"))],
  ])("whose %s has changed on disk is written again", async (_what, change) => {
    await server.start()
    const publication = await fresh("web")
    await (await publisher()).publish(publication)
    const good = await everything()
    await change()
    await (await publisher()).publish(publication)
    expect(await everything()).toEqual(good)
    expect(server.count("reload")).toBe(2)
  })

  it("goes through a symbolic link, which stays, even one that leads nowhere yet", async () => {
    await server.start()
    await symlink("web.conf", join(dir, "link-1"))
    await symlink("link-1", join(dir, "link-2"))
    const publication = await fresh("web", { target: { path: join(dir, "link-2") } })
    await (await publisher()).publish(publication)
    for (const link of ["link-1", "link-2"]) {
      expect((await lstat(join(dir, link))).isSymbolicLink()).toBe(true)
    }
    expect((await lstat(snippet("web"))).isFile()).toBe(true)
    await (await publisher()).publish(await fresh("web", { target: { path: join(dir, "link-2") } }))
    expect((await lstat(join(dir, "link-2"))).isSymbolicLink()).toBe(true)
  })
})

describe("a server that does not run", () => {
  it("is not started", async () => {
    const { formerWorkersGone } = await (await publisher()).publish(await fresh("web"))
    expect(await formerWorkersGone).toBe(true)
    expect(server.commands).toEqual(["test"])
    expect(server.running).toBe(false)
    expect(await readFile(snippet("web"), "utf8")).toContain("SSLCertificateKeyFile")
    expect(lines.join("")).toContain("files written for a stopped web server")
  })

  it("is started by force_start, once for all", async () => {
    const publications = await Promise.all(["a", "b", "c"].map((label) => fresh(label)))
    const all = await publisher({ force_start: true })
    await Promise.all(publications.map((publication) => all.publish(publication)))
    expect(server.commands).toEqual(["test", "start"])
  })

  it("is started by force_start for files that are in place", async () => {
    const publication = await fresh("web")
    await (await publisher()).publish(publication)
    await (await publisher({ force_start: true })).publish(publication)
    expect(server.commands).toEqual(["test", "test", "start"])
  })

  it("that cannot be started is said so, and its files are gone again", async () => {
    server.failures.set("start", "Address already in use")
    const before = await everything()
    const all = await publisher({ force_start: true })
    const { code, message } = await refusalOf(all.publish(await fresh("web")))
    expect(code).toBe("start-failed")
    expect(message).toContain("Address already in use; the former files are back")
    expect(await everything()).toEqual(before)
  })
})

describe("a failure", () => {
  /** Tokens that are served, and a renewal for each. */
  async function renewals(...labels: string[]) {
    await server.start()
    const all = await publisher()
    for (const publication of await Promise.all(labels.map((label) => fresh(label)))) {
      await all.publish(publication)
    }
    server.commands.length = 0
    return { all, renewed: await Promise.all(labels.map((label) => fresh(label))) }
  }

  /** Publishes all at once; the refusals by label. */
  async function outcomes(all: Publisher, publications: readonly Publication[]) {
    const settled = await Promise.allSettled(publications.map((each) => all.publish(each)))
    return Object.fromEntries(
      settled.flatMap((outcome, index) =>
        outcome.status === "fulfilled"
          ? []
          : [[publications[index]?.token.label, outcome.reason.code]],
      ),
    )
  }

  it("of the test leaves files and server as they were", async () => {
    const { all, renewed } = await renewals("web")
    const before = await everything()
    for (const { leaf } of renewed) server.refused.add(leaf)
    const [bad] = renewed
    if (bad === undefined) throw new Error("no renewal")
    const { code, message, advice } = await refusalOf(all.publish(bad))
    expect(code).toBe("config-test-failed")
    expect(message).toMatch(
      /bad web\.example:\n.*SSLCertificateKeyFile "pkcs11:…".*files are back$/s,
    )
    expect(advice).toContain("options.test_command")
    expect(await everything()).toEqual(before)
    expect(server.commands).toEqual(["test"])
    server.refused.clear()
    await all.publish(bad)
  })

  it("of one token's test holds up no other, and costs no further reload", async () => {
    const { all, renewed } = await renewals("a", "b", "c", "d", "e")
    server.refused.add(renewed[1]?.leaf ?? "").add(renewed[4]?.leaf ?? "")
    expect(await outcomes(all, renewed)).toEqual({
      b: "config-test-failed",
      e: "config-test-failed",
    })
    expect(server.count("reload")).toBe(1)
  })

  it("of the operator's own configuration is looked for in no token", async () => {
    const { all, renewed } = await renewals("a", "b", "c", "d")
    const before = await everything()
    server.failures.set("test", "Syntax error on line 1")
    expect(Object.values(await outcomes(all, renewed))).toEqual(Array(4).fill("config-test-failed"))
    expect(server.commands).toEqual(["test", "test"])
    expect(await everything()).toEqual(before)
  })

  it("of the reload brings the former files back, and the server by them", async () => {
    const { all, renewed } = await renewals("web")
    const before = await everything()
    for (const { leaf } of renewed) server.ignored.add(leaf)
    const [bad] = renewed
    if (bad === undefined) throw new Error("no renewal")
    const { code, message, advice } = await refusalOf(all.publish(bad))
    expect(code).toBe("certificate-not-presented")
    expect(message).toContain("within 600 ms: it presents another certificate")
    expect(advice).toContain("reload_wait_ms")
    expect(await everything()).toEqual(before)
    expect(server.commands).toEqual(["test", "reload", "test", "reload"])
  })

  it("to present one token's certificate holds up no other", async () => {
    const { all, renewed } = await renewals("a", "b", "c")
    server.ignored.add(renewed[1]?.leaf ?? "")
    const former = await readFile(runDir.certificateFile("httpd", "b"), "utf8")
    expect(await outcomes(all, renewed)).toEqual({ b: "certificate-not-presented" })
    expect(await readFile(runDir.certificateFile("httpd", "b"), "utf8")).toBe(former)
  })

  it("that ends the server has it started again, force_start or not, and names the culprit", async () => {
    const { all, renewed } = await renewals("a", "b", "c", "d")
    server.deadly.add(renewed[2]?.leaf ?? "")
    expect(await outcomes(all, renewed)).toEqual({ c: "certificate-not-presented" })
    expect(server.running).toBe(true)
    // The others are served: there is nothing to be done for them.
    const done = server.commands.length
    const others = renewed.filter((_, index) => index !== 2)
    expect(await outcomes(await publisher(), others)).toEqual({})
    expect(server.commands).toHaveLength(done)
  })

  it("of the reload command is said, and what stands against the way back", async () => {
    const { all, renewed } = await renewals("web")
    const before = await everything()
    server.failures.set("reload", `no reload by ${PIN} of pkcs11:token=web?pin-value=secret%20PIN`)
    const [bad] = renewed
    if (bad === undefined) throw new Error("no renewal")
    const { code, message } = await refusalOf(all.publish(bad))
    expect(code).toBe("reload-failed")
    expect(message).toMatch(
      /: no reload by … of pkcs11:…; the former files are back, but the web server was not/,
    )
    expect(await everything()).toEqual(before)
  })

  it("to write one token's files holds up no other", async () => {
    const { all, renewed } = await renewals("a", "b")
    const [a, b] = renewed
    if (a === undefined || b === undefined) throw new Error("no renewals")
    const target = { ...a.token.target, path: join(snippet("b"), "below.conf") }
    const misplaced = { ...a, token: { ...a.token, target } }
    expect(await outcomes(all, [misplaced, b])).toEqual({ a: "target-not-readable" })
    const unknown = { ...a, token: { ...a.token, target: { ...a.token.target, group: "no such" } } }
    expect(await outcomes(all, [unknown])).toEqual({ a: "target-not-writable" })
  })
})

describe("an agent that dies while files are on trial", () => {
  it("leaves to the next one what the last good files were", async () => {
    await server.start()
    await (await publisher()).publish(await fresh("web"))
    const good = await everything()
    const bad = await fresh("web")
    server.hanging.add("test")
    void (await publisher()).publish(bad)
    await expect.poll(() => server.count("test"), SOON).toBe(2)
    expect(await everything()).not.toEqual(good)
    server.hanging.clear()
    server.refused.add(bad.leaf)
    const { code } = await refusalOf((await publisher()).publish(bad))
    expect(code).toBe("config-test-failed")
    expect(await everything()).toEqual(good)
  })

  it("has the next one reload, whatever the server runs by", async () => {
    await server.start()
    const first = await fresh("web", { target: {} })
    const { listener: _, ...target } = first.token.target
    const unseen = { ...first, token: { ...first.token, target } }
    await (await publisher()).publish(unseen)
    server.hanging.add("reload")
    void (await publisher()).publish(await fresh("web"))
    await expect.poll(() => server.count("reload"), SOON).toBe(2)
    server.hanging.clear()
    await (await publisher()).publish(unseen)
    expect(server.count("reload")).toBe(3)
  })

  it("is not misread: a damaged journal is an error, not an empty one", async () => {
    await writeFile(join(runDir.path, "publication.json"), "[{")
    const { code, message } = await refusalOf((await publisher()).publish(await fresh("web")))
    expect(code).toBe("run-dir-unusable")
    expect(message).toContain("publication.json")
  })
})

describe("a PIN", () => {
  it("that the engine would cut goes into the snippet, for its group alone", async () => {
    await server.start()
    const pin = `${PIN} of more than 31 bytes in all`
    await (await publisher()).publish(await fresh("web", { pin }))
    expect(await readFile(snippet("web"), "utf8")).toContain("?pin-value=secret%20PIN%20of")
    expect((await stat(snippet("web"))).mode & 0o777).toBe(0o640)
    expect(lines.join("")).toContain("LogLevel info")
  })

  it("is in no error, whatever the server says", async () => {
    await server.start()
    const pin = `${PIN} of more than 31 bytes in all`
    const publication = await fresh("web", { pin })
    server.refused.add(publication.leaf)
    const all = await publisher()
    const { message } = await refusalOf(all.publish(publication))
    expect(message).toContain('SSLCertificateKeyFile "pkcs11:…"')
    expect(message).not.toContain("secret")
  })
})

describe("the target Conf of httpd", () => {
  const CONF =
    '# mine\r\n<VirtualHost *:443>\n  SSLCertificateFile ""\n  SSLCertificateKeyFile ""\n'

  it("rewrites its file, keeps its mode, and is undone byte by byte", async () => {
    await writeFile(snippet("web"), CONF, { mode: 0o604 })
    await server.start()
    const all = await publisher({ force_start: false })
    const publication = await fresh("web", { target: { kind: "Conf" } })
    server.includes.clear()
    const { listener: _, ...target } = publication.token.target
    const conf = { ...publication, token: { ...publication.token, target } }
    server.failures.set("test", "no")
    await refusalOf(all.publish(conf))
    expect(await readFile(snippet("web"), "utf8")).toBe(CONF)
    server.failures.clear()
    await all.publish(conf)
    const text = await readFile(snippet("web"), "utf8")
    expect(text).toMatch(
      /^# mine\r\n<VirtualHost \*:443>\n {2}SSLCertificateFile "[^"]+"\n {2}SSLC/,
    )
    expect((await stat(snippet("web"))).mode & 0o777).toBe(0o604)
    const long = await fresh("web", { target, pin: `${PIN} of more than 31 bytes in all` })
    await all.publish({ ...long, token: { ...long.token, target } })
    expect((await stat(snippet("web"))).mode & 0o777).toBe(0o600)
  })

  it("names what is missing, and writes nothing", async () => {
    await writeFile(snippet("web"), "SSLCertificateFile x\n")
    const before = await everything()
    const publication = await fresh("web", { target: { kind: "Conf" } })
    const { code } = await refusalOf((await publisher()).publish(publication))
    expect(code).toBe("target-lines-missing")
    await rm(snippet("web"))
    const absent = await refusalOf((await publisher()).publish(publication))
    expect(absent.code).toBe("target-not-readable")
    expect(absent.advice).toContain("target Snippet")
    const { [snippet("web")]: _, ...others } = before
    expect(await everything()).toEqual(others)
  })
})

describe("waiting for former workers", () => {
  it("ends with the publisher", async () => {
    await server.start()
    // Every process of this machine has it: most stay.
    const module_path = realpathSync("/usr/lib/x86_64-linux-gnu/libc.so.6")
    const all = await publisher({ module_path })
    const { formerWorkersGone } = await all.publish(await fresh("web"))
    const early = await Promise.race([
      formerWorkersGone,
      new Promise((resolve) => setTimeout(resolve, 500)),
    ])
    expect(early).toBeUndefined()
    all.close()
    expect(await formerWorkersGone).toBe(false)
  })
})
