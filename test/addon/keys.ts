/** SigningKey's callbacks as promises, and errors by their codes. */
import type {
  DecryptionMechanism,
  OaepParameters,
  PssParameters,
  SigningKey,
  SigningMechanism,
} from "../../native/addon/index.js"

export function sign(
  key: SigningKey,
  mechanism: SigningMechanism,
  data: Uint8Array,
  pss: PssParameters | null = null,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    key.sign(mechanism, data, pss, (error, signature) =>
      error ? reject(error) : resolve(Buffer.from(signature)),
    )
  })
}

export function decrypt(
  key: SigningKey,
  mechanism: DecryptionMechanism,
  data: Uint8Array,
  oaep: OaepParameters | null = null,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    key.decrypt(mechanism, data, oaep, (error, plaintext) =>
      error ? reject(error) : resolve(Buffer.from(plaintext)),
    )
  })
}
