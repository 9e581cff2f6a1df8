/** An enclave of the simulator with tokens brought in straight over its control socket, without an agent. */
import { randomBytes, X509Certificate } from "node:crypto"
import { EncryptCommand, type KMSClient } from "@aws-sdk/client-kms"
import pLimit from "p-limit"
import { z } from "zod"
import { ControlClient } from "../../parent/enclave-host/control-client.js"
import { formatAddress } from "../../shared/address.js"
import { CodedError } from "../../shared/errors.js"
import { CONTROL_PORT, SIGNING_PORT } from "../../shared/protocol/limits.js"
import { encryptionContextFor } from "../../shared/public-key.js"
import { currentRoleSession, SESSION_TTL_SECS } from "../../sim/iam/principals.js"
import { REGION, simPaths, vsockPath } from "../../sim/paths.js"
import { simKmsClient } from "../../sim/seed.js"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import { childPids } from "../../sim/testbed/child-pids.js"
import type { Testbed } from "../../sim/testbed/testbed.js"
import type { WebCertificate } from "../../sim/testbed/web-certificates.js"

const CONNECT_TIMEOUT_MS = 15_000
/** Requests to the simulated KMS at the same time. */
const PARALLEL = 8

const startedSchema = z.looseObject({ EnclaveCID: z.int(), ProcessID: z.int() })

export class Enclave {
  /** PIN of every token. */
  readonly pin = "bench-pin-1234"
  /** Of the process that stands for the hypervisor's on the host; the enclave's own is its child. */
  readonly vmmPid: number
  readonly #testbed: Testbed
  readonly #name: string
  readonly #cid: number
  readonly #keyArn: string
  readonly #client: ControlClient

  private constructor(parts: {
    testbed: Testbed
    name: string
    cid: number
    vmmPid: number
    keyArn: string
    client: ControlClient
  }) {
    this.#testbed = parts.testbed
    this.#name = parts.name
    this.#cid = parts.cid
    this.vmmPid = parts.vmmPid
    this.#keyArn = parts.keyArn
    this.#client = parts.client
  }

  /** Starts one, empty. */
  static async start(testbed: Testbed, name: string): Promise<Enclave> {
    const started = await testbed.nitroCli(
      ...["run-enclave", "--eif-path", CHECKOUT.image, "--enclave-name", name],
      ...["--cpu-count", "1", "--memory", "512"],
    )
    const { EnclaveCID: cid, ProcessID: vmmPid } = startedSchema.parse(started)
    const path = vsockPath(testbed.info.vsockDir, cid, CONTROL_PORT)
    const client = await connectControl(path)
    return new Enclave({ testbed, name, cid, vmmPid, keyArn: await testbed.kmsKey(), client })
  }

  /** Address of the signing service, as `TLSKEEP_ENDPOINT` takes it. */
  get endpoint(): string {
    return formatAddress({ kind: "unix", path: this.signingSocket })
  }

  get signingSocket(): string {
    return vsockPath(this.#testbed.info.vsockDir, this.#cid, SIGNING_PORT)
  }

  /** The enclave's own process. */
  get pid(): number {
    return childPids(this.vmmPid)[0] ?? this.vmmPid
  }

  /** Brings tokens in through the simulated KMS, as an agent would. */
  async provision(tokens: readonly { label: string; web: WebCertificate }[]): Promise<void> {
    const limit = pLimit(PARALLEL)
    const kms = simKmsClient(this.#testbed.info.dir)
    try {
      const one = (token: { label: string; web: WebCertificate }) =>
        limit(() => this.#provisionOne(token, kms))
      await Promise.all(tokens.map(one))
    } finally {
      kms.destroy()
    }
  }

  async stop(): Promise<void> {
    this.#client.close()
    await this.#testbed.nitroCli("terminate-enclave", "--enclave-name", this.#name)
  }

  async #provisionOne(
    { label, web }: { label: string; web: WebCertificate },
    kms: KMSClient,
  ): Promise<void> {
    const { dir } = this.#testbed.info
    const leaf = new X509Certificate(web.certificate)
    const encryptionContext = encryptionContextFor(leaf)
    // One client for all of them: a thousand TLS handshakes with KMS would take longer than the rest.
    const { CiphertextBlob: encryptedPrivateKey } = await kms.send(
      new EncryptCommand({
        KeyId: this.#keyArn,
        Plaintext: Buffer.from(web.privateKey),
        EncryptionContext: encryptionContext,
      }),
    )
    if (encryptedPrivateKey === undefined) throw new CodedError("no-answer", "KMS gave no blob")
    const { accessKeyId, secretAccessKey, sessionToken } = currentRoleSession(
      simPaths(dir),
      SESSION_TTL_SECS,
    )
    await this.#client.provision({
      ...{ label, pin: this.pin, encryptedPrivateKey, encryptionContext },
      certificates: [leaf.raw, new X509Certificate(web.chain).raw],
      keyId: this.#keyArn,
      region: REGION,
      credentials: { accessKeyId, secretAccessKey, sessionToken: sessionToken ?? null },
      stage: false,
    })
  }
}

/** Becomes the enclave's owner, as soon as it listens. */
async function connectControl(path: string): Promise<ControlClient> {
  const secret = randomBytes(32)
  for (const deadline = Date.now() + CONNECT_TIMEOUT_MS; ; ) {
    try {
      return await ControlClient.connect({ kind: "unix", path }, secret, {})
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
