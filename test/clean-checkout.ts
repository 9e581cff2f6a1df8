/** Builds from nothing but sources, in folders other than this checkout's. */
import { cp, mkdir } from "node:fs/promises"
import { join } from "node:path"
import { execa } from "execa"
import { CHECKOUT } from "../sim/testbed/checkout.js"

/** What Dockerfile.enclave copies into its build stage. */
const SOURCES = ["package.json", "tsconfig.json", "scripts", "native", "shared", "enclave"]

/**
 * Copies the sources of an enclave image into a new folder and builds its root file system there.
 *
 * @param node - the runtime that goes in; else the one that runs this.
 * @returns the root's folder.
 */
export async function buildEnclaveRoot(folder: string, node = process.execPath): Promise<string> {
  await mkdir(folder, { recursive: true })
  for (const name of SOURCES) {
    await cp(join(CHECKOUT.root, name), join(folder, name), { recursive: true })
  }
  await copyPackages(folder)
  const root = join(folder, "root")
  // A compiler at work must not take the time of tests that wait for something.
  const build = [join(folder, "scripts/build-enclave-root.sh"), "enclave", root, node]
  await execa("nice", ["-n", "10", ...build])
  return root
}

/** By links where the folder's file system is the checkout's: nothing writes to them. */
async function copyPackages(folder: string): Promise<void> {
  const packages = join(CHECKOUT.root, "node_modules")
  const { failed } = await execa("cp", ["-al", packages, folder], { reject: false })
  if (failed) await execa("cp", ["-a", "--remove-destination", packages, folder])
}
