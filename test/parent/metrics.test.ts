/** The agent's metrics: their values, promtool's opinion of them, where they are served, and the dashboard. */

import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises"
import { request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { execa } from "execa"
import { pino } from "pino"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { AgentMetrics } from "../../parent/metrics/metrics.js"
import { listenForMetrics, parseMetricsListen } from "../../parent/metrics/server.js"
import {
  agentStatus,
  describedEnclave,
  describedToken,
  NOW,
  servingToken,
  troubledTokens,
} from "./agent-statuses.js"
import { refusalOf } from "./refusal.js"

const log = pino({ level: "silent" })
const open: AgentMetrics[] = []
afterEach(() => {
  for (const metrics of open.splice(0)) metrics.close()
})

function metricsOf(status: () => ReturnType<typeof agentStatus>): AgentMetrics {
  const metrics = new AgentMetrics(async () => status())
  open.push(metrics)
  return metrics
}

/** The samples by name and labels, as one scrape has them. */
async function samples(metrics: AgentMetrics): Promise<Map<string, number>> {
  const lines = (await metrics.text()).split("\n").filter((line) => /^[a-z]/.test(line))
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ")
      return [line.slice(0, at), Number(line.slice(at + 1))]
    }),
  )
}

const everything = () => {
  const status = agentStatus({ tokens: troubledTokens() })
  const [web] = status.tokens
  if (web?.enclave) web.enclave.decryptions = { RSA_PKCS_OAEP: 7 }
  return status
}

describe("a scrape", () => {
  it("tells what the enclave counts, in base units", async () => {
    const told = await samples(metricsOf(everything))
    const ok = 'tlskeep_signatures_total{token="web",mechanism="ECDSA",result="ok"}'
    expect(Object.fromEntries(told)).toMatchObject({
      [ok]: 40,
      'tlskeep_signatures_total{token="mail",mechanism="",result="refused"}': 4,
      'tlskeep_signatures_total{token="mail",mechanism="",result="failed"}': 1,
      'tlskeep_decryptions_total{token="web",mechanism="RSA_PKCS_OAEP"}': 7,
      'tlskeep_signature_duration_seconds_bucket{le="0.0001"}': 30,
      'tlskeep_signature_duration_seconds_bucket{le="0.01"}': 40,
      'tlskeep_signature_duration_seconds_bucket{le="+Inf"}': 41,
      tlskeep_signature_duration_seconds_sum: 0.052,
      tlskeep_signature_duration_seconds_count: 41,
      tlskeep_module_connections: 6,
      tlskeep_module_connections_accepted_total: 90,
      tlskeep_enclave_reconnects_total: 2,
      tlskeep_enclave_up: 1,
      tlskeep_enclave_draining: 0,
      'tlskeep_build_info{version="0.1.0"}': 1,
    })
  })

  it("tells the tokens' states, errors and times", async () => {
    const told = await samples(metricsOf(everything))
    const seconds = NOW / 1_000
    expect(Object.fromEntries(told)).toMatchObject({
      'tlskeep_token_state{token="shop",state="released"}': 1,
      'tlskeep_token_state{token="shop",state="serving"}': 0,
      'tlskeep_token_state{token="api",state="pending"}': 1,
      'tlskeep_token_error_info{token="mail",code="s3-unreachable"}': 1,
      'tlskeep_token_failed_rounds{token="mail"}': 3,
      'tlskeep_token_retiring_keys{token="mail"}': 1,
      'tlskeep_certificate_not_after_timestamp_seconds{token="web"}': seconds + 60 * 86_400,
      'tlskeep_token_last_sync_timestamp_seconds{token="web"}': seconds - 180,
      'tlskeep_token_last_attestation_timestamp_seconds{token="web"}': seconds - 7_200,
      'tlskeep_token_lease_expiry_timestamp_seconds{token="web"}': seconds + 46 * 3_600,
    })
    const named = [...told.keys()].filter((name) => name.includes('token="api"'))
    expect(named.some((name) => name.includes("certificate") || name.includes("last"))).toBe(false)
    expect(
      [...told.keys()].some((name) => name.startsWith('tlskeep_enclave_info{pcr0="ababab')),
    ).toBe(true)
  })

  it("tells the enclave's times by the host's clock", async () => {
    const enclave = {
      ...agentStatus().enclave,
      description: describedEnclave({ now: NOW + 90_000 }),
    }
    const told = await samples(metricsOf(() => agentStatus({ enclave })))
    expect(told.get("tlskeep_enclave_clock_skew_seconds")).toBe(90)
    expect(told.get('tlskeep_token_last_attestation_timestamp_seconds{token="web"}')).toBe(
      NOW / 1_000 - 7_200 - 90,
    )
  })

  it("leaves out what an enclave that is down would tell", async () => {
    const { enclave: _served, ...token } = servingToken()
    const down = agentStatus({
      enclave: { state: "down", since: NOW, reconnects: 1 },
      tokens: [{ ...token, state: "failed" }],
    })
    const told = await samples(metricsOf(() => down))
    expect(told.get("tlskeep_enclave_up")).toBe(0)
    const gone = /tlskeep_(signature|enclave_info|module|token_lease|enclave_clock)/
    expect([...told.keys()].filter((name) => gone.test(name))).toEqual([])
    expect(
      told.get('tlskeep_certificate_not_after_timestamp_seconds{token="web"}'),
    ).toBeGreaterThan(0)
  })

  it("starts from the enclave's count after a restart of it, without a sum of its own", async () => {
    const counts = [50, 3]
    const metrics = metricsOf(() =>
      agentStatus({
        tokens: [
          servingToken("web", {
            enclave: describedToken({ signatures: { ECDSA: counts.shift() ?? 0 } }),
          }),
        ],
      }),
    )
    const name = 'tlskeep_signatures_total{token="web",mechanism="ECDSA",result="ok"}'
    expect((await samples(metrics)).get(name)).toBe(50)
    expect((await samples(metrics)).get(name)).toBe(3)
  })

  it("quotes labels of any characters", async () => {
    const metrics = metricsOf(() => agentStatus({ tokens: [servingToken('a"b\\c')] }))
    const name = 'tlskeep_token_failed_rounds{token="a\\"b\\\\c"}'
    expect((await samples(metrics)).get(name)).toBe(0)
  })

  it("tells of its process", async () => {
    const told = await samples(metricsOf(everything))
    expect(told.get("tlskeep_process_resident_memory_bytes")).toBeGreaterThan(1e6)
    expect(told.has("tlskeep_process_open_fds")).toBe(true)
  })

  it("is to promtool's liking", async () => {
    const input = await metricsOf(everything).text()
    const { exitCode, stdout, stderr } = await execa("promtool", ["check", "metrics"], {
      input,
      reject: false,
    })
    expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: "", stderr: "" })
  })
})

describe("the dashboard", () => {
  interface Panel {
    id: number
    title: string
    type: string
    gridPos: { x: number; y: number; w: number; h: number }
    targets?: { expr: string; refId: string; datasource: { uid: string } }[]
  }
  const load = async () =>
    JSON.parse(
      await readFile(new URL("../../deploy/grafana/tlskeep.json", import.meta.url), "utf8"),
    ) as { panels: Panel[]; schemaVersion: number; templating: { list: { query: unknown }[] } }

  it("queries only what is exported, and all of what an operator must see", async () => {
    const exported = new Set([...(await samples(metricsOf(everything))).keys()].map(nameOf))
    const { panels, templating } = await load()
    const queries = [
      ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
      JSON.stringify(templating),
    ]
    const queried = new Set(queries.flatMap((expr) => expr.match(/tlskeep_[a-z_]+/g) ?? []))
    expect([...queried].filter((name) => !exported.has(name))).toEqual([])
    const own = [...exported].filter((name) => !/^tlskeep_(process|nodejs)_/.test(name))
    const unseen = [...own].filter((name) => !queried.has(name)).sort()
    // Told for alerts and queries by hand.
    expect(unseen).toEqual([
      "tlskeep_certificate_not_before_timestamp_seconds",
      "tlskeep_enclave_draining",
      "tlskeep_signature_duration_seconds_count",
      "tlskeep_signature_duration_seconds_sum",
    ])
  })

  it("has queries that Prometheus can parse", async () => {
    const { panels } = await load()
    const rules = panels.flatMap(({ id, targets = [] }) =>
      targets.map(({ expr, refId }) => ({
        record: `panel${id}:${refId}`,
        expr: expr.replaceAll("$__rate_interval", "5m").replaceAll("$__range", "1h"),
      })),
    )
    expect(rules.length).toBeGreaterThan(10)
    const groups = rules.map((rule, index) => ({ name: `g${index}`, rules: [rule] }))
    const dir = await mkdtemp(join(tmpdir(), "rules-"))
    try {
      const file = join(dir, "rules.json")
      await writeFile(file, JSON.stringify({ groups }))
      const outcome = await execa("promtool", ["check", "rules", file], { reject: false })
      expect([outcome.exitCode, outcome.stderr]).toEqual([0, ""])
    } finally {
      await rm(dir, { recursive: true })
    }
  })

  it("has panels that lie beside each other, each with an id of its own", async () => {
    const { panels, schemaVersion } = await load()
    expect(schemaVersion).toBeGreaterThanOrEqual(39)
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`),
    )
    expect(new Set(cells).size).toBe(cells.length)
    for (const { gridPos } of panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24)
  })
})

function nameOf(sample: string): string {
  return sample.replace(/\{.*/, "")
}

describe("where metrics are served", () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "metrics-"))
  })
  afterEach(() => rm(dir, { recursive: true }))

  async function get(url: string | { socketPath: string; path: string }) {
    const answer = await new Promise<import("node:http").IncomingMessage>((resolve, reject) => {
      request(url as string, { agent: false }, resolve)
        .once("error", reject)
        .end()
    })
    return {
      status: answer.statusCode,
      type: answer.headers["content-type"],
      body: await text(answer),
    }
  }

  it("is a loopback port, with the metrics and nothing else", async () => {
    const metrics = metricsOf(everything)
    const server = await listenForMetrics({ listen: "127.0.0.1:0", metrics, log })
    try {
      expect(server.address).toMatch(/^127\.0\.0\.1:[1-9]\d*$/)
      const told = await get(`http://${server.address}/metrics`)
      expect(told.status).toBe(200)
      expect(told.type).toBe("text/plain; version=0.0.4; charset=utf-8")
      expect(told.body).toContain("tlskeep_enclave_up 1")
      expect((await get(`http://${server.address}/status`)).status).toBe(404)
    } finally {
      await server.close()
    }
  })

  it("is a Unix socket that any process may ask", async () => {
    const socketPath = join(dir, "metrics.sock")
    const metrics = metricsOf(everything)
    const server = await listenForMetrics({ listen: `unix:${socketPath}`, metrics, log })
    try {
      expect((await stat(socketPath)).mode & 0o777).toBe(0o666)
      const asked = await execa("curl", ["-sS", "--unix-socket", socketPath, "http://x/metrics"])
      expect(asked.stdout).toContain("tlskeep_enclave_up 1")
    } finally {
      await server.close()
    }
    await expect(stat(socketPath)).rejects.toMatchObject({ code: "ENOENT" })
  })

  it("answers 500 where the status cannot be had, and tells no reason", async () => {
    const metrics = new AgentMetrics(() => Promise.reject(new Error("secret reason")))
    open.push(metrics)
    const server = await listenForMetrics({ listen: "127.0.0.1:0", metrics, log })
    try {
      const { status, body } = await get(`http://${server.address}/metrics`)
      expect(status).toBe(500)
      expect(body).not.toContain("secret")
    } finally {
      await server.close()
    }
  })

  it("is not taken twice", async () => {
    const metrics = metricsOf(everything)
    const server = await listenForMetrics({ listen: "127.0.0.1:0", metrics, log })
    try {
      const again = listenForMetrics({ listen: server.address, metrics, log })
      const { code, message } = await refusalOf(again)
      expect(code).toBe("metrics-listen-failed")
      expect(message).toContain("EADDRINUSE")
    } finally {
      await server.close()
    }
  })

  it.each(["[::1]:9464", "127.8.0.1:1", "127.0.0.1:65535"])("may be %s", (listen) => {
    expect(parseMetricsListen(listen)).toMatchObject({ port: expect.any(Number) })
  })

  it.each([
    "0.0.0.0:9464",
    "[::]:9464",
    "10.0.0.1:9464",
    "[::ffff:10.0.0.1]:9464",
    "localhost:9464",
    "127.0.0.1",
    "127.0.0.1:65536",
    ":9464",
    "9464",
    "unix:relative",
    "unix:",
    "",
  ])("is not %j", async (listen) => {
    expect((await refusalOf(() => parseMetricsListen(listen))).code).toBe("metrics-listen-invalid")
  })
})
