/** The administrator's part of a testbed: KMS keys, certificates, and private keys sealed into S3. */
import { readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { CodedError } from "../../shared/errors.js"
import type { SimInfo } from "../info.js"
import { pcrOfImage } from "../nsm/measurements.js"
import { releaseKeyPolicy, seedKmsKey } from "../seed.js"
import { CHECKOUT } from "./checkout.js"
import { storeKeyObject } from "./key-objects.js"
import { denyingKeyPolicy, putKeyPolicy } from "./key-policy.js"
import type { CertifiedKeyType, WebAuthority, WebCertificate } from "./web-certificates.js"

/** How a command of the CLI ended. */
export interface CommandResult {
  exitCode: number | undefined
  stdout: string
  stderr: string
}

/** Where key objects go. */
export const BUCKET = "tlskeep-testbed"

export abstract class SealedKeys {
  abstract readonly dir: string
  abstract readonly info: SimInfo
  abstract readonly authority: WebAuthority
  /** Made here, so that they can be searched for. */
  protected readonly privateKeys: string[] = []

  abstract tlskeep(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<CommandResult>
  abstract adminEnv(): NodeJS.ProcessEnv

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

  /** From now on KMS refuses to decrypt with this key, or {@link kmsKey}'s policy holds again. */
  async denyDecrypt(keyArn: string, denied = true, imagePath = CHECKOUT.image): Promise<void> {
    const pcr0 = await this.pcr0(imagePath)
    const policy = denied ? denyingKeyPolicy(pcr0) : releaseKeyPolicy({ pcr0 })
    await putKeyPolicy(this.info.dir, keyArn, policy)
  }

  /** A certificate for `name` and localhost, under a fresh key that no log may hold. */
  async issue(keyType: CertifiedKeyType, name?: string): Promise<WebCertificate> {
    const web = await this.authority.issue(keyType, name)
    this.privateKeys.push(web.privateKey)
    return web
  }

  /** Seals into S3 by the services' APIs, which is faster; returns the object's URI. */
  async store(web: WebCertificate, keyArn: string, name: string): Promise<string> {
    const key = `${name}.json`
    await storeKeyObject({ dir: this.info.dir, bucket: BUCKET, key, web, keyArn })
    return `s3://${BUCKET}/${key}`
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
}
