/** `tlskeep status` and `tlskeep enclave replace` as processes, beside an agent's socket and without. */

import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pino } from "pino"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import type { AgentControl } from "../../parent/agent/agent-status.js"
import { type AgentApi, startAgentApi } from "../../parent/agent-api/server.js"
import { AgentError } from "../../parent/errors.js"
import { Compiled } from "../compiled.js"
import { type Outcome, run } from "../sim/process.js"
import { agentStatus, fakeControl, PCR0, troubledTokens } from "./agent-statuses.js"
import { fakeNitroCli, print } from "./fake-nitro-cli.js"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const log = pino({ level: "silent" })
let cli: Compiled
let dir: string
let config: string
let api: AgentApi | undefined
let child: ChildProcess | undefined
beforeAll(async () => {
  cli = await Compiled.cli()
  await cli.linkAddon()
})
afterAll(() => cli.remove())
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "status-"))
  config = join(dir, "tlskeep.yaml")
  const { command } = await fakeNitroCli(dir, { "describe-enclaves": print([]) })
  await writeFile(
    config,
    JSON.stringify({
      enclave: { image_path: "/x", nitro_cli_path: command },
      options: { run_dir: dir },
      tokens: [
        {
          label: "web",
          source: { S3: { uri: "s3://keys/x" } },
          target: { Snippet: { path: "/srv/x.conf" } },
        },
      ],
    }),
  )
})
afterEach(async () => {
  if (child !== undefined && child.exitCode === null && child.signalCode === null) {
    child.kill("SIGKILL")
    await once(child, "close")
  }
  child = undefined
  await api?.close()
  api = undefined
  await rm(dir, { recursive: true })
})

async function serve(control: AgentControl): Promise<void> {
  api = await startAgentApi({ control, socketPath: join(dir, "agent.sock"), log })
}

function tlskeep(...args: string[]): Promise<Outcome> {
  return run(process.execPath, [cli.path("parent/cli.js"), ...args, "--config", config], {})
}

/** The text that a child prints, waited for by what it must hold. */
function printed(of: ChildProcess) {
  let text = ""
  const waiting = new Set<() => void>()
  of.stdout?.on("data", (chunk) => {
    text += String(chunk)
    for (const look of waiting) look()
  })
  return {
    text: () => text,
    until: (enough: (text: string) => boolean) =>
      new Promise<void>((resolve) => {
        const look = () => {
          if (!enough(text)) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      }),
  }
}

describe("tlskeep status", () => {
  const status = agentStatus({ tokens: troubledTokens() })

  it("shows what the agent knows, without colour and breaks in a pipe", async () => {
    await serve(fakeControl(status))
    const { code, stdout, stderr } = await tlskeep("status")
    expect([code, stderr]).toEqual([0, ""])
    expect(stdout).toContain(`PCR0         ${PCR0}\n`)
    expect(stdout).toContain("\nmail: degraded\n")
    expect(stdout).not.toContain("\u001b")
  })

  it("prints JSON as the agent has it", async () => {
    await serve(fakeControl(status))
    const { code, stdout } = await tlskeep("status", "--json")
    expect([code, JSON.parse(stdout)]).toEqual([0, status])
  })

  it("says why the agent does not tell", async () => {
    const error = new AgentError("control-timeout", "no answer", { advice: "Wait." })
    await serve(fakeControl(() => Promise.reject(error)))
    const { code, stderr } = await tlskeep("status")
    expect([code, stderr]).toEqual([1, "tlskeep: control-timeout: no answer\nWait.\n"])
  })

  it("makes no run directory where nothing runs", async () => {
    const text = JSON.stringify({
      enclave: { image_path: "/x" },
      options: { run_dir: join(dir, "none") },
      tokens: [
        {
          label: "web",
          source: { S3: { uri: "s3://keys/x" } },
          target: { Snippet: { path: "/srv/x.conf" } },
        },
      ],
    })
    await writeFile(config, text)
    const { code, stderr } = await tlskeep("status")
    expect(code).toBe(1)
    expect(stderr).toMatch(/^tlskeep: agent-not-running: .*no run directory.*\nStart the agent/)
    expect(await readdir(dir)).not.toContain("none")
  })

  it("says that neither agent nor enclave runs", async () => {
    const { code, stderr } = await tlskeep("status")
    expect(code).toBe(1)
    expect(stderr).toMatch(/^tlskeep: agent-not-running: .*no enclave named tlskeep runs/)
  })
})

describe("tlskeep status --watch", () => {
  /** On a terminal of script(1)'s, whose driver makes a key a signal. */
  function watchOnTerminal({ rows, NO_COLOR }: { rows: number; NO_COLOR: string }) {
    const command = `stty cols 80 rows ${rows}; exec ${process.execPath} ${cli.path("parent/cli.js")} status --watch --config ${config}`
    child = spawn("script", ["-qfec", command, "/dev/null"], {
      env: { ...process.env, TERM: "xterm", NO_COLOR },
      stdio: ["pipe", "pipe", "inherit"],
    })
    return { terminal: child, out: printed(child) }
  }

  it("goes on through the agent's end, a line of JSON each time, until SIGINT", async () => {
    await serve(fakeControl(agentStatus()))
    const args = [cli.path("parent/cli.js"), "status", "--watch", "--json", "--config", config]
    child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
    const out = printed(child)
    await out.until((text) => text.includes("\n"))
    await api?.close()
    api = undefined
    await out.until((text) => text.includes("agent-not-running"))
    child.kill("SIGINT")
    expect(await once(child, "close")).toEqual([0, null])
    const lines = out.text().trim().split("\n")
    expect(JSON.parse(lines[0] ?? "")).toEqual(agentStatus())
    expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ error: { code: "agent-not-running" } })
  })

  it("draws over itself on a terminal, in colour, and leaves it as it was at Ctrl-C", async () => {
    let asked = 0
    await serve(
      fakeControl(async () => {
        asked += 1
        return agentStatus({ pid: asked, tokens: troubledTokens() })
      }),
    )
    const { terminal, out } = watchOnTerminal({ rows: 70, NO_COLOR: "" })
    await out.until((text) => text.includes("pid 2,"))
    terminal.stdin?.write("\u0003")
    const [code] = await once(terminal, "close")
    expect(code).toBe(0)
    expect(out.text()).toContain("\u001b[31mreleased")
    // Hidden while it draws, shown at the end.
    expect(out.text().lastIndexOf("\u001b[?25h")).toBeGreaterThan(
      out.text().lastIndexOf("\u001b[?25l"),
    )
    // The second picture does not stand below the first.
    expect(
      out
        .text()
        .split("\u001b[")
        .some((part) => /^\d*A/.test(part)),
    ).toBe(true)
  })

  it("shows no more lines than the terminal has", async () => {
    await serve(fakeControl(agentStatus({ tokens: troubledTokens() })))
    const { terminal, out } = watchOnTerminal({ rows: 20, NO_COLOR: "1" })
    await out.until((text) => text.includes("more lines: tlskeep status"))
    terminal.stdin?.write("\u0003")
    await once(terminal, "close")
    expect(out.text()).not.toContain("\u001b[31m")
    expect(out.text()).not.toContain("shop: released")
  })
})

describe("tlskeep enclave replace", () => {
  it("tells steps on stderr and the result on stdout", async () => {
    const asked: unknown[] = []
    await serve(
      fakeControl(agentStatus(), async (options, progress) => {
        asked.push(options)
        progress("enclave started")
        progress("tokens\u001b[2J moved")
        return { enclaveId: "i-0-enc2", pcr0: PCR0 }
      }),
    )
    const { code, stdout, stderr } = await tlskeep("enclave", "replace", "--image", "new.eif")
    expect([code, stderr]).toEqual([0, "enclave started\ntokens\ufffd[2J moved\n"])
    expect(stdout).toBe(`enclave i-0-enc2 serves, PCR0 ${PCR0}\n`)
    expect(asked).toEqual([{ imagePath: join(process.cwd(), "new.eif") }])
  })

  it("takes the configured image unless told", async () => {
    const asked: unknown[] = []
    await serve(
      fakeControl(agentStatus(), async (options) => {
        asked.push(options)
        return { enclaveId: "i-0-enc2", pcr0: PCR0 }
      }),
    )
    expect((await tlskeep("enclave", "replace")).code).toBe(0)
    expect(asked).toEqual([{}])
  })

  it("fails as the agent does", async () => {
    const error = new AgentError("enclave-memory-insufficient", "no room", { advice: "Make some." })
    await serve(fakeControl(agentStatus(), () => Promise.reject(error)))
    const { code, stderr } = await tlskeep("enclave", "replace")
    expect(code).toBe(1)
    expect(stderr).toBe("tlskeep: enclave-memory-insufficient: no room\nMake some.\n")
  })

  it("needs an agent", async () => {
    const { code, stderr } = await tlskeep("enclave", "replace")
    expect(code).toBe(1)
    expect(stderr).toMatch(/^tlskeep: agent-not-running: /)
  })
})
