// Feeds hostile bytes to the decoders of frames and requests for FUZZ_SECONDS (60), from the seeds in
// test/shared/seeds/. FUZZ_SEED repeats a run. Exits 1 with the smallest bytes found that fail.
import { mkdir, mkdtemp, rm } from "node:fs/promises"
import { fileURLToPath, pathToFileURL } from "node:url"
import { build } from "esbuild"
import fc from "fast-check"

const root = fileURLToPath(new URL("..", import.meta.url))
const seconds = positiveNumber("FUZZ_SECONDS", 60)
const seed = positiveNumber("FUZZ_SEED", Date.now() % 2 ** 31)

const { decoderProperties, loadSeeds } = await load("test/shared/decoder-properties.ts")
const properties = Object.entries(decoderProperties(loadSeeds(`${root}test/shared/seeds`)))

process.stdout.write(`fuzzing frames for ${seconds} s, FUZZ_SEED=${seed}\n`)
for (const [name, property] of properties) {
  const result = fc.check(property, {
    seed,
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: (seconds * 1_000) / properties.length,
    markInterruptAsFailure: false,
  })
  process.stdout.write(`${name}: ${result.numRuns} runs\n`)
  if (result.failed) {
    process.stdout.write(`${fc.defaultReportMessage(result)}\n`)
    process.exitCode = 1
  }
}

/** Imports a TypeScript module; it finds its packages because its bundle lies in the checkout. */
async function load(module) {
  await mkdir(`${root}build`, { recursive: true })
  const folder = await mkdtemp(`${root}build/fuzz-`)
  try {
    const outfile = `${folder}/module.mjs`
    await build({
      entryPoints: [`${root}${module}`],
      outfile,
      bundle: true,
      platform: "node",
      target: "node20",
      format: "esm",
      // The properties are run by the copy of fast-check that made them.
      packages: "external",
      logLevel: "warning",
    })
    return await import(pathToFileURL(outfile).href)
  } finally {
    await rm(folder, { recursive: true })
  }
}

function positiveNumber(name, otherwise) {
  const text = process.env[name] ?? ""
  if (text === "") return otherwise
  if (!/^[1-9][0-9]{0,9}$/.test(text)) throw new Error(`${name} must be a positive integer`)
  return Number(text)
}
