/** A PKCS #11 URI in the PEM form that pkcs11-provider reads wherever a key file may stand. */

const VISIBLE_STRING = 0x1a
const UTF8_STRING = 0x0c
const SEQUENCE = 0x30
const LINE_LENGTH = 64

/**
 * The file's text: SEQUENCE { VisibleString description, UTF8String uri }.
 *
 * @param uri - at most some 60,000 bytes
 * @see pkcs11-provider, docs/provider-pkcs11.7, "PKCS11-PROVIDER URI"
 */
export function uriPem(uri: string): string {
  const description = der(VISIBLE_STRING, Buffer.from("PKCS#11 Provider URI v1.0"))
  const body = der(SEQUENCE, Buffer.concat([description, der(UTF8_STRING, Buffer.from(uri))]))
  const lines = body.toString("base64").match(new RegExp(`.{1,${LINE_LENGTH}}`, "g")) ?? []
  const label = "PKCS#11 PROVIDER URI"
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n")
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content
  const octets =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...octets]), content])
}
