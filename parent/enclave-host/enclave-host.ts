/** The enclave's life on this host: adopt the one that runs, or start one, and be its owner. */
import { access } from "node:fs/promises"
import pRetry, { AbortError } from "p-retry"
import type { Logger } from "pino"
import { type Address, addressFromPattern } from "../../shared/address.js"
import { isCodedError } from "../../shared/errors.js"
import type { EnclaveDescription } from "../../shared/protocol/control.js"
import { CONTROL_PORT, SIGNING_PORT } from "../../shared/protocol/limits.js"
import type { TransportOptions } from "../../shared/transport/transport.js"
import type { EnclaveConfig } from "../config/config.js"
import { AgentError } from "../errors.js"
import type { RunDir } from "../run-dir.js"
import { ControlClient } from "./control-client.js"
import { type DescribedEnclave, NitroCli } from "./nitro-cli.js"

/** An enclave that answers and that this agent owns. */
export interface OwnedEnclave {
  enclaveId: string
  client: ControlClient
  description: EnclaveDescription
  signing: Address
  /** It ran already; its tokens may be there. */
  adopted: boolean
}

export interface EnclaveHostDeps {
  config: EnclaveConfig
  runDir: RunDir
  transport: TransportOptions
  log: Logger
}

const CONNECT_RETRY_MS = 50
const NOT_UP_YET: ReadonlySet<string> = new Set(["enclave-unreachable", "control-timeout"])

export class EnclaveHost {
  readonly #deps: EnclaveHostDeps
  readonly #nitroCli: NitroCli

  constructor(deps: EnclaveHostDeps) {
    this.#deps = deps
    this.#nitroCli = new NitroCli(deps.config.nitro_cli_path)
  }

  /**
   * Adopts the running enclave of the configured name, or starts it. One that runs and does not
   * answer within the boot time is hung: it is replaced.
   *
   * @throws AgentError `enclave-not-adoptable`, `pcr-mismatch`, `enclave-unreachable`, nitro-cli's
   */
  async acquire(): Promise<OwnedEnclave> {
    const running = await this.#running()
    if (running === undefined) return this.#start()
    try {
      return await this.#adopt(running)
    } catch (error) {
      if (!isCodedError(error, "enclave-unreachable")) throw error
      const enclaveId = running.EnclaveID
      this.#deps.log.error({ enclaveId }, "running enclave does not answer: replacing it")
      await this.#nitroCli.terminate(enclaveId)
      return this.#start()
    }
  }

  /** Adopts the running enclave of the configured name; undefined if none runs. */
  async adoptRunning(): Promise<OwnedEnclave | undefined> {
    const running = await this.#running()
    return running === undefined ? undefined : this.#adopt(running)
  }

  async #running(): Promise<DescribedEnclave | undefined> {
    const { name } = this.#deps.config
    const enclaves = await this.#nitroCli.describe()
    return enclaves.find((e) => e.EnclaveName === name && e.State === "RUNNING")
  }

  async #adopt(running: DescribedEnclave): Promise<OwnedEnclave> {
    const secret = await this.#deps.runDir.controlSecret()
    if (secret === undefined) {
      throw new AgentError(
        "enclave-not-adoptable",
        `enclave ${running.EnclaveID} runs, but the run directory holds no control secret for it`,
        { advice: `Terminate it: nitro-cli terminate-enclave --enclave-id ${running.EnclaveID}` },
      )
    }
    const owned = await this.#own(running.EnclaveID, running.EnclaveCID, secret, true)
    this.#deps.log.info({ enclaveId: owned.enclaveId }, "running enclave adopted")
    return owned
  }

  async #start(): Promise<OwnedEnclave> {
    const { config, runDir, log } = this.#deps
    await requireImage(config.image_path)
    const secret = await runDir.newControlSecret()
    const started = await this.#nitroCli.run({
      imagePath: config.image_path,
      cpuCount: config.cpu_count,
      memoryMib: config.memory_mib,
      name: config.name,
    })
    const { EnclaveID: enclaveId, EnclaveCID: cid } = started
    log.info({ enclaveId, cid }, "enclave started")
    try {
      return await this.#own(enclaveId, cid, secret, false)
    } catch (error) {
      // One that we cannot use must not hold its memory, nor be adopted at the next try.
      await this.#nitroCli.terminate(enclaveId).catch((failure: unknown) => {
        log.warn({ enclaveId, err: failure }, "cannot terminate the enclave")
      })
      throw error
    }
  }

  async #own(
    enclaveId: string,
    cid: number,
    secret: Buffer,
    adopted: boolean,
  ): Promise<OwnedEnclave> {
    const { config, transport } = this.#deps
    const at = (port: number): Address => addressFromPattern(config.address_pattern, { cid, port })
    const client = await this.#connect(at(CONTROL_PORT), secret, transport)
    try {
      const description = await client.describe()
      this.#checkMeasurement(description)
      return { enclaveId, client, description, signing: at(SIGNING_PORT), adopted }
    } catch (error) {
      client.close()
      throw error
    }
  }

  /** Keeps trying until the boot time-out: a fresh enclave listens when it is ready. */
  async #connect(
    address: Address,
    secret: Buffer,
    transport: TransportOptions,
  ): Promise<ControlClient> {
    const { boot_timeout_ms } = this.#deps.config
    try {
      return await pRetry(
        async () => {
          try {
            return await ControlClient.connect(address, secret, transport)
          } catch (error) {
            throw mayPass(error) ? error : new AbortError(error as Error)
          }
        },
        {
          retries: Math.ceil(boot_timeout_ms / CONNECT_RETRY_MS),
          minTimeout: CONNECT_RETRY_MS,
          factor: 1,
          maxRetryTime: boot_timeout_ms,
        },
      )
    } catch (cause) {
      if (!mayPass(cause)) throw cause
      throw new AgentError(
        "enclave-unreachable",
        `the enclave did not answer on its control port in ${boot_timeout_ms} ms`,
        { advice: "Raise enclave.boot_timeout_ms, or look at nitro-cli console.", cause },
      )
    }
  }

  #checkMeasurement({ pcrs }: EnclaveDescription): void {
    const expected = this.#deps.config.expected_pcr0?.toLowerCase()
    const measured = pcrs["0"]
    if (expected === undefined || expected === measured) return
    throw new AgentError(
      "pcr-mismatch",
      `the enclave's image measures PCR0 ${measured}, expected_pcr0 is ${expected}`,
      { advice: "Run the image that was approved, or approve this one in enclave.expected_pcr0." },
    )
  }
}

/** Whether an attempt to connect may do better later; a refusal by the enclave won't. */
function mayPass(error: unknown): boolean {
  return !(error instanceof AgentError) || NOT_UP_YET.has(error.code)
}

async function requireImage(path: string): Promise<void> {
  try {
    await access(path)
  } catch (cause) {
    throw new AgentError("enclave-image-missing", `there is no enclave image ${path}`, {
      advice: "Build it, and check enclave.image_path.",
      cause,
    })
  }
}
