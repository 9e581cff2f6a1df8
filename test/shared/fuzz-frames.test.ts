/** `scripts/fuzz-frames.mjs`: runs as long as it is told, and takes no other time. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { expect, it } from "vitest"

const script = join(import.meta.dirname, "../../scripts/fuzz-frames.mjs")

async function fuzz(env: NodeJS.ProcessEnv): Promise<{ code: number; told: string }> {
  const child = spawn(process.execPath, [script], { env: { ...process.env, ...env } })
  const [told, told2, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit"),
  ])
  return { code, told: told + told2 }
}

it("tries every property for its share of FUZZ_SECONDS", async () => {
  const { code, told } = await fuzz({ FUZZ_SECONDS: "1", FUZZ_SEED: "7" })
  expect(code, told).toBe(0)
  const [first, ...properties] = told.trimEnd().split("\n")
  expect(first).toBe("fuzzing frames for 1 s, FUZZ_SEED=7")
  expect(properties.length).toBeGreaterThan(4)
  for (const line of properties) expect(line).toMatch(/^[a-z -]+: [1-9][0-9]* runs$/)
})

it.each(["0", "-1", "1.5", "soon"])("takes no FUZZ_SECONDS of %j", async (seconds) => {
  const { code, told } = await fuzz({ FUZZ_SECONDS: seconds })
  expect(code).toBe(1)
  expect(told).toContain("FUZZ_SECONDS must be a positive integer")
})
