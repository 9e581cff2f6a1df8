/** The agent's socket: its service and its client, on real sockets. */
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises"
import { createServer, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { execa } from "execa"
import { pino } from "pino"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { AgentControl } from "../../parent/agent/agent-status.js"
import { AgentClient } from "../../parent/agent-api/client.js"
import { type AgentApi, startAgentApi } from "../../parent/agent-api/server.js"
import { AgentError } from "../../parent/errors.js"
import { agentStatus, fakeControl, PCR0, troubledTokens } from "./agent-statuses.js"
import { refusalOf } from "./refusal.js"

let dir: string
let socketPath: string
const running: AgentApi[] = []
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "agent-api-"))
  socketPath = join(dir, "agent.sock")
})
afterEach(async () => {
  await Promise.all(running.splice(0).map((api) => api.close()))
  await rm(dir, { recursive: true })
})

/** Log lines, as the journal would have them. */
const logged: Record<string, unknown>[] = []
const log = pino({ level: "info" }, { write: (line: string) => logged.push(JSON.parse(line)) })
beforeEach(() => logged.splice(0))

async function start(control: AgentControl, metricsListen?: string): Promise<AgentApi> {
  const listen = metricsListen === undefined ? {} : { metricsListen }
  const api = await startAgentApi({ control, socketPath, log, ...listen })
  running.push(api)
  return api
}

/** A promise and what fulfils it. */
function gateway(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((fulfil) => {
    resolve = fulfil
  })
  return { promise, resolve }
}

const REPLACED = { enclaveId: "i-0-enc1", pcr0: PCR0 }

describe("the status", () => {
  it("arrives as the agent told it", async () => {
    const status = agentStatus({ tokens: troubledTokens() })
    await start(fakeControl(status))
    expect(await new AgentClient(socketPath).status()).toEqual(status)
  })

  it("arrives as JSON at any client of HTTP", async () => {
    await start(fakeControl(agentStatus()))
    const { stdout } = await execa("curl", ["-sS", "--unix-socket", socketPath, "http://x/status"])
    expect(JSON.parse(stdout)).toEqual(agentStatus())
  })

  it("is refused with the agent's own code", async () => {
    const error = new AgentError("control-timeout", "the enclave did not answer", {
      advice: "Wait.",
    })
    await start(fakeControl(() => Promise.reject(error)))
    expect(await refusalOf(new AgentClient(socketPath).status())).toMatchObject({
      code: "control-timeout",
      message: "the enclave did not answer",
      advice: "Wait.",
    })
  })

  it("tells nothing of a failure that nobody foresaw but in the log", async () => {
    await start(fakeControl(() => Promise.reject(new Error("with a secret"))))
    const { code, message } = await refusalOf(new AgentClient(socketPath).status())
    expect(code).toBe("internal")
    expect(message).not.toContain("secret")
    expect(logged).toHaveLength(1)
  })
})

describe("metrics", () => {
  it("are served here, and where they are configured", async () => {
    const api = await start(fakeControl(agentStatus()), "127.0.0.1:0")
    expect(await new AgentClient(socketPath).metrics()).toContain("tlskeep_enclave_up 1")
    const answer = await fetch(`http://${api.metricsAddress}/metrics`)
    expect(await answer.text()).toContain("tlskeep_enclave_up 1")
  })

  it("that cannot be served leave no socket behind", async () => {
    const options = { control: fakeControl(agentStatus()), socketPath, log }
    const { code } = await refusalOf(startAgentApi({ ...options, metricsListen: "0.0.0.0:9464" }))
    expect(code).toBe("metrics-listen-invalid")
    expect(await readdir(dir)).toEqual([])
  })
})

describe("the replacement of the enclave", () => {
  it("tells each step when it is taken, then the new enclave", async () => {
    const steps: string[] = []
    const gate = gateway()
    const asked: unknown[] = []
    await start(
      fakeControl(agentStatus(), async (options, progress) => {
        asked.push(options)
        progress("new enclave started")
        // Goes on only when the client has heard of the first step.
        await gate.promise
        progress("tokens moved")
        return REPLACED
      }),
    )
    const replaced = new AgentClient(socketPath).replaceEnclave(
      { imagePath: "/srv/new.eif" },
      (step) => {
        steps.push(step)
        gate.resolve()
      },
    )
    expect(await replaced).toEqual(REPLACED)
    expect(steps).toEqual(["new enclave started", "tokens moved"])
    expect(asked).toEqual([{ imagePath: "/srv/new.eif" }])
  })

  it("that fails says why", async () => {
    const error = new AgentError("enclave-memory-insufficient", "no room", { advice: "Make some." })
    await start(fakeControl(agentStatus(), () => Promise.reject(error)))
    const refusal = await refusalOf(new AgentClient(socketPath).replaceEnclave({}, () => {}))
    expect(refusal).toMatchObject({ code: error.code, message: "no room", advice: "Make some." })
    expect(logged.at(-1)).toMatchObject({ code: error.code, msg: "enclave not replaced" })
  })

  it("happens once at a time, and again after it ended", async () => {
    const gate = gateway()
    const begun = gateway()
    await start(
      fakeControl(agentStatus(), async () => {
        begun.resolve()
        await gate.promise
        return REPLACED
      }),
    )
    const client = new AgentClient(socketPath)
    const first = client.replaceEnclave({}, () => {})
    await begun.promise
    const second = await refusalOf(client.replaceEnclave({}, () => {}))
    expect(second.code).toBe("enclave-replace-running")
    gate.resolve()
    expect(await first).toEqual(REPLACED)
    expect(await client.replaceEnclave({}, () => {})).toEqual(REPLACED)
  })

  it("goes on when the client that asked is gone", async () => {
    const gate = gateway()
    const done = gateway()
    const begun = gateway()
    await start(
      fakeControl(agentStatus(), async (_options, progress) => {
        begun.resolve()
        await gate.promise
        progress("after the client's end")
        done.resolve()
        return REPLACED
      }),
    )
    const asking = execa(
      "curl",
      ["-sSN", "-X", "POST", "--unix-socket", socketPath, "http://x/enclave/replace"],
      { reject: false },
    )
    await begun.promise
    asking.kill("SIGKILL")
    await asking
    gate.resolve()
    await done.promise
    expect(await new AgentClient(socketPath).status()).toEqual(agentStatus())
  })

  it.each([
    ["a relative image", '{"imagePath":"new.eif"}'],
    ["a misspelt field", '{"image":"/srv/new.eif"}'],
    ["no JSON", "{"],
  ])("is not asked for with %s", async (_name, body) => {
    await start(fakeControl(agentStatus()))
    const { stdout } = await execa("curl", [
      ...["-sS", "-X", "POST", "-H", "content-type: application/json", "-d", body],
      ...["--unix-socket", socketPath, "http://x/enclave/replace"],
    ])
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: "malformed-request" } })
  })

  it("that ends with the agent is no success", async () => {
    const begun = gateway()
    const api = await startAgentApi({
      control: fakeControl(agentStatus(), (_options, progress) => {
        progress("begun")
        return new Promise(() => {})
      }),
      socketPath,
      log,
    })
    const replaced = refusalOf(
      new AgentClient(socketPath).replaceEnclave({}, () => begun.resolve()),
    )
    await begun.promise
    await api.close()
    expect((await replaced).code).toBe("agent-protocol")
  })
})

describe("the socket", () => {
  it("is root's alone whatever the umask, and gone when the agent ends", async () => {
    const mask = process.umask(0)
    try {
      const api = await startAgentApi({ control: fakeControl(agentStatus()), socketPath, log })
      expect((await stat(socketPath)).mode & 0o777).toBe(0o600)
      expect(process.umask()).toBe(0)
      await api.close()
      expect(await readdir(dir)).toEqual([])
    } finally {
      process.umask(mask)
    }
  })

  it("that an agent which was killed left behind is replaced", async () => {
    const leave =
      "require('net').createServer().listen(process.argv[1],()=>process.kill(process.pid,9))"
    await execa(process.execPath, ["-e", leave, socketPath], { reject: false })
    expect((await stat(socketPath)).isSocket()).toBe(true)
    await start(fakeControl(agentStatus()))
    expect((await new AgentClient(socketPath).status()).pid).toBe(4711)
  })

  it("of a live agent is left to it", async () => {
    await start(fakeControl(agentStatus()))
    const second = startAgentApi({ control: fakeControl(agentStatus({ pid: 1 })), socketPath, log })
    const { code, message, advice } = await refusalOf(second)
    expect(code).toBe("agent-runs-already")
    expect(message).toContain(socketPath)
    expect(advice).toContain("systemctl stop tlskeep")
    expect((await new AgentClient(socketPath).status()).pid).toBe(4711)
  })

  it("is not made over a file that is none", async () => {
    await writeFile(socketPath, "someone's")
    const { code } = await refusalOf(
      startAgentApi({ control: fakeControl(agentStatus()), socketPath, log }),
    )
    expect(code).toBe("agent-runs-already")
    expect((await stat(socketPath)).isFile()).toBe(true)
  })

  it.each([
    // As libuv has bind()'s ENOENT.
    ["in no directory", () => join(dir, "none", "agent.sock"), "EACCES"],
    ["with too long a path", () => join(dir, "x".repeat(100)), "ENAMETOOLONG"],
  ])("%s cannot be", async (_name, path, reason) => {
    const options = { control: fakeControl(agentStatus()), socketPath: path(), log }
    const { code, message } = await refusalOf(startAgentApi(options))
    expect(code).toBe("agent-socket-failed")
    expect(message).toContain(reason)
  })
})

describe("the client", () => {
  it.each([
    ["is not there", async () => {}],
    [
      "was left behind",
      async () => {
        const leave =
          "require('net').createServer().listen(process.argv[1],()=>process.kill(process.pid,9))"
        await execa(process.execPath, ["-e", leave, socketPath], { reject: false })
      },
    ],
  ])("says that no agent runs where its socket %s", async (_name, prepare) => {
    await prepare()
    const { code, advice } = await refusalOf(new AgentClient(socketPath).status())
    expect(code).toBe("agent-not-running")
    expect(advice).toContain("systemctl start tlskeep")
  })

  it.each([
    ["JSON of another shape", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "agent-protocol"],
    ["no JSON", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno", "agent-protocol"],
    ["a refusal in no shape", "HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n", "agent-protocol"],
    ["half an answer", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", "agent-protocol"],
    ["something that is no HTTP", "hello\r\n\r\n", "agent-socket-failed"],
    ["nothing", "", "agent-socket-failed"],
  ])("does not take %s for an answer", async (_name, answer, expected) => {
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
      socket.once("data", () => socket.end(answer))
    })
    await new Promise<void>((resolve) => server.listen(socketPath, resolve))
    try {
      expect((await refusalOf(new AgentClient(socketPath).status())).code).toBe(expected)
    } finally {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    }
  })
})
