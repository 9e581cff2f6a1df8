/**
 * The whole system on one machine: the local AWS, a sealed key, the agent, an enclave and Apache, each
 * the real program as a process of its own, below one temporary directory.
 */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { execa } from "execa"
import { stringify } from "yaml"
import { CodedError } from "../../shared/errors.js"
import { readAdmin } from "../iam/principals.js"
import { readSimInfo, type SimInfo, simEnvironment } from "../info.js"
import { liveEnclaves } from "../nitro/state.js"
import { pcrOfImage } from "../nsm/index.js"
import { simPaths } from "../paths.js"
import { releaseKeyPolicy, seedKmsKey, seedS3Bucket } from "../seed.js"
import { Apache, type Mpm } from "./apache.js"
import { BackgroundProcess } from "./background-process.js"
import { CHECKOUT } from "./checkout.js"
import { childPids } from "./child-pids.js"
import { freePort } from "./free-port.js"
import type { OpensslBinding } from "./openssl-conf.js"
import { type KeyType, WebAuthority, type WebCertificate } from "./web-certificates.js"

export interface TestbedOptions {
  /** Records what crosses the vsock ports and the relay to KMS. */
  record?: boolean
}

/** How a command of the CLI ended. */
export interface CommandResult {
  exitCode: number | undefined
  stdout: string
  stderr: string
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

const BUCKET = "tlskeep-testbed"

export class Testbed {
  readonly dir: string
  readonly authority: WebAuthority
  readonly #simulator: BackgroundProcess
  readonly info: SimInfo
  readonly #started: { stop(): Promise<void> }[] = []
  readonly #agents: BackgroundProcess[] = []
  #down: Promise<void> | undefined

  private constructor(
    dir: string,
    simulator: BackgroundProcess,
    info: SimInfo,
    authority: WebAuthority,
  ) {
    this.dir = dir
    this.#simulator = simulator
    this.info = info
    this.authority = authority
  }

  /**
   * Brings the local AWS up.
   *
   * @throws CodedError `not-root`: Apache gives up root's rights, files get the server's group, and
   *   the memory of processes is searched.
   */
  static async up({ record = false }: TestbedOptions = {}): Promise<Testbed> {
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
      await simulator.waitForLine((line) => line === "ready")
      const info = readSimInfo(simPaths(simDir))
      if (info === undefined) throw new CodedError("not-up", "the simulator wrote no sim.json")
      await seedS3Bucket(simDir, BUCKET)
      const authority = await WebAuthority.create()
      await writeFile(join(dir, "ca.pem"), authority.rootPem)
      return new Testbed(dir, simulator, info, authority)
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

  /** PCR0 that an image file measures to, as the simulator's nitro-cli computes it. */
  async pcr0(imagePath: string): Promise<string> {
    return Buffer.from(pcrOfImage(await readFile(imagePath))).toString("hex")
  }

  /** A KMS key that decrypts for one image only. */
  async kmsKey(imagePath: string = CHECKOUT.image): Promise<string> {
    return seedKmsKey({
      dir: this.info.dir,
      policy: releaseKeyPolicy({ pcr0: await this.pcr0(imagePath) }),
    })
  }

  issue(keyType: KeyType): Promise<WebCertificate> {
    return this.authority.issue(keyType)
  }

  /**
   * Seals by `tlskeep seal` into S3, and removes the key's file.
   *
   * @returns the object's URI
   */
  async seal(web: WebCertificate, keyArn: string, name: string): Promise<string> {
    const keyFile = join(this.dir, `${name}-key.pem`)
    const certificateFile = join(this.dir, `${name}-certificate.pem`)
    const uri = `s3://${BUCKET}/${name}.json`
    await writeFile(keyFile, web.privateKey, { mode: 0o600 })
    await writeFile(certificateFile, web.certificate + web.chain)
    try {
      const files = ["--key", keyFile, "--certificate", certificateFile]
      const { exitCode, stderr } = await this.tlskeep(
        ["seal", ...files, "--kms-key-id", keyArn, "--output", uri],
        this.adminEnv(),
      )
      if (exitCode !== 0) throw new CodedError("seal-failed", stderr)
    } finally {
      await rm(keyFile)
    }
    return uri
  }

  async apache(
    name: string,
    setup: { binding: OpensslBinding; port?: number; mpm?: Mpm; runDir?: string },
  ): Promise<Apache> {
    const { binding, port = await freePort(), mpm = "event", runDir = this.runDir } = setup
    const apache = await Apache.prepare({
      dir: join(this.dir, name),
      port,
      binding,
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

  /** Writes an agent's configuration and returns its path. */
  async agentConfig(name: string, setup: AgentSetup): Promise<string> {
    const { label, uri, imagePath = CHECKOUT.image, apache } = setup
    const config = {
      enclave: {
        image_path: imagePath,
        nitro_cli_path: join(this.info.binDir, "nitro-cli"),
        address_pattern: `unix:${this.info.vsockDir}/{cid}_{port}.sock`,
        boot_timeout_ms: 15_000,
        name,
        ...setup.enclave,
      },
      options: {
        service: "httpd",
        test_command: apache.testCommand,
        reload_command: apache.reloadCommand,
        run_dir: this.runDir,
        module_path: CHECKOUT.module,
        ...setup.options,
      },
      tokens: [
        {
          label,
          source: { S3: { uri } },
          target: { Snippet: { path: apache.snippet, group: "www-data" } },
          ...setup.token,
        },
      ],
    }
    const file = join(this.dir, `${name}.yaml`)
    await writeFile(file, stringify(config))
    return file
  }

  /** Starts `tlskeep agent` and leaves it running. */
  startAgent(config: string): BackgroundProcess {
    const agent = BackgroundProcess.start({
      name: "agent",
      command: process.execPath,
      args: [CHECKOUT.cli, "agent", "--config", config],
      env: this.hostEnv(),
      logFile: join(this.dir, "log", "agent.log"),
    })
    this.#started.push(agent)
    this.#agents.push(agent)
    return agent
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
    return { exitCode, stdout, stderr }
  }

  /** The simulated nitro-cli; resolves with its JSON. */
  async nitroCli(...args: string[]): Promise<unknown> {
    const { stdout } = await execa(join(this.info.binDir, "nitro-cli"), args)
    return JSON.parse(stdout)
  }

  /** The instance: AWS as its role, by credentials of IMDS. */
  hostEnv(): NodeJS.ProcessEnv {
    return { PATH: process.env.PATH ?? "", HOME: this.dir, ...simEnvironment(this.info) }
  }

  /** An administrator's machine. */
  adminEnv(): NodeJS.ProcessEnv {
    const { accessKeyId, secretAccessKey } = readAdmin(simPaths(this.info.dir))
    return {
      ...this.hostEnv(),
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
    }
  }

  /**
   * Stops everything in the reverse order and, unless told otherwise, removes the directory. Once:
   * further calls wait for the first.
   */
  down({ keepFiles = false } = {}): Promise<void> {
    this.#down ??= this.#stopAll(keepFiles)
    return this.#down
  }

  async #stopAll(keepFiles: boolean): Promise<void> {
    for (const started of this.#started.reverse()) await started.stop()
    await this.#simulator.stop()
    if (!keepFiles) await rm(this.dir, { recursive: true, force: true })
  }
}
