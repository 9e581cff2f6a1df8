/** The agent: one enclave, kept running, and a keeper for each configured token. */
import { setMaxListeners } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import pLimit from "p-limit"
import type { Logger } from "pino"
import { vsockTransport } from "../../native/addon/vsock-transport.js"
import { awsClients } from "../aws.js"
import type { Config, TokenConfig } from "../config/config.js"
import { EnclaveHost, type OwnedEnclave } from "../enclave-host/enclave-host.js"
import { AgentError, errorFields } from "../errors.js"
import { RunDir } from "../run-dir.js"
import { selfTest } from "../self-test/self-test.js"
import { S3Source } from "../source/s3-source.js"
import { ownerOf } from "../target/files.js"
import { writeHttpdSnippet } from "../target/httpd-snippet.js"
import { reloadServer } from "../target/reload.js"
import { TokenKeeper } from "./token-keeper.js"

const FIRST_RETRY_MS = 250
const MAX_RETRY_MS = 30_000
/** An enclave that lived so long is not one that is lost at every start. */
const STABLE_MS = 60_000
/** Tokens brought in at the same time: the enclave makes an RSA key for each. */
const PARALLEL_TOKENS = 8
const RELOAD_COMMAND = ["apachectl", "-k", "graceful"]

export class Agent {
  readonly #host: EnclaveHost
  readonly #keepers: readonly TokenKeeper[]
  readonly #runDir: RunDir
  readonly #log: Logger

  private constructor(config: Config, runDir: RunDir, log: Logger) {
    this.#runDir = runDir
    this.#log = log
    this.#host = new EnclaveHost({
      config: config.enclave,
      runDir,
      transport: { vsock: vsockTransport },
      log,
    })
    this.#keepers = makeKeepers(config, runDir, log)
  }

  /** @throws AgentError `run-dir-unusable`, `region-unknown` */
  static async create(config: Config, log: Logger): Promise<Agent> {
    return new Agent(config, await RunDir.open(config.options.run_dir), log)
  }

  /**
   * Brings every token in order once.
   *
   * @throws AgentError of the enclave; tokens that failed are logged and counted.
   * @returns how many tokens are not in order
   */
  async once(): Promise<number> {
    const enclave = await this.#acquire()
    const limit = pLimit(PARALLEL_TOKENS)
    try {
      const outcomes = await Promise.all(
        this.#keepers.map((keeper) => limit(() => this.#syncOnce(keeper, enclave))),
      )
      return outcomes.filter((inOrder) => !inOrder).length
    } finally {
      enclave.client.close()
    }
  }

  /**
   * Keeps enclave and tokens in order until `signal` aborts. The enclave is left running: the web
   * server goes on with it, and the next agent adopts it.
   */
  async run(signal: AbortSignal): Promise<void> {
    let retryMs = FIRST_RETRY_MS
    while (!signal.aborted) {
      const startedAt = Date.now()
      try {
        const enclave = await this.#acquire()
        await this.#keepAll(enclave, signal)
        if (signal.aborted) return
        this.#log.error({ enclaveId: enclave.enclaveId }, "enclave lost")
      } catch (error) {
        this.#log.error({ ...errorFields(error), retryInMs: retryMs }, "no enclave")
      }
      // The first loss is made good at once; one that keeps getting lost must not spin.
      if (Date.now() - startedAt >= STABLE_MS) {
        retryMs = FIRST_RETRY_MS
        continue
      }
      await sleep(retryMs, undefined, { signal }).catch(() => {})
      retryMs = Math.min(retryMs * 2, MAX_RETRY_MS)
    }
  }

  async #acquire(): Promise<OwnedEnclave> {
    const enclave = await this.#host.acquire()
    await this.#runDir.writeEndpoint(enclave.signing)
    const { moduleId, pcrs, debug, policy } = enclave.description
    this.#log.info({ moduleId, pcr0: pcrs["0"], debug, policy }, "enclave ready")
    return enclave
  }

  /** Runs the keepers until the control connection breaks or `signal` aborts. */
  async #keepAll(enclave: OwnedEnclave, signal: AbortSignal): Promise<void> {
    const lost = new AbortController()
    void enclave.client.closed.then(() => lost.abort())
    const ended = AbortSignal.any([signal, lost.signal])
    // Every keeper that waits listens to it, a warning of Node's above ten.
    setMaxListeners(0, ended)
    const keeping = this.#keepers.map((keeper) => keeper.keep(enclave, ended))
    signal.addEventListener("abort", () => enclave.client.close(), { once: true })
    await Promise.all(keeping)
    enclave.client.close()
  }

  async #syncOnce(keeper: TokenKeeper, enclave: OwnedEnclave): Promise<boolean> {
    try {
      await keeper.sync(enclave)
      return true
    } catch (error) {
      this.#log.error({ tokenLabel: keeper.label, ...errorFields(error) }, "token not in order")
      return false
    }
  }
}

function makeKeepers(config: Config, runDir: RunDir, log: Logger): TokenKeeper[] {
  const aws = awsClients(config.aws.region)
  // One reload at a time: each makes the server read all files.
  const reloads = pLimit(1)
  return config.tokens.map((token) => {
    const tokenLog = log.child({ tokenLabel: token.label })
    return new TokenKeeper({
      config: token,
      source: new S3Source(aws.s3, s3UriOf(token)),
      region: aws.region,
      syncIntervalMs: config.options.sync_interval_secs * 1_000,
      credentials: aws.credentials,
      pin: () => pinFor(token, runDir),
      selfTest: (object, pin) =>
        selfTest({
          modulePath: config.options.module_path,
          endpointFile: runDir.endpointFile,
          label: token.label,
          pin,
          certificate: String(object.certificates[0]),
        }),
      publish: async (object) => {
        const { path, user, group } = token.target
        const certificateFile = runDir.certificateFile(config.options.service, token.label)
        const pinFile = runDir.pinFile(token.label)
        const target = { label: token.label, path, user, group, certificateFile, pinFile }
        await writeHttpdSnippet(target, object)
        tokenLog.info({ path, certificateFile }, "certificate and snippet written")
        await reloads(() => reloadServer(config.options.reload_command ?? RELOAD_COMMAND))
        const [leaf] = object.certificates
        tokenLog.info({ subject: leaf?.subject, expiresAt: leaf?.validTo }, "web server reloaded")
      },
      log: tokenLog,
    })
  })
}

function s3UriOf({ label, source, target }: TokenConfig): string {
  if (source.kind === "S3" && target.kind === "Snippet") return source.uri
  throw new AgentError("config-invalid", `token ${JSON.stringify(label)} is not served yet`, {
    advice: "Give it a source S3 and a target Snippet.",
  })
}

async function pinFor(token: TokenConfig, runDir: RunDir): Promise<string> {
  const { user, group } = token.target
  const { gid } = await ownerOf(user, group)
  return runDir.pin(token.label, token.pin, gid)
}
