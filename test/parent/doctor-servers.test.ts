/** Doctor's checks of OpenSSL, httpd, nginx and the module: fake commands, and Debian's real ones. */

import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { httpd } from "../../parent/doctor/checks/httpd.js"
import { module } from "../../parent/doctor/checks/module.js"
import { nginx } from "../../parent/doctor/checks/nginx.js"
import { openssl } from "../../parent/doctor/checks/openssl.js"
import { Compiled, ROOT } from "../compiled.js"
import { DoctorHost, outcomes, say } from "./doctor-fixture.js"

const MODULE = "/usr/lib/tlskeep/libtlskeep-pkcs11.so"

let host: DoctorHost
beforeEach(async () => {
  host = await DoctorHost.create()
})
afterEach(() => host.remove())

type Installed = "engine" | "provider" | "active-provider"

/** An openssl whose folders hold what is installed, and whose default configuration says `conf`. */
async function fakeOpenssl(
  installed: readonly Installed[],
  conf = `MODULE_PATH = ${MODULE}\n`,
): Promise<void> {
  if (installed.includes("engine")) await host.file("engines/pkcs11.so", "")
  if (installed.some((one) => one !== "engine")) await host.file("modules/pkcs11.so", "")
  await host.file("ssl/openssl.cnf", conf)
  const folders = [
    "OpenSSL 3.0.22 25 Aug 2026 (Library: OpenSSL 3.0.22 25 Aug 2026)",
    `OPENSSLDIR: "${host.dir}/ssl"`,
    `ENGINESDIR: "${host.dir}/engines"`,
    `MODULESDIR: "${host.dir}/modules"`,
  ].join("\n")
  const providers = ["Providers:", "  default", "    name: OpenSSL Default Provider"]
  if (installed.includes("active-provider")) providers.push("  pkcs11", "    status: active")
  await host.command(
    "openssl",
    [
      `case "$*" in`,
      `version) ${say("OpenSSL 3.0.22 25 Aug 2026 (Library: …)")} ;;`,
      `"version -a") ${say(folders)} ;;`,
      `"list -providers") ${say(providers.join("\n"))} ;;`,
      "*) exit 1 ;;",
      "esac",
    ].join("\n"),
  )
}

describe("openssl", () => {
  it.each<[readonly Installed[], Record<string, unknown>, string[]]>([
    [["engine"], {}, ["ok"]],
    [["provider"], {}, ["ok"]],
    [[], {}, ["problem openssl-without-pkcs11"]],
    [["provider"], { key_syntax: "engine" }, ["problem openssl-engine-missing"]],
    [["engine"], { key_syntax: "provider" }, ["problem openssl-provider-missing"]],
    [["engine", "provider"], { key_syntax: "provider" }, ["warning openssl-engine-preferred"]],
    [["engine", "provider"], { key_syntax: "provider", service: "nginx" }, ["ok"]],
    [["engine", "provider"], {}, ["ok"]],
  ])("%j with %j: %j", async (installed, options, expected) => {
    await fakeOpenssl(installed)
    expect(outcomes(await host.find(openssl, { options }))).toEqual(expected)
  })

  it("is missing", async () => {
    expect(outcomes(await host.find(openssl))).toEqual(["problem openssl-missing"])
  })

  it.each([
    ["engine", {}, "the pkcs11 engine"],
    ["provider", {}, "pkcs11-provider"],
    ["active-provider", { service: "nginx" }, "pkcs11-provider"],
  ] as const)("goes by the %s with %j", async (installed, options, way) => {
    await fakeOpenssl(installed === "active-provider" ? [installed, "engine"] : [installed])
    const [finding] = await host.find(openssl, { options })
    expect(finding?.title).toBe(`OpenSSL 3.0.22 by ${way}`)
  })

  it("does not know the module", async () => {
    await fakeOpenssl(["engine"], "# nothing\n")
    const [finding] = await host.find(openssl)
    expect(finding?.code).toBe("openssl-module-not-configured")
    expect(finding?.detail).toBe(
      `${host.dir}/ssl/openssl.cnf does not name ${MODULE}, nor does a module file of p11-kit.`,
    )
  })

  it("knows the module by p11-kit, or by what the running server was started with", async () => {
    await fakeOpenssl(["engine"], "# nothing\n")
    await host.file("p11-kit/tlskeep.module", `module: ${MODULE}\n`)
    expect(outcomes(await host.find(openssl))).toEqual(["ok"])
    await rm(join(host.dir, "p11-kit"), { recursive: true })
    const conf = await host.file("own.cnf", `pkcs11-module-path = ${MODULE}\n`)
    await host.process(80, ["/usr/sbin/apache2", "-k", "start"], { OPENSSL_CONF: conf })
    expect(outcomes(await host.find(openssl))).toEqual(["ok"])
    expect(outcomes(await host.find(openssl, { options: { service: "nginx" } }))).toEqual([
      "warning openssl-module-not-configured",
    ])
  })

  it.runIf(existsSync("/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so"))(
    "is Debian's, with its engine",
    async () => {
      await host.command("openssl", 'exec /usr/bin/openssl "$@"')
      const options = { key_syntax: "engine" }
      const [finding] = await host.find(openssl, { options })
      expect(finding?.code).toBe("openssl-module-not-configured")
    },
  )
})

describe("httpd", () => {
  const running = () => host.process(80, ["/usr/sbin/httpd", "-DFOREGROUND"])
  async function fakeHttpd(version: string, modules = " ssl_module (shared)") {
    await host.command("httpd", say(`Server version: Apache/${version} (Amazon Linux)`))
    await host.command("apachectl", say(`Loaded Modules:\n core_module (static)\n${modules}`))
  }

  it.each<[string, readonly Installed[], string[]]>([
    ["2.4.62", ["engine"], ["warning httpd-needs-crypto-device"]],
    ["2.4.62", ["provider"], ["ok"]],
    ["2.4.59", ["engine"], ["ok"]],
    ["2.4.71", ["engine"], ["ok"]],
  ])("%s by %j: %j", async (version, installed, expected) => {
    await fakeOpenssl(installed)
    await fakeHttpd(version)
    await running()
    expect(outcomes(await host.find(httpd))).toEqual(expected)
  })

  it("is missing", async () => {
    expect(outcomes(await host.find(httpd))).toEqual(["problem httpd-missing"])
  })

  it("is not looked at where nginx is served", async () => {
    expect(await host.find(httpd, { options: { service: "nginx" } })).toEqual([])
  })

  it("has no mod_ssl and does not run", async () => {
    await fakeHttpd("2.4.71", " mime_module (shared)")
    expect(outcomes(await host.find(httpd))).toEqual([
      "problem httpd-without-mod-ssl",
      "problem httpd-not-running",
    ])
  })

  it("is tested by the command that is configured", async () => {
    await fakeHttpd("2.4.71", " mime_module (shared)")
    await running()
    const own = await host.command("own-httpd", `[ "$*" = "-f own.conf -M" ] && ${say("ok")}`)
    const options = { test_command: [own, "-f", "own.conf", "-t"] }
    expect(outcomes(await host.find(httpd, { options }))).toEqual(["ok"])
    await host.command("own-httpd", `${say("no such file", "stderr")}; exit 1`)
    expect(outcomes(await host.find(httpd, { options }))).toEqual(["problem httpd-config-broken"])
  })

  it("has mod_ssl where the running one has loaded it", async () => {
    await fakeHttpd("2.4.71", " mime_module (shared)")
    await running()
    expect(outcomes(await host.find(httpd))).toEqual(["problem httpd-without-mod-ssl"])
    await host.file(
      "proc/80/maps",
      "7f00-7f01 r-xp 00 08:01 1 /usr/lib/apache2/modules/mod_ssl.so\n",
    )
    expect(outcomes(await host.find(httpd))).toEqual(["ok"])
  })

  it("has an error in its configuration, told without a PIN", async () => {
    await fakeHttpd("2.4.71")
    const line =
      "SSLCertificateKeyFile: file 'pkcs11:token=web;object=web?pin-value=s3cr3t' missing"
    await host.command("apachectl", `${say(`AH00526: Syntax error\n${line}`, "stderr")}; exit 1`)
    await running()
    const [finding] = await host.find(httpd)
    expect(finding?.code).toBe("httpd-config-broken")
    expect(finding?.detail).toBe(
      "AH00526: Syntax error; SSLCertificateKeyFile: file 'pkcs11:…' missing",
    )
  })

  it.runIf(existsSync("/usr/sbin/apache2"))("is Debian's", async () => {
    const conf = await host.file(
      "httpd.conf",
      [
        "ServerName localhost",
        `PidFile ${host.dir}/pid`,
        `ErrorLog ${host.dir}/error.log`,
        "LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so",
        "LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so",
      ].join("\n"),
    )
    await host.command("apache2", 'exec /usr/sbin/apache2 "$@"')
    await host.command("apachectl", `exec /usr/sbin/apache2 -f ${conf} "$@"`)
    await host.process(80, ["/usr/sbin/apache2", "-k", "start"])
    const [finding] = await host.find(httpd)
    expect(finding?.title).toMatch(/^Apache httpd 2\.4\.\d+ runs with mod_ssl$/)
    await host.file("httpd.conf", "NoSuchDirective on\n")
    expect(outcomes(await host.find(httpd))).toEqual(["problem httpd-config-broken"])
  })
})

describe("nginx", () => {
  const options = { service: "nginx" }
  const running = () => host.process(90, ["nginx: master process /usr/sbin/nginx -g daemon on;"])

  async function fakeNginx(change: { version?: string; library?: string; dump?: string }) {
    const { version = "nginx/1.22.1", library = "OpenSSL 3.0.22 25 Aug 2026" } = change
    const { dump = say("events {}\nssl_engine pkcs11;") } = change
    const product = version.split("/", 1)[0]
    const build = say(`${product} version: ${version}\nbuilt with ${library}`, "stderr")
    await host.command("nginx", `case "$1" in\n-V) ${build} ;;\n-T) ${dump} ;;\nesac`)
  }

  it.each<[string, readonly Installed[], string[]]>([
    ["nginx/1.22.1", ["engine"], ["ok"]],
    ["nginx/1.22.1", ["provider"], ["warning nginx-without-store"]],
    ["nginx/1.28.5", ["provider"], ["warning nginx-without-store"]],
    ["nginx/1.29.0", ["provider"], ["ok"]],
    ["nginx/2.0.0", ["provider"], ["ok"]],
    ["freenginx/1.29.2", ["provider"], ["warning nginx-without-store"]],
    ["freenginx/1.29.3", ["provider"], ["ok"]],
  ])("%s by %j: %j", async (version, installed, expected) => {
    await fakeOpenssl(installed)
    await fakeNginx({ version })
    await running()
    expect(outcomes(await host.find(nginx, { options }))).toEqual(expected)
  })

  it("is missing, or not looked at", async () => {
    expect(outcomes(await host.find(nginx, { options }))).toEqual(["problem nginx-missing"])
    expect(await host.find(nginx)).toEqual([])
  })

  it("has another TLS library, and does not run", async () => {
    await fakeNginx({ library: "LibreSSL 3.8.2" })
    const findings = await host.find(nginx, { options })
    expect(outcomes(findings)).toEqual(["problem nginx-without-ssl", "problem nginx-not-running"])
    expect(findings[0]?.detail).toContain("LibreSSL 3.8.2")
  })

  it("does not initialise the engine, unless openssl.cnf does", async () => {
    await running()
    await fakeNginx({ dump: say("events {}\n# ssl_engine pkcs11;") })
    await fakeOpenssl(["engine"], `MODULE_PATH = ${MODULE}\ninit = 0\n`)
    expect(outcomes(await host.find(nginx, { options }))).toEqual([
      "problem nginx-engine-not-initialised",
    ])
    await fakeOpenssl(["engine"], `MODULE_PATH = ${MODULE}\ninit = 1\n`)
    expect(outcomes(await host.find(nginx, { options }))).toEqual(["ok"])
    await fakeOpenssl(["active-provider"])
    expect(outcomes(await host.find(nginx, { options }))).toEqual(["warning nginx-without-store"])
  })

  it("is tested by the command that is configured", async () => {
    await fakeOpenssl(["engine"])
    await fakeNginx({ dump: "exit 1" })
    await running()
    const dump = say("ssl_engine pkcs11;")
    const own = await host.command("own-nginx", `[ "$*" = "-c own.conf -T" ] && ${dump}`)
    const test_command = [own, "-c", "own.conf", "-t"]
    expect(outcomes(await host.find(nginx, { options: { ...options, test_command } }))).toEqual([
      "ok",
    ])
  })

  it("has an error in its configuration, perhaps that of the engine", async () => {
    await running()
    await fakeNginx({ dump: `${say("nginx: [emerg] unknown directive", "stderr")}; exit 1` })
    expect(outcomes(await host.find(nginx, { options }))).toEqual(["problem nginx-config-broken"])
    const said =
      'nginx: [emerg] ENGINE_load_private_key("pkcs11:token=web?pin-value=s3cr3t") failed (SSL: error:13000075:engine routines::not initialized)'
    await fakeNginx({ dump: `${say(said, "stderr")}; exit 1` })
    const findings = await host.find(nginx, { options })
    expect(outcomes(findings)).toEqual([
      "problem nginx-engine-not-initialised",
      "problem nginx-config-broken",
    ])
    expect(JSON.stringify(findings)).not.toContain("s3cr3t")
  })

  it.runIf(existsSync("/usr/sbin/nginx"))("is Debian's", async () => {
    await running()
    const main = (lines: string) => host.file("nginx.conf", `pid ${host.dir}/pid;\n${lines}`)
    await host.command("nginx", `exec /usr/sbin/nginx -c ${host.dir}/nginx.conf -e stderr "$@"`)
    await main("events {}\n")
    const [finding] = await host.find(nginx, { options })
    expect(finding?.title).toMatch(/^nginx 1\.\d+\.\d+ runs$/)
    await main("evnts {}\n")
    const [broken] = await host.find(nginx, { options })
    expect(broken?.code).toBe("nginx-config-broken")
    expect(broken?.detail).toContain('unknown directive "evnts"')
  })
})

describe("module", () => {
  const BUILT = join(ROOT, "build/native/pkcs11/libtlskeep-pkcs11.so")
  let compiled: Compiled
  beforeAll(async () => {
    compiled = await Compiled.of(["parent/doctor/load-module.ts"])
  })
  afterAll(() => compiled.remove())

  const find = (options: Record<string, unknown>) =>
    host.find(
      module,
      { options },
      { paths: { ...host.paths, loadModuleWorker: compiled.path("parent/doctor/load-module.js") } },
    )

  it("is missing", async () => {
    expect(outcomes(await find({ module_path: "/nowhere/module.so" }))).toEqual([
      "problem module-missing",
    ])
  })

  it("is no module", async () => {
    const text = await host.file("text.so", "no ELF")
    expect(outcomes(await find({ module_path: text }))).toEqual(["problem module-not-loadable"])
  })

  it("loads, and waits for the agent to say where the enclave is", async () => {
    expect(outcomes(await find({ module_path: BUILT }))).toEqual([
      "unknown module-endpoint-missing",
    ])
  })

  it("shows no token while nobody listens", async () => {
    await host.file("run/endpoint", `unix:${host.dir}/nobody.sock\n`)
    const [finding] = await find({ module_path: BUILT })
    expect([finding?.code, finding?.detail]).toEqual([
      "module-without-token",
      "Not there: web. It shows 0.",
    ])
  })

  it("needs a newer C library", async () => {
    const library = join(host.dir, "newer.so")
    const source = await host.file(
      "newer.c",
      'extern int tlskeep_newer(void);\n__asm__(".symver tlskeep_newer, tlskeep_newer@GLIBC_2.99");\nint C_GetFunctionList(void) { return tlskeep_newer(); }\n',
    )
    const stub = await host.file(
      "stub.c",
      'int tlskeep_newer_stub(void) { return 0; }\n__asm__(".symver tlskeep_newer_stub, tlskeep_newer@@GLIBC_2.99");\n',
    )
    const map = await host.file("stub.map", "GLIBC_2.99 { global: tlskeep_newer; };\n")
    const fake = join(host.dir, "libc-newer.so")
    const cc = (...args: string[]) => execFileSync("cc", ["-shared", "-fPIC", ...args])
    cc("-o", fake, stub, `-Wl,--version-script=${map},-soname=libc.so.6`)
    cc("-o", library, source, fake, "-nostdlib")
    expect(outcomes(await find({ module_path: library }))).toEqual(["problem module-glibc-too-old"])
  })
})
