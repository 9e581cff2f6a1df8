/**
 * The whole system on one machine: the local AWS, a sealed key, the agent, an enclave and Apache, each
 * the real program as a process of its own, below one temporary directory.
 */
import { appendFile, chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { execa } from "execa"
import { CodedError } from "../../shared/errors.js"
import { readAdmin } from "../iam/principals.js"
import { readSimInfo, type SimInfo, simEnvironment } from "../info.js"
import { liveEnclaves } from "../nitro/state.js"
import { simPaths } from "../paths.js"
import { seedS3Bucket } from "../seed.js"
import { type AgentConfigOptions, agentConfig } from "./agent-config.js"
import { Apache, type ApacheOptions } from "./apache.js"
import { BackgroundProcess } from "./background-process.js"
import { CHECKOUT } from "./checkout.js"
import { childPids } from "./child-pids.js"
import { freePort } from "./free-port.js"
import { searchLogs } from "./log-search.js"
import { Outages } from "./outages.js"
import { BUCKET, type CommandResult, SealedKeys } from "./sealed-keys.js"
import { WebAuthority } from "./web-certificates.js"

export type { CommandResult }

export interface TestbedOptions {
  /** Records what crosses the vsock ports and the relay to KMS. */
  record?: boolean
  /** The instance reaches AWS by links that can be cut: {@link Testbed.outages}. */
  outages?: boolean
}

export interface AgentSetup {
  label: string
  /** Where the key object is. */
  uri: string
  imagePath?: string
  apache: Apache
  /** Merged over the configuration's sections. */
  enclave?: Record<string, unknown>
  options?: Record<string, unknown>
  token?: Record<string, unknown>
}

/** Eight processes that a busy machine starts at its leisure. */
const START_TIMEOUT_MS = 90_000

export class Testbed extends SealedKeys {
  readonly dir: string
  readonly authority: WebAuthority
  readonly #simulator: BackgroundProcess
  readonly info: SimInfo
  readonly #outages: Outages | undefined
  readonly #started: { stop(): Promise<void> }[] = []
  readonly #agents: BackgroundProcess[] = []
  readonly #pins: string[] = []
  #down: Promise<void> | undefined

  private constructor(parts: {
    dir: string
    simulator: BackgroundProcess
    info: SimInfo
    authority: WebAuthority
    outages: Outages | undefined
  }) {
    super()
    this.dir = parts.dir
    this.#simulator = parts.simulator
    this.info = parts.info
    this.authority = parts.authority
    this.#outages = parts.outages
  }

  /**
   * Brings the local AWS up.
   *
   * @throws CodedError `not-root`: Apache gives up root's rights, files get the server's group, and
   *   the memory of processes is searched.
   */
  static async up({ record = false, ...options }: TestbedOptions = {}): Promise<Testbed> {
    if (process.getuid?.() !== 0) {
      throw new CodedError("not-root", "the demo and the end-to-end tests run as root: use sudo")
    }
    const dir = await mkdtemp(join(tmpdir(), "tlskeep-"))
    // Apache's children, which are not root, read certificates and sockets below.
    await chmod(dir, 0o755)
    const simDir = join(dir, "aws")
    await mkdir(join(dir, "log"))
    const simulator = BackgroundProcess.start({
      name: "simulator",
      command: process.execPath,
      args: [CHECKOUT.simulator, "up", "--dir", simDir, ...(record ? ["--record"] : [])],
      env: { PATH: process.env.PATH ?? "" },
      logFile: join(dir, "log", "simulator.log"),
    })
    try {
      await simulator.waitForLine((line) => line === "ready", { timeoutMs: START_TIMEOUT_MS })
      const info = readSimInfo(simPaths(simDir))
      if (info === undefined) throw new CodedError("not-up", "the simulator wrote no sim.json")
      await seedS3Bucket(simDir, BUCKET)
      const authority = await WebAuthority.create()
      await writeFile(join(dir, "ca.pem"), authority.rootPem)
      const outages = options.outages ? await Outages.prepare(info) : undefined
      return new Testbed({ dir, simulator, info, authority, outages })
    } catch (error) {
      await simulator.stop()
      throw error
    }
  }

  get caFile(): string {
    return join(this.dir, "ca.pem")
  }

  get runDir(): string {
    return join(this.dir, "run")
  }

  get endpointFile(): string {
    return join(this.runDir, "endpoint")
  }

  /** Pids of everything that plays AWS, by name. */
  get awsPids(): Readonly<Record<string, number>> {
    return this.info.pids
  }

  /** Pids of the agents that run. */
  get agentPids(): number[] {
    return this.#agents.filter(({ running }) => running).map(({ pid }) => pid)
  }

  /** Pids of the VMMs, which stand for the hypervisor's processes on the host. */
  get vmmPids(): number[] {
    return liveEnclaves(simPaths(this.info.dir)).map((enclave) => enclave.process.pid)
  }

  /** Pids of the enclaves' own processes. */
  get enclavePids(): number[] {
    return this.vmmPids.flatMap(childPids)
  }

  /** What is between the instance and AWS. @throws CodedError `no-links` unless it was asked for */
  get outages(): Outages {
    if (this.#outages !== undefined) return this.#outages
    throw new CodedError("no-links", "the testbed was brought up without links that can be cut")
  }

  async apache(
    name: string,
    setup: Pick<ApacheOptions, "binding" | "mpm" | "directives" | "env"> & {
      port?: number
      runDir?: string
    },
  ): Promise<Apache> {
    const { port = await freePort(), mpm = "event", runDir = this.runDir, ...options } = setup
    const apache = await Apache.prepare({
      dir: join(this.dir, name),
      ...options,
      port,
      mpm,
      snippet: this.snippetFile(name),
      endpointFile: join(runDir, "endpoint"),
    })
    this.#started.push(apache)
    return apache
  }

  snippetFile(name: string): string {
    return join(this.dir, name, "tlskeep.conf")
  }

  /** Writes the configuration of an agent with one token, for Apache, and returns its path. */
  agentConfig(name: string, setup: AgentSetup): Promise<string> {
    const { label, uri, imagePath, apache, enclave, options, token } = setup
    return this.writeAgentConfig(name, {
      ...{ enclaveName: name, imagePath, runDir: this.runDir, commands: apache.commands },
      tokens: [{ label, uri, target: "Snippet", path: apache.snippet, settings: token }],
      ...{ enclave, options },
    })
  }

  /** Writes the configuration of an agent and returns its path. */
  async writeAgentConfig(name: string, setup: Omit<AgentConfigOptions, "info">): Promise<string> {
    for (const { settings } of setup.tokens) {
      if (typeof settings?.pin === "string") this.#pins.push(settings.pin)
    }
    const file = join(this.dir, `${name}.yaml`)
    await writeFile(file, agentConfig({ ...setup, info: this.info }))
    return file
  }

  /**
   * Starts `tlskeep agent` and leaves it running.
   *
   * @param env - more than its usual environment
   */
  startAgent(config: string, env: NodeJS.ProcessEnv = {}): BackgroundProcess {
    const agent = BackgroundProcess.start({
      name: "agent",
      command: process.execPath,
      args: [CHECKOUT.cli, "agent", "--config", config],
      env: { ...this.hostEnv(), ...env },
      logFile: join(this.dir, "log", `agent-${basename(config, ".yaml")}.log`),
    })
    this.#started.push(agent)
    this.#agents.push(agent)
    return agent
  }

  /** Has something stopped before the local AWS when all of this is. */
  stopWithAll(started: { stop(): Promise<void> }): void {
    this.#started.push(started)
  }

  /** Runs one command of the CLI to its end; never rejects for its exit code. */
  async tlskeep(
    args: readonly string[],
    env: NodeJS.ProcessEnv = this.hostEnv(),
  ): Promise<CommandResult> {
    const { exitCode, stdout, stderr } = await execa(process.execPath, [CHECKOUT.cli, ...args], {
      env,
      extendEnv: false,
      reject: false,
      stdin: "ignore",
    })
    await appendFile(join(this.dir, "log", "cli.log"), `${stdout}\n${stderr}\n`)
    return { exitCode, stdout, stderr }
  }

  /** The simulated nitro-cli; resolves with its JSON. */
  async nitroCli(...args: string[]): Promise<unknown> {
    const { stdout } = await execa(join(this.info.binDir, "nitro-cli"), args)
    return JSON.parse(stdout)
  }

  /** The instance: AWS as its role, by credentials of IMDS. */
  hostEnv(): NodeJS.ProcessEnv {
    const aws = this.#outages?.env ?? simEnvironment(this.info)
    return { PATH: process.env.PATH ?? "", HOME: this.dir, ...aws }
  }

  /** An administrator's machine. */
  adminEnv(): NodeJS.ProcessEnv {
    const { accessKeyId, secretAccessKey } = readAdmin(simPaths(this.info.dir))
    return {
      ...this.hostEnv(),
      ...simEnvironment(this.info),
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
    }
  }

  /**
   * Searches all that any process logged so far for PINs, private keys and credentials.
   *
   * @returns where one was found, and as what
   */
  async secretsInLogs(): Promise<string[]> {
    const secrets = { privateKeys: this.privateKeys, pins: this.#pins }
    const { findings, bytes } = await searchLogs(this.dir, secrets)
    if (bytes === 0) throw new CodedError("no-logs", `nothing was logged in ${this.dir}`)
    return findings.map(({ where, what }) => `${what} in ${where}`)
  }

  /**
   * Stops everything in the reverse order and, unless told otherwise, removes the directory. Once:
   * further calls wait for the first.
   *
   * @throws CodedError `secret-in-log` if anything was logged that must not be; all is stopped then, and
   *   the files are left
   */
  down({ keepFiles = process.env.TLSKEEP_KEEP_FILES === "1" } = {}): Promise<void> {
    this.#down ??= this.#stopAll(keepFiles)
    return this.#down
  }

  async #stopAll(keepFiles: boolean): Promise<void> {
    for (const started of this.#started.reverse()) await started.stop()
    await this.#simulator.stop()
    await this.#outages?.stop()
    const found = await this.secretsInLogs()
    if (found.length > 0) throw new CodedError("secret-in-log", found.join("\n"))
    if (!keepFiles) await rm(this.dir, { recursive: true, force: true })
  }
}
