/** `tlskeep config check`: the summary, the JSON, and which file is read where none is named. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { configCheckCommand } from "../../parent/commands/config.js"
import { defaultConfigFile } from "../../parent/config/default-file.js"
import { HIDDEN_PIN, summaryOf, withoutPins } from "../../parent/config/summary.js"
import { CERTIFICATE_ARN, DEFAULTS, MINIMAL, parse } from "./config-files.js"
import { refusalOf } from "./refusal.js"

const PIN = "pin-that-nobody-prints"
const TWO_TOKENS = `enclave: {cpu_count: 1, memory_mib: 256, rpc_port: 10000}
options:
  service: nginx
  unit: nginx.service
  reload_command: [systemctl, reload, nginx]
  sync_interval_secs: 90
aws: {region: eu-west-1, role_arn: "arn:aws:iam::123456789012:role/web"}
metrics: {listen: "unix:/run/m"}
tokens:
  - label: www
    pin: ${PIN}
    source: {Acm: {certificate_arn: "${CERTIFICATE_ARN}"}}
    target: {Conf: {path: /etc/a.conf, user: nginx, listener: {address: "[::1]:443", server_name: www}}}
    refresh_interval_secs: 1800
  - label: 02
    source: {FileDb: {path: /k.json, id: b, certificate_path: /c.pem}}
    target: {Snippet: {path: /etc/b.conf}}
`

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "config-check-"))
})
afterAll(() => rm(dir, { recursive: true }))

describe("the summary", () => {
  it("of a small file", () => {
    expect(summaryOf(parse(MINIMAL), "f.yaml").split("\n")).toEqual([
      "f.yaml: 1 token for httpd",
      "",
      "enclave  tlskeep: 2 vCPUs, 512 MiB",
      "         /srv/tlskeep.eif",
      "server   httpd, started if it does not run, 10000 ms for a reload",
      "         keys by auto, PINs by auto",
      "sources  looked at every 10 min",
      "region   of the environment or the instance",
      "metrics  none",
      "log      info",
      "",
      "token    www",
      "source   S3 s3://keys/www.json",
      "target   Snippet /etc/apache2/tlskeep.conf",
      "         of root:root",
      "PIN      made at random",
      "attested every 12 h",
    ])
  })

  it("of all that a file can say, notices within 80 columns", () => {
    expect(summaryOf(parse(TWO_TOKENS), "f.yaml").split("\n")).toEqual([
      "f.yaml: 2 tokens for nginx",
      "",
      "enclave  tlskeep: 1 vCPU, 512 MiB",
      "         /usr/share/tlskeep/tlskeep.eif",
      "server   nginx, unit nginx.service, started if it does not run, 10000 ms for a reload",
      "         reload by systemctl reload nginx",
      "         keys by auto, PINs by auto",
      "sources  looked at every 90 s",
      "region   eu-west-1",
      "role     arn:aws:iam::123456789012:role/web",
      "metrics  unix:/run/m",
      "log      info",
      "",
      "token    www",
      `source   Acm ${CERTIFICATE_ARN}`,
      "target   Conf /etc/a.conf",
      "         of nginx:root",
      "         seen at [::1]:443 as www",
      "PIN      configured",
      "attested every 30 min",
      "",
      "token    02",
      "source   FileDb /k.json",
      "         entry b",
      "         certificate /c.pem",
      "target   Snippet /etc/b.conf",
      "         of root:root",
      "PIN      made at random",
      "attested every 12 h",
      "",
      "notice   f.yaml:1:37",
      "         enclave.memory_mib is raised from 256 to 512, which the image needs:",
      "         the allocator has to reserve as much",
      "notice   f.yaml:1:52",
      "         enclave.rpc_port has no effect: the control service listens on vsock",
      "         port 10000",
    ])
  })
})

describe("the command", () => {
  it("prints the summary of the file", async () => {
    const file = join(dir, "two.yaml")
    await writeFile(file, TWO_TOKENS)
    const printed = await configCheckCommand(file, { json: false })
    expect(printed).toContain(`${file}: 2 tokens for nginx\n`)
    expect(printed).toContain(`notice   ${file}:1:37\n`)
    expect(printed).not.toContain(PIN)
  })

  it("prints JSON, the configuration but for PINs", async () => {
    const file = join(dir, "json.yaml")
    await writeFile(file, MINIMAL)
    expect(JSON.parse(await configCheckCommand(file, { json: true }))).toEqual(DEFAULTS)
    await writeFile(file, TWO_TOKENS)
    const printed = await configCheckCommand(file, { json: true })
    expect(printed).not.toContain(PIN)
    const { tokens } = JSON.parse(printed) as { tokens: { pin?: string }[] }
    expect(tokens.map(({ pin }) => pin)).toEqual([HIDDEN_PIN, undefined])
  })

  it("leaves the configuration itself its PINs", () => {
    const config = parse(TWO_TOKENS)
    withoutPins(config)
    expect(config.tokens[0]?.pin).toBe(PIN)
  })

  it("refuses a file that is wrong", async () => {
    const file = join(dir, "wrong.yaml")
    await writeFile(file, MINIMAL.replace("label", "lable"))
    const { code, message } = await refusalOf(configCheckCommand(file, { json: true }))
    expect(code).toBe("config-invalid")
    expect(message).toContain(`${file}:4:5: unknown key "lable" (did you mean label?)`)
  })
})

describe("the default file", () => {
  it("is ours, else AWS's where only that exists", async () => {
    const files = [join(dir, "tlskeep/tlskeep.yaml"), join(dir, "aws/acm.yaml")] as const
    expect(await defaultConfigFile(files)).toBe(files[0])
    await mkdir(join(dir, "aws"))
    await writeFile(files[1], MINIMAL)
    expect(await defaultConfigFile(files)).toBe(files[1])
    await mkdir(join(dir, "tlskeep"))
    expect(await defaultConfigFile(files)).toBe(files[1])
    await writeFile(files[0], MINIMAL)
    expect(await defaultConfigFile(files)).toBe(files[0])
  })

  it("is one that cannot be looked at, for the message to say so", async () => {
    const name = "n".repeat(300)
    const files = [join(dir, name), join(dir, "x.yaml")] as const
    expect(await defaultConfigFile(files)).toBe(files[0])
  })

  it("is not one below a file", async () => {
    await writeFile(join(dir, "file"), "")
    const files = [join(dir, "file/x.yaml"), join(dir, "file")] as const
    expect(await defaultConfigFile(files)).toBe(files[1])
  })
})
