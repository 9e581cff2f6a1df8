/** A clock that jumps, jumps for the processes that go by it, and leaves their time-outs alone. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { BackgroundProcess } from "../../sim/testbed/background-process.js"
import { Clock } from "../../sim/testbed/clock.js"

const DAY_SECS = 86_400
/** It says what the time is, a line each time it is asked by a signal. */
const TELLER = `
  const say = () => console.log("now " + Date.now())
  process.on("SIGUSR2", say)
  setTimeout(() => console.log("timer"), 1_000)
  setInterval(() => {}, 1_000)
  say()
`

let dir: string
let teller: BackgroundProcess | undefined
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "clock-"))
})
afterEach(async () => {
  await teller?.stop("SIGKILL")
  rmSync(dir, { recursive: true })
})

test("it jumps forward and back under a running process, whose timers go on", async () => {
  const clock = Clock.create(join(dir, "clock"))
  const process_ = BackgroundProcess.start({
    name: "teller",
    command: process.execPath,
    args: ["-e", TELLER],
    env: { PATH: process.env.PATH ?? "", ...clock.env },
    logFile: join(dir, "teller.log"),
  })
  teller = process_
  const isTime = (line: string) => line.startsWith("now ")
  const ahead = (line: string) => Math.round((Number(line.slice(4)) - Date.now()) / 60_000)
  expect(ahead(await process_.waitForLine(isTime))).toBeCloseTo(0)
  for (const days of [3, -3, 0]) {
    clock.set(days * DAY_SECS)
    const from = process_.lines.length
    process.kill(process_.pid, "SIGUSR2")
    expect(ahead(await process_.waitForLine(isTime, { from }))).toBeCloseTo(days * 24 * 60)
  }
  await process_.waitForLine((line) => line === "timer", { timeoutMs: 10_000 })
})
