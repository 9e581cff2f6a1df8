/** PKCS #11 URIs (RFC 7512) for the keys of a token. */

export interface KeyUri {
  /** Token label; the private key's label is the same. */
  token: string
  /** File that holds the PIN. */
  pinFile?: string
}

/** `pkcs11:token=…;object=…;type=private?pin-source=file:…` */
export function privateKeyUri({ token, pinFile }: KeyUri): string {
  const path = `pkcs11:token=${encode(token)};object=${encode(token)};type=private`
  return pinFile === undefined ? path : `${path}?pin-source=file:${encodePath(pinFile)}`
}

/** `pkcs11:token=…;object=…;type=cert` */
export function certificateUri({ token }: KeyUri): string {
  return `pkcs11:token=${encode(token)};object=${encode(token)};type=cert`
}

/** RFC 7512, 2.3: unreserved characters stand for themselves, all others are percent-encoded. */
function encode(value: string): string {
  return [...Buffer.from(value)]
    .map((byte) => {
      const character = String.fromCharCode(byte)
      return /[A-Za-z0-9._~-]/.test(character)
        ? character
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`
    })
    .join("")
}

/** In the query part slashes may stand as they are, and consumers want them so. */
function encodePath(path: string): string {
  return path.split("/").map(encode).join("/")
}
