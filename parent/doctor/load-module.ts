/**
 * Worker process of the module check: loads the PKCS #11 module named by the first argument and prints
 * the labels of its tokens as JSON, none with `--no-tokens`. A module that cannot be loaded is said on
 * stderr. A process of its own: the module is native, blocks while it waits, and is on trial.
 */
import { Module } from "graphene-pk11"

const [path = "", flag] = process.argv.slice(2)
try {
  const module = Module.load(path, "tlskeep doctor")
  if (flag === "--no-tokens") process.stdout.write("[]\n")
  else process.stdout.write(`${JSON.stringify(labelsOf(module))}\n`)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}

function labelsOf(module: Module): string[] {
  module.initialize()
  try {
    const slots = module.getSlots(true)
    return Array.from({ length: slots.length }, (_, index) =>
      slots.items(index).getToken().label.trimEnd(),
    )
  } finally {
    module.finalize()
  }
}
