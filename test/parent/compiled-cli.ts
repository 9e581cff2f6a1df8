/** The `tlskeep` command in JavaScript, for tests that run it as a process. */
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

export interface CompiledCli {
  /** Absolute path of cli.js. */
  path: string
  remove(): Promise<void>
}

const ROOT = fileURLToPath(new URL("../..", import.meta.url))

/** Compiles file by file into a folder of its own below `build/`, where node_modules is found. */
export async function compileCli(options: { addon?: boolean } = {}): Promise<CompiledCli> {
  await mkdir(join(ROOT, "build"), { recursive: true })
  const outdir = await mkdtemp(join(ROOT, "build", "cli-test-"))
  await build({
    absWorkingDir: ROOT,
    entryPoints: ["parent/**/*.ts", "shared/**/*.ts", "native/addon/*.ts"],
    outdir,
    outbase: ROOT,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "error",
  })
  if (options.addon) {
    const name = "native/addon/tlskeep_addon.node"
    await symlink(join(ROOT, "build", name), join(outdir, name))
  }
  return {
    path: join(outdir, "parent", "cli.js"),
    remove: () => rm(outdir, { recursive: true }),
  }
}
