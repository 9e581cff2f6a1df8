/**
 * The measurements of an image, which KMS will see as PCRs.
 *
 * @see aws-nitro-enclaves-image-format, README.md (PCR computation)
 */
import { createHash, type Hash } from "node:crypto"
import type { SectionKind } from "./format.js"

/** As nitro-cli writes them: PCRs in lower-case hex. PCR8 is there if the image is signed. */
export interface Measurements {
  HashAlgorithm: "Sha384 { ... }"
  PCR0: string
  PCR1: string
  PCR2: string
  PCR8?: string
}

const PCR_BYTES = 48

/** The value of a PCR that was zero and extended once, by the digest of what is measured. */
function extendedOnce(digest: Uint8Array): string {
  return createHash("sha384").update(new Uint8Array(PCR_BYTES)).update(digest).digest("hex")
}

/** @param der - the certificate that signed the image. */
export function pcr8(der: Uint8Array): string {
  return extendedOnce(createHash("sha384").update(der).digest())
}

/** Takes the contents of an image's sections in their order. */
export class Measurer {
  readonly #image = createHash("sha384")
  /** Kernel, command line and first ramdisk. */
  readonly #bootstrap = createHash("sha384")
  /** The other ramdisks. */
  readonly #application = createHash("sha384")
  #ramdisks = 0
  #current: readonly Hash[] = []

  /** Begins the next section; only the kernel, the command line and ramdisks are measured. */
  begin(kind: SectionKind): void {
    const isFirstPart = kind !== "ramdisk" || this.#ramdisks === 0
    if (kind === "ramdisk") this.#ramdisks += 1
    const isMeasured = kind === "kernel" || kind === "cmdline" || kind === "ramdisk"
    this.#current = isMeasured
      ? [this.#image, isFirstPart ? this.#bootstrap : this.#application]
      : []
  }

  update(content: Uint8Array): void {
    for (const hash of this.#current) hash.update(content)
  }

  /** Ends the measuring. */
  finish(): Measurements {
    return {
      HashAlgorithm: "Sha384 { ... }",
      PCR0: extendedOnce(this.#image.digest()),
      PCR1: extendedOnce(this.#bootstrap.digest()),
      PCR2: extendedOnce(this.#application.digest()),
    }
  }
}
