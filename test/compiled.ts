/** Parts of the tree in JavaScript, for tests that run them as processes of their own. */
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

export const ROOT = fileURLToPath(new URL("..", import.meta.url))
/** The addon as the build leaves it, from the tree's root and from `build/` alike. */
const ADDON = "native/addon/tlskeep_addon.node"

export class Compiled {
  readonly #dir: string

  private constructor(dir: string) {
    this.#dir = dir
  }

  /** Compiles file by file into a folder of its own below `build/`, where node_modules is found. */
  static async of(entryPoints: readonly string[]): Promise<Compiled> {
    await mkdir(join(ROOT, "build"), { recursive: true })
    const dir = await mkdtemp(join(ROOT, "build", "compiled-"))
    await build({
      absWorkingDir: ROOT,
      entryPoints: [...entryPoints],
      outdir: dir,
      outbase: ROOT,
      format: "esm",
      platform: "node",
      target: "node20",
      logLevel: "error",
    })
    return new Compiled(dir)
  }

  /** The `tlskeep` command; it does not find the addon until {@link linkAddon}. */
  static cli(): Promise<Compiled> {
    return Compiled.of(["parent/**/*.ts", "shared/**/*.ts", "native/addon/*.ts"])
  }

  static simulator(): Promise<Compiled> {
    return Compiled.of([
      "sim/**/*.ts",
      "shared/**/*.ts",
      "enclave/nsm/**/*.ts",
      "enclave/runtime.ts",
    ])
  }

  /** Absolute path of what was compiled, such as `parent/cli.js`. */
  path(name: string): string {
    return join(this.#dir, name)
  }

  get addon(): string {
    return this.path(ADDON)
  }

  async linkAddon(): Promise<void> {
    await symlink(join(ROOT, "build", ADDON), this.addon)
  }

  remove(): Promise<void> {
    return rm(this.#dir, { recursive: true })
  }
}
