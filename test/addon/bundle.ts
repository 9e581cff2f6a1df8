/** Bundles a child program with the addon beside it, as the enclave's image holds them. */

import { copyFile, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** The checkout's addon. */
export const ADDON_PATH = here("../../build/native/addon/tlskeep_addon.node")

export interface Bundle {
  /** Holds main.mjs and tlskeep_addon.node. */
  readonly folder: string
  readonly main: string
  remove(): Promise<void>
}

/** Bundles `children/<name>.ts` into a folder of its own. */
export async function bundleChild(name: string): Promise<Bundle> {
  const folder = await mkdtemp(join(tmpdir(), "tlskeep-addon-"))
  const main = join(folder, "main.mjs")
  await build({
    entryPoints: [here(`children/${name}.ts`)],
    outfile: main,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "error",
  })
  await copyFile(ADDON_PATH, join(folder, "tlskeep_addon.node"))
  return { folder, main, remove: () => rm(folder, { recursive: true, force: true }) }
}
