/** The contenders of raw signatures. */
import { writeFile } from "node:fs/promises"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import type { BenchHost, BenchKey } from "../host/bench-host.js"
import type { Enclave } from "../host/enclave.js"
import { P11_KIT_CLIENT, type P11KitServer, SOFTHSM_MODULE } from "../host/softhsm.js"
import { opensslSpeed } from "../measure/openssl-speed.js"
import { runSignLoad, type SignWith, sampleOf } from "../measure/sign-load.js"
import type { ContenderName, SigningKeyType } from "../report/schema.js"
import type { SigningContender, SigningLoad, SigningSample } from "./contender.js"
import { startRemote } from "./https-servers.js"

/** Signs by the load tool, with one key of each type. */
export abstract class Signer implements SigningContender {
  abstract readonly name: ContenderName
  protected readonly host: BenchHost
  readonly #keyTypes: readonly SigningKeyType[]

  constructor(host: BenchHost, keyTypes: readonly SigningKeyType[]) {
    this.host = host
    this.#keyTypes = keyTypes
  }

  /** Brings the keys to where they are signed with. */
  abstract prepare(): Promise<void>
  abstract signWith(key: BenchKey): Promise<SignWith>

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  async pids(): Promise<number[]> {
    return []
  }

  async sign({ keyType, threads, seconds, warmupSeconds }: SigningLoad): Promise<SigningSample> {
    const key = await this.host.signingKey(keyType)
    return sampleOf(
      await runSignLoad({
        ...{ with: await this.signWith(key), keyType, publicKeyFile: key.publicKeyFile },
        ...{ threads, seconds, warmupSeconds, cpuOf: await this.pids() },
      }),
    )
  }

  protected keys(): Promise<BenchKey[]> {
    return Promise.all(this.#keyTypes.map((keyType) => this.host.signingKey(keyType)))
  }
}

/** libcrypto in the load tool's own process. */
export class KeyFileSigner extends Signer {
  readonly name = "key-file"

  async prepare(): Promise<void> {
    await this.keys()
  }

  async signWith({ keyFile }: BenchKey): Promise<SignWith> {
    return { keyFile }
  }
}

/** The module and an enclave. */
export class TlskeepSigner extends Signer {
  readonly name = "tlskeep"
  #enclave: Enclave | undefined

  async prepare(): Promise<void> {
    await this.keys()
  }

  override async start(): Promise<void> {
    if (this.#enclave !== undefined) return
    this.#enclave = await this.host.enclave("signatures")
    await this.#enclave.provision(await this.keys())
  }

  override async stop(): Promise<void> {
    this.#enclave = undefined
    await this.host.stopEnclave("signatures")
  }

  override async pids(): Promise<number[]> {
    return this.#enclave === undefined ? [] : [this.#enclave.vmmPid]
  }

  async signWith({ label }: BenchKey): Promise<SignWith> {
    const enclave = this.#enclave ?? (await this.host.enclave("signatures"))
    return tlskeepToken(this.host, enclave, label)
  }
}

/** SoftHSM behind p11-kit's remoting. */
export class SofthsmRemoteSigner extends Signer {
  readonly name = "softhsm-p11-kit"
  #remote: P11KitServer | undefined

  prepare(): Promise<void> {
    return importAll(this.host, this.keys())
  }

  override async start(): Promise<void> {
    this.#remote ??= await startRemote(this.host, join(this.host.dir, "p11-kit-sign.sock"))
  }

  override async stop(): Promise<void> {
    await this.#remote?.stop()
    this.#remote = undefined
  }

  override async pids(): Promise<number[]> {
    return this.#remote === undefined ? [] : [this.#remote.pid]
  }

  async signWith({ label }: BenchKey): Promise<SignWith> {
    const { label: token, pinFile } = await this.host.softhsm()
    const env = this.#remote?.env ?? {}
    return { module: P11_KIT_CLIENT, token, label, pinFile, env }
  }
}

/** SoftHSM in the load tool's own process. */
export class SofthsmSigner extends Signer {
  readonly name = "softhsm"

  prepare(): Promise<void> {
    return importAll(this.host, this.keys())
  }

  async signWith({ label }: BenchKey): Promise<SignWith> {
    const { label: token, pinFile, env } = await this.host.softhsm()
    return { module: SOFTHSM_MODULE, token, label, pinFile, env }
  }
}

/** The machine's limit: `openssl speed` on one core for one thread, on all of them for more. */
export class OpensslSpeed implements SigningContender {
  readonly name = "openssl-speed"

  async prepare(): Promise<void> {}
  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  async pids(): Promise<number[]> {
    return []
  }

  async sign({ keyType, threads }: SigningLoad): Promise<SigningSample> {
    const processes = Math.min(threads, availableParallelism())
    const perSecond = await opensslSpeed(keyType, processes)
    const none = { p95Us: null, p99Us: null, cpuUsPerOp: null }
    // It tells a mean only, and with one process that is the time that a signature takes.
    return { perSecond, p50Us: processes === 1 ? 1e6 / perSecond : null, ...none }
  }
}

/** Tokens of an enclave by the module as it was built. */
export async function tlskeepToken(
  host: BenchHost,
  enclave: Enclave,
  token: string,
): Promise<SignWith> {
  const pinFile = join(host.dir, "enclave-pin")
  await host.once("enclave-pin", () => writeFile(pinFile, enclave.pin, { mode: 0o600 }))
  const env = { TLSKEEP_ENDPOINT: enclave.endpoint, TLSKEEP_LOG: join(host.dir, "log", "load.log") }
  return { module: CHECKOUT.module, token, pinFile, env }
}

async function importAll(host: BenchHost, keys: Promise<BenchKey[]>): Promise<void> {
  const token = await host.softhsm()
  for (const { label, keyFile } of await keys) {
    await host.once(`import-${label}`, () => token.importKey(label, keyFile))
  }
}
