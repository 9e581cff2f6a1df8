/** The enclave's life on this host: adopt the one that runs, or start one, and be its owner. */
import { access } from "node:fs/promises"
import pRetry, { AbortError } from "p-retry"
import type { Logger } from "pino"
import { type Address, addressFromPattern, formatAddress } from "../../shared/address.js"
import { isCodedError } from "../../shared/errors.js"
import type { EnclaveDescription } from "../../shared/protocol/control.js"
import { CONTROL_PORT, SIGNING_PORT } from "../../shared/protocol/limits.js"
import type { TransportOptions } from "../../shared/transport/transport.js"
import type { EnclaveConfig } from "../config/config.js"
import { AgentError } from "../errors.js"
import type { EnclaveSlot, RunDir } from "../run-dir.js"
import { ControlClient } from "./control-client.js"
import { type DescribedEnclave, NitroCli } from "./nitro-cli.js"

/** An enclave that answers and that this agent owns. */
export interface OwnedEnclave {
  enclaveId: string
  cid: number
  slot: EnclaveSlot
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

/** A running enclave of ours. */
interface SlottedEnclave {
  slot: EnclaveSlot
  enclave: DescribedEnclave
}
const SLOTS: readonly EnclaveSlot[] = ["first", "second"]

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
   * answer within the boot time is hung: it is replaced. Of two, the one that servers are sent to is
   * adopted; the other is left of a replacement that was cut short, and ends.
   *
   * @throws AgentError `enclave-not-adoptable`, `pcr-mismatch`, `enclave-unreachable`, nitro-cli's
   */
  async acquire(): Promise<OwnedEnclave> {
    const [serving, ...left] = await this.#running()
    for (const { enclave } of left) {
      const { EnclaveID: enclaveId } = enclave
      this.#deps.log.warn({ enclaveId }, "second enclave runs: a replacement was cut short")
      await this.#nitroCli.terminate(enclaveId)
    }
    if (serving === undefined) return this.#start("first")
    try {
      return await this.#adopt(serving)
    } catch (error) {
      if (!isCodedError(error, "enclave-unreachable")) throw error
      const enclaveId = serving.enclave.EnclaveID
      this.#deps.log.error({ enclaveId }, "running enclave does not answer: replacing it")
      await this.#nitroCli.terminate(enclaveId)
      return this.#start(serving.slot)
    }
  }

  /** Adopts the running enclave of the configured name; undefined if none runs. */
  async adoptRunning(): Promise<OwnedEnclave | undefined> {
    const [serving] = await this.#running()
    return serving === undefined ? undefined : this.#adopt(serving)
  }

  /**
   * Starts another enclave beside one that serves; servers are not sent to it yet.
   *
   * @throws AgentError of nitro-cli, memory for both foremost; `enclave-image-missing`,
   *   `enclave-unreachable`, `pcr-mismatch`. None has been left running then.
   */
  startBeside({ slot }: OwnedEnclave, imagePath?: string): Promise<OwnedEnclave> {
    return this.#start(slot === "first" ? "second" : "first", imagePath)
  }

  /** @throws AgentError of nitro-cli */
  async terminate({ enclaveId }: OwnedEnclave): Promise<void> {
    await this.#nitroCli.terminate(enclaveId)
    this.#deps.log.info({ enclaveId }, "enclave terminated")
  }

  /** Enclaves of ours that run, the one that the endpoint file names first. */
  async #running(): Promise<SlottedEnclave[]> {
    const enclaves = await this.#nitroCli.describe()
    const ours = SLOTS.flatMap((slot) =>
      enclaves
        .filter((e) => e.EnclaveName === this.#nameOf(slot) && e.State === "RUNNING")
        .map((enclave) => ({ slot, enclave })),
    )
    const named = ours.length < 2 ? undefined : await this.#deps.runDir.endpoint()
    const isNamed = ({ enclave }: SlottedEnclave): boolean =>
      formatAddress(this.#addressOf(enclave.EnclaveCID, SIGNING_PORT)) === named
    return [...ours.filter(isNamed), ...ours.filter((one) => !isNamed(one))]
  }

  async #adopt({
    slot,
    enclave: { EnclaveID, EnclaveCID },
  }: SlottedEnclave): Promise<OwnedEnclave> {
    const secret = await this.#deps.runDir.controlSecret(slot)
    if (secret === undefined) {
      throw new AgentError(
        "enclave-not-adoptable",
        `enclave ${EnclaveID} runs, but the run directory holds no control secret for it`,
        { advice: `Terminate it: nitro-cli terminate-enclave --enclave-id ${EnclaveID}` },
      )
    }
    const started = { enclaveId: EnclaveID, cid: EnclaveCID, slot, adopted: true }
    const owned = await this.#own(started, secret)
    this.#deps.log.info({ enclaveId: owned.enclaveId }, "running enclave adopted")
    return owned
  }

  async #start(slot: EnclaveSlot, imagePath?: string): Promise<OwnedEnclave> {
    const { config, runDir, log } = this.#deps
    const image = imagePath ?? config.image_path
    await requireImage(image)
    const secret = await runDir.newControlSecret(slot)
    const { EnclaveID: enclaveId, EnclaveCID: cid } = await this.#nitroCli.run({
      imagePath: image,
      cpuCount: config.cpu_count,
      memoryMib: config.memory_mib,
      name: this.#nameOf(slot),
    })
    log.info({ enclaveId, cid }, "enclave started")
    try {
      return await this.#own({ enclaveId, cid, slot, adopted: false }, secret)
    } catch (error) {
      // One that we cannot use must not hold its memory, nor be adopted at the next try.
      await this.#nitroCli.terminate(enclaveId).catch((failure: unknown) => {
        log.warn({ enclaveId, err: failure }, "cannot terminate the enclave")
      })
      throw error
    }
  }

  async #own(
    started: Pick<OwnedEnclave, "enclaveId" | "cid" | "slot" | "adopted">,
    secret: Buffer,
  ): Promise<OwnedEnclave> {
    const control = this.#addressOf(started.cid, CONTROL_PORT)
    const client = await this.#connect(control, secret, this.#deps.transport)
    try {
      const description = await client.describe()
      this.#checkMeasurement(description)
      return {
        ...started,
        client,
        description,
        signing: this.#addressOf(started.cid, SIGNING_PORT),
      }
    } catch (error) {
      client.close()
      throw error
    }
  }

  #addressOf(cid: number, port: number): Address {
    return addressFromPattern(this.#deps.config.address_pattern, { cid, port })
  }

  #nameOf(slot: EnclaveSlot): string {
    const { name } = this.#deps.config
    return slot === "first" ? name : `${name}-2`
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
