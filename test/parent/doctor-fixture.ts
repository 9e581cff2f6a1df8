/**
 * A host for doctor's tests: a directory that stands for /etc, /sys, /proc and the commands on PATH, with
 * everything in order unless a test changes it.
 */
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { Imds } from "../../parent/aws/imds.js"
import type { Config } from "../../parent/config/config.js"
import { parseConfig } from "../../parent/config/load.js"
import {
  type DoctorContext,
  type HostContextOptions,
  type HostPaths,
  hostContext,
} from "../../parent/doctor/context.js"
import type { Finding } from "../../parent/doctor/finding.js"
import { type Check, runChecks } from "../../parent/doctor/run.js"
import { AgentError } from "../../parent/errors.js"

export const PCR0 = "ab".repeat(48)

/** Sections of the configuration file that a test sets; tokens replace the one that is there. */
export interface ConfigChange {
  enclave?: Record<string, unknown>
  options?: Record<string, unknown>
  aws?: Record<string, unknown>
  tokens?: readonly Record<string, unknown>[]
}

export class DoctorHost {
  readonly dir: string
  readonly bin: string
  readonly runDir: string

  private constructor(dir: string) {
    this.dir = dir
    this.bin = join(dir, "bin")
    this.runDir = join(dir, "run")
  }

  static async create(): Promise<DoctorHost> {
    const host = new DoctorHost(await mkdtemp(join(tmpdir(), "doctor-")))
    await mkdir(host.bin)
    return host
  }

  remove(): Promise<void> {
    return rm(this.dir, { recursive: true })
  }

  get paths(): HostPaths {
    return {
      nitroDevice: join(this.dir, "nitro_enclaves"),
      allocatorFile: join(this.dir, "allocator.yaml"),
      vsockProxyFile: join(this.dir, "vsock-proxy.yaml"),
      hugepagesDir: join(this.dir, "hugepages"),
      procDir: join(this.dir, "proc"),
      p11KitDirs: [join(this.dir, "p11-kit")],
      loadModuleWorker: join(this.dir, "load-module.js"),
    }
  }

  /** Writes a file below the directory, folders included. */
  async file(name: string, content: string, mode = 0o644): Promise<string> {
    const path = join(this.dir, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, content)
    await chmod(path, mode)
    return path
  }

  /** Puts a command on PATH: shell commands that see its arguments. */
  command(name: string, body: string): Promise<string> {
    return this.file(join("bin", name), `#!/bin/sh\n${body}\n`, 0o755)
  }

  /** A nitro-cli whose subcommands print this JSON. */
  nitroCli(answers: { enclaves?: unknown; pcr0?: string }): Promise<string> {
    const { enclaves = [], pcr0 = PCR0 } = answers
    const image = { EifVersion: 4, Measurements: { PCR0: pcr0.toUpperCase() } }
    return this.command(
      "nitro-cli",
      [
        'case "$1" in',
        "--version) echo 'Nitro CLI 1.4.2' ;;",
        `describe-enclaves) ${print(enclaves)} ;;`,
        `describe-eif) ${print(image)} ;;`,
        "esac",
      ].join("\n"),
    )
  }

  /** A process that /proc shows. */
  async process(
    pid: number,
    argv: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    await this.file(`proc/${pid}/cmdline`, argv.map((word) => `${word}\0`).join(""))
    const entries = Object.entries(env).map(([name, value]) => `${name}=${value}\0`)
    await this.file(`proc/${pid}/environ`, entries.join(""))
  }

  config(change: ConfigChange = {}): Config {
    const token = {
      label: "web",
      source: { S3: { uri: "s3://keys/web.json" } },
      target: { Snippet: { path: join(this.dir, "web.conf") } },
    }
    const file = {
      enclave: { image_path: join(this.dir, "image.eif"), ...change.enclave },
      options: { run_dir: this.runDir, ...change.options },
      aws: { region: "us-east-1", ...change.aws },
      tokens: change.tokens ?? [token],
    }
    return parseConfig(JSON.stringify(file), "test.yaml")
  }

  /** Its own commands alone are on PATH, unless a test says otherwise. */
  context(change: ConfigChange = {}, edges: Partial<HostContextOptions> = {}): DoctorContext {
    return hostContext({
      configFile: join(this.dir, "tlskeep.yaml"),
      configuration: { config: this.config(change) },
      paths: this.paths,
      env: { PATH: this.bin },
      imds: new NoImds(),
      uid: 0,
      ...edges,
    })
  }

  /** What one check finds, through the runner as always. */
  find(
    check: Check,
    change: ConfigChange = {},
    edges: Partial<HostContextOptions> = {},
  ): Promise<Finding[]> {
    return runChecks([check], this.context(change, edges))
  }
}

/** There is none beside this host, and nobody is asked. */
export class NoImds extends Imds {
  override async read(): Promise<never> {
    throw new AgentError("imds-unreachable", "there is no metadata service")
  }
}

/** `level code` of each finding: what most tests are about. */
export function outcomes(findings: readonly Finding[]): string[] {
  return findings.map(({ level, code }) => (code === "ok" ? level : `${level} ${code}`))
}

/** A shell command that prints a value as JSON. */
export function print(value: unknown): string {
  return say(JSON.stringify(value))
}

/** A shell command that prints lines, on stdout or elsewhere. */
export function say(text: string, to: "stdout" | "stderr" = "stdout"): string {
  const quoted = `'${text.replaceAll("'", "'\\''")}'`
  return `printf '%s\\n' ${quoted}${to === "stderr" ? " >&2" : ""}`
}
