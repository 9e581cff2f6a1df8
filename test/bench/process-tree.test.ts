/** CPU, memory and descriptors of a process and its children, as /proc tells them. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { afterEach, expect, test } from "vitest"
import {
  cpuMicroseconds,
  descriptorsOf,
  memoryMapsOf,
  treeOf,
} from "../../bench/measure/process-tree.js"

const children: ChildProcess[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL")
})

/** A shell that says a line, once its own child is there and has done what it was asked. */
async function shell(script: string): Promise<number> {
  const child = spawn("/bin/bash", ["-c", script], { stdio: ["pipe", "pipe", "inherit"] })
  children.push(child)
  const { stdout, pid } = child
  await once(createInterface({ input: stdout }), "line")
  return pid ?? -1
}

const BURN = "for ((i = 0; i < 60000; i++)); do :; done"

test("children count with their parent, also those that have ended", async () => {
  const idle = await shell("echo ready; read -r")
  const before = cpuMicroseconds([idle])
  const ended = await shell(`(${BURN}); echo ready; read -r`)
  const running = await shell(`(${BURN}; echo ready; exec sleep 60) & read -r`)
  expect(before).toBe(cpuMicroseconds([idle]))
  expect(cpuMicroseconds([ended])).toBeGreaterThan(0)
  expect(cpuMicroseconds([running])).toBeGreaterThan(0)
  expect(treeOf([running])).toHaveLength(2)
  process.kill(treeOf([running])[1] ?? -1)
})

test("a process named twice, by itself and by its parent, counts once", async () => {
  const pid = await shell("(echo ready; exec sleep 60) & read -r")
  const [, child = -1] = treeOf([pid])
  expect(treeOf([pid, child])).toEqual([pid, child])
  process.kill(child)
})

test("what has ended is left out", () => {
  expect(treeOf([2 ** 30])).toEqual([])
  expect(cpuMicroseconds([2 ** 30])).toBe(0)
})

test("this process has memory of its own and descriptors", () => {
  const { rssMib, privateMib, pssMib } = memoryMapsOf(process.pid)
  expect(privateMib).toBeGreaterThan(1)
  expect(pssMib).toBeGreaterThanOrEqual(privateMib)
  expect(rssMib).toBeGreaterThanOrEqual(pssMib)
  expect(descriptorsOf(process.pid)).toBeGreaterThan(2)
})
