/** Configurations of AWS's agent, in the shape of its samples: read as they are, with notices. */
import { describe, expect, it } from "vitest"
import type { Config } from "../../parent/config/config.js"
import { CERTIFICATE_ARN, DEFAULTS, parse, refused } from "./config-files.js"

/** As a file for Apache httpd is laid out; the ARN is for the operator to fill in. */
const HTTPD = `---
# For Apache httpd.
enclave:
  cpu_count: 2
  memory_mib: 256

options:
  # httpd or nginx
  service: httpd
  force_start: true
  reload_wait_ms: 1000
  sync_interval_secs: 600

tokens:
  # A token for each certificate.
  - label: httpd-acm-token
    source:
      Acm:
        certificate_arn: ""
    target:
      Conf:
        path: /etc/httpd/conf.d/httpd-acm.conf
        user: apache
    refresh_interval_secs: 43200
    pin: 1234
`

/** As a file for nginx is laid out, from when the agent knew no other server. */
const NGINX = `---
enclave:
  cpu_count: 2
  memory_mib: 256
options:
  nginx_force_start: true
  sync_interval_secs: 600
  nginx_reload_wait_ms: 1000
tokens:
  - label: nginx-acm-token
    source:
      Acm:
        certificate_arn: "${CERTIFICATE_ARN}"
    target:
      NginxStanza:
        path: /etc/pki/nginx/nginx-acm.conf
        user: nginx
    refresh_interval_secs: 43200
    pin: 1234
`

/** Every field that AWS's agent reads and ours has a use for, or not. */
const EVERY_FIELD = `---
enclave:
  cpu_count: 4
  memory_mib: 1024
  image_path: /usr/share/nitro_enclaves/p11ne/p11ne.eif
  boot_timeout_ms: 7000
  p11kit_port: 9999
  rpc_port: 10000
  attestation_retry_count: 5
options:
  service: nginx
  force_start: false
  reload_wait_ms: 2000
  sync_interval_secs: 300
tokens:
  - label: 0001
    pin: 0042
    source: {Acm: {certificate_arn: "${CERTIFICATE_ARN}", bucket: gamma}}
    target: {Conf: {path: /etc/nginx/a.conf, user: nginx, group: nginx}}
    refresh_interval_secs: 3600
  - label: of-s3
    source: {S3: {uri: "s3://keys/x.json"}}
    target: {NginxStanza: {path: /etc/nginx/b.conf, group: nginx}}
  - label: of-a-file
    source: {FileDb: {path: /etc/keys.json}}
    target: {Conf: {path: /etc/nginx/c.conf}}
log:
  level: Warn
  enable_timestamp: false
`

const MEMORY_NOTICE = {
  where: "f.yaml:5:15",
  text: "enclave.memory_mib is raised from 256 to 512, which the image needs: the allocator has to reserve as much",
}

function httpd(): Config {
  return parse(HTTPD.replace('certificate_arn: ""', `certificate_arn: "${CERTIFICATE_ARN}"`))
}

describe("the sample's shape for Apache httpd", () => {
  it("is read as it is, once its ARN is filled in", () => {
    expect(httpd()).toEqual({
      ...DEFAULTS,
      enclave: { ...DEFAULTS.enclave, image_path: "/usr/share/tlskeep/tlskeep.eif" },
      options: { ...DEFAULTS.options, reload_wait_ms: 1_000 },
      tokens: [
        {
          label: "httpd-acm-token",
          pin: "1234",
          source: { kind: "Acm", certificate_arn: CERTIFICATE_ARN },
          target: {
            kind: "Conf",
            path: "/etc/httpd/conf.d/httpd-acm.conf",
            user: "apache",
            group: "root",
          },
          refresh_interval_secs: 43_200,
        },
      ],
      notices: [MEMORY_NOTICE],
    } satisfies Config)
  })

  it("is refused with the ARN still empty, and says what to fill in", async () => {
    const { code, message } = await refused(HTTPD)
    expect(code).toBe("config-invalid")
    expect(message).toBe(
      "f.yaml:19:26: tokens[0].source.Acm.certificate_arn: is empty: fill in the certificate's ARN, arn:aws:acm:<region>:<account>:certificate/<id>",
    )
  })
})

describe("the sample's shape for nginx", () => {
  it("is read as it is, and means nginx without saying so", () => {
    const { options, tokens, notices } = parse(NGINX)
    expect(options).toMatchObject({
      service: "nginx",
      force_start: true,
      reload_wait_ms: 1_000,
      sync_interval_secs: 600,
    })
    expect(options).not.toHaveProperty("nginx_force_start")
    expect(options).not.toHaveProperty("nginx_reload_wait_ms")
    expect(tokens).toEqual([
      {
        label: "nginx-acm-token",
        pin: "1234",
        source: { kind: "Acm", certificate_arn: CERTIFICATE_ARN },
        target: {
          kind: "Conf",
          path: "/etc/pki/nginx/nginx-acm.conf",
          user: "nginx",
          group: "root",
        },
        refresh_interval_secs: 43_200,
      },
    ])
    expect(notices).toEqual([
      { ...MEMORY_NOTICE, where: "f.yaml:4:15" },
      {
        where: "f.yaml:6:3",
        text: "options.service is not given: it is nginx, as AWS's agent takes it",
      },
    ])
  })

  it("may say no option at all", () => {
    const bare = NGINX.replace(/options:\n( .*\n)+/, "")
    expect(bare).not.toContain("options")
    const { options } = parse(bare)
    expect(options).toMatchObject({
      service: "nginx",
      force_start: true,
      sync_interval_secs: 600,
    })
  })
})

describe("a file with every field of AWS's agent", () => {
  it("is read", () => {
    const { enclave, options, tokens, log } = parse(EVERY_FIELD)
    expect(enclave).toEqual({
      image_path: "/usr/share/tlskeep/tlskeep.eif",
      cpu_count: 4,
      memory_mib: 1_024,
      boot_timeout_ms: 7_000,
      name: "tlskeep",
      nitro_cli_path: "nitro-cli",
      address_pattern: "vsock:{cid}:{port}",
    })
    expect(options).toMatchObject({
      service: "nginx",
      force_start: false,
      reload_wait_ms: 2_000,
      sync_interval_secs: 300,
    })
    expect(tokens).toEqual([
      {
        label: "0001",
        pin: "0042",
        source: { kind: "Acm", certificate_arn: CERTIFICATE_ARN, bucket: "gamma" },
        target: { kind: "Conf", path: "/etc/nginx/a.conf", user: "nginx", group: "nginx" },
        refresh_interval_secs: 3_600,
      },
      {
        label: "of-s3",
        source: { kind: "S3", uri: "s3://keys/x.json" },
        target: { kind: "Conf", path: "/etc/nginx/b.conf", user: "root", group: "nginx" },
        refresh_interval_secs: 43_200,
      },
      {
        label: "of-a-file",
        source: { kind: "FileDb", path: "/etc/keys.json" },
        target: { kind: "Conf", path: "/etc/nginx/c.conf", user: "root", group: "root" },
        refresh_interval_secs: 43_200,
      },
    ])
    expect(log).toEqual({ level: "warn", enable_timestamp: false })
  })

  it("is told what has no effect, or another one, in the order of the file", () => {
    expect(parse(EVERY_FIELD).notices).toEqual([
      {
        where: "f.yaml:5:15",
        text: "AWS's image does not speak tlskeep's protocol: /usr/share/tlskeep/tlskeep.eif is run instead",
      },
      {
        where: "f.yaml:7:16",
        text: "enclave.p11kit_port has no effect: the signing service listens on vsock port 9999",
      },
      {
        where: "f.yaml:8:13",
        text: "enclave.rpc_port has no effect: the control service listens on vsock port 10000",
      },
      {
        where: "f.yaml:9:28",
        text: "enclave.attestation_retry_count has no effect: an attestation that fails is tried again until it succeeds",
      },
    ])
  })

  it.each([
    ["Error", "error"],
    ["Warn", "warn"],
    ["Info", "info"],
    ["Debug", "debug"],
    ["Trace", "trace"],
  ] as const)("takes the level %s for %s", (written, level) => {
    expect(parse(EVERY_FIELD.replace("Warn", written)).log.level).toBe(level)
  })
})

describe("notices", () => {
  it("are there for a PIN that libp11 would cut, without quoting it", () => {
    const pin = "p".repeat(32)
    const text = (length: number) => NGINX.replace("pin: 1234", `pin: ${pin.slice(0, length)}`)
    const of = (file: string) => parse(file).notices.filter(({ text }) => text.includes("libp11"))
    expect(of(text(31))).toEqual([])
    expect(of(text(32))).toEqual([
      {
        where: "f.yaml:19:10",
        text: "tokens[0].pin has more than 31 characters: libp11 0.4.12 cuts it where it is read from a file",
      },
    ])
    expect(of(text(32).replace("options:", "options:\n  pin_delivery: value"))).toEqual([])
    expect(JSON.stringify(parse(text(32)).notices)).not.toContain("ppp")
  })

  it("are not there for what is enough", () => {
    expect(
      parse(EVERY_FIELD.replace(/ {2}(image_path|p11kit|rpc|attest).*\n/g, "")).notices,
    ).toEqual([])
  })
})
