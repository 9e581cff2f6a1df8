/**
 * Brings private keys into the enclave and renews their leases: KMS decrypts for this enclave only,
 * and nothing enters the store before it is known to be what was asked for.
 */
import { X509Certificate } from "node:crypto"
import { AddonError, SigningKey } from "../../native/addon/index.js"
import { isCodedError } from "../../shared/errors.js"
import {
  type ControlCredentials,
  ControlError,
  KMS_KEY_ARN,
  type ProvisionRequest,
} from "../../shared/protocol/control.js"
import { DENIAL_CONTROL_CODES } from "../../shared/protocol/control-codes.js"
import { MAX_CHAIN_BYTES } from "../../shared/protocol/limits.js"
import { fingerprintOf, publicKeyOf, SPKI_CONTEXT_KEY } from "../../shared/public-key.js"
import type { RecipientDecrypt } from "../kms/recipient-decrypt.js"
import type { KeySource, Token } from "./token.js"
import type { TokenStore } from "./token-store.js"

export class Provisioner {
  readonly #store: TokenStore
  readonly #decrypt: RecipientDecrypt
  /** Labels that are being worked on: one at a time each. */
  readonly #busy = new Set<string>()

  constructor(store: TokenStore, decrypt: RecipientDecrypt) {
    this.#store = store
    this.#decrypt = decrypt
  }

  /**
   * Decrypts the private key and makes it the current one of its token.
   *
   * @throws ControlError: see {@link CONTROL_CODES}. The store is unchanged then.
   */
  provision(request: ProvisionRequest): Promise<Token> {
    return this.#exclusively(request.label, async () => {
      const publicKey = checkCertificates(request.certificates)
      const source = checkSource(request, publicKey)
      const { key, keyId } = await this.#obtain(source, request.credentials, publicKey)
      const { label, pin } = request
      const certificates = request.certificates.map((der) => Buffer.from(der))
      const content = { label, pin, certificates, key, source, keyId }
      return this.#store.put(content, { stage: request.stage })
    })
  }

  /**
   * Attests again and, if KMS still decrypts for this enclave, renews the token's lease.
   *
   * @throws ControlError `unknown-token`; what KMS answered. A denial releases the token; any other
   *   failure leaves it as it is until its lease ends.
   */
  refresh(label: string, credentials: ControlCredentials): Promise<Token> {
    return this.#exclusively(label, async () => {
      const token = this.#store.get(label)
      if (token === undefined) throw unknownToken()
      const publicKey = Buffer.from(token.current.key.publicKey)
      try {
        const { key } = await this.#obtain(token.current.source, credentials, publicKey)
        key.destroy()
      } catch (error) {
        if (isCodedError(error) && DENIAL_CONTROL_CODES.has((error as ControlError).code)) {
          this.#store.remove(token)
        }
        throw error
      }
      // It may have been removed, or have expired, while KMS was asked.
      if (this.#store.get(label) !== token) throw unknownToken()
      this.#store.extend(token)
      return token
    })
  }

  async #obtain(
    source: KeySource,
    credentials: ControlCredentials,
    publicKey: Buffer,
  ): Promise<{ key: SigningKey; keyId: string }> {
    const { plaintext, keyId } = await this.#decrypt({ ...source, credentials })
    try {
      const key = parsePrivateKey(plaintext)
      if (!publicKey.equals(key.publicKey)) {
        key.destroy()
        throw new ControlError(
          "certificate-key-mismatch",
          "the private key does not belong to the certificate",
        )
      }
      return { key, keyId }
    } finally {
      plaintext.fill(0)
    }
  }

  async #exclusively<Result>(label: string, work: () => Promise<Result>): Promise<Result> {
    if (this.#busy.has(label)) throw new ControlError("busy", "the token is being worked on")
    this.#busy.add(label)
    try {
      return await work()
    } finally {
      this.#busy.delete(label)
    }
  }
}

function unknownToken(): ControlError {
  return new ControlError("unknown-token", "no such token")
}

/** Returns the leaf's DER SubjectPublicKeyInfo. */
function checkCertificates(certificates: readonly Uint8Array[]): Buffer {
  const total = certificates.reduce((sum, der) => sum + der.length, 0)
  if (total > MAX_CHAIN_BYTES) {
    throw new ControlError("malformed-certificate", `a chain of more than ${MAX_CHAIN_BYTES} bytes`)
  }
  try {
    const [leaf] = certificates.map((der) => new X509Certificate(der))
    if (leaf !== undefined) return publicKeyOf(leaf)
  } catch (cause) {
    throw new ControlError("malformed-certificate", "a certificate cannot be read", { cause })
  }
  throw new ControlError("malformed-certificate", "no certificate")
}

function checkSource(request: ProvisionRequest, publicKey: Buffer): KeySource {
  const { encryptedPrivateKey, keyId, region, encryptionContext } = request
  if (keyId !== null && KMS_KEY_ARN.exec(keyId)?.[2] !== region) {
    throw new ControlError("malformed-key-id", "the KMS key is in another region")
  }
  const bound = encryptionContext?.[SPKI_CONTEXT_KEY]
  if (bound !== undefined && bound !== fingerprintOf(publicKey).toString("hex")) {
    throw new ControlError(
      "encryption-context-mismatch",
      "the encryption context names another public key than the certificate's",
    )
  }
  return { ciphertext: Buffer.from(encryptedPrivateKey), keyId, region, encryptionContext }
}

function parsePrivateKey(pem: Buffer): SigningKey {
  try {
    return SigningKey.fromPem(pem)
  } catch (cause) {
    const unsupported = cause instanceof AddonError && cause.code === "unsupported-key-type"
    const code = unsupported ? "unsupported-key-type" : "malformed-private-key"
    throw new ControlError(code, "the decrypted object is no usable private key", { cause })
  }
}
