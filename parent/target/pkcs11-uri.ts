/** PKCS #11 URIs (RFC 7512) for the keys of a token. */

/** How the consumer of a URI comes by the PIN. */
export type PinReference = { file: string } | { value: string }

export interface KeyUri {
  /** Token label. */
  token: string
  /**
   * CKA_ID, the SHA-256 of the key's SubjectPublicKeyInfo: names one key for good, whatever is renewed.
   * Without it the URI names the token's current key, by the token's label.
   */
  keyId?: Uint8Array
  /** A file that holds the PIN, or the PIN itself; such a URI is a secret. */
  pin?: PinReference
}

/** `pkcs11:token=…;id=…;type=private?pin-source=file:…`, or `object=…` and `?pin-value=…` */
export function privateKeyUri({ token, keyId, pin }: KeyUri): string {
  const key = keyId === undefined ? `object=${encode(token)}` : `id=${encodeBytes(keyId)}`
  const path = `pkcs11:token=${encode(token)};${key};type=private`
  if (pin === undefined) return path
  const query =
    "file" in pin ? `pin-source=file:${encodePath(pin.file)}` : `pin-value=${encode(pin.value)}`
  return `${path}?${query}`
}

/** `pkcs11:token=…;object=…;type=cert` */
export function certificateUri({ token }: Pick<KeyUri, "token">): string {
  return `pkcs11:token=${encode(token)};object=${encode(token)};type=cert`
}

/** RFC 7512, 2.3: unreserved characters stand for themselves, all others are percent-encoded. */
export function encode(value: string): string {
  return [...Buffer.from(value)]
    .map((byte) => {
      const character = String.fromCharCode(byte)
      return /[A-Za-z0-9._~-]/.test(character)
        ? character
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`
    })
    .join("")
}

/** CKA_ID is binary: every byte is encoded, as consumers print it. */
function encodeBytes(bytes: Uint8Array): string {
  return [...bytes].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("")
}

/** In the query part slashes may stand as they are, and consumers want them so. */
function encodePath(path: string): string {
  return path.split("/").map(encode).join("/")
}
