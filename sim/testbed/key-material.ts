/** A private key in every form in which it could lie about, to search for it. */
import { createPrivateKey, type JsonWebKey } from "node:crypto"

/** One byte sequence that gives the key away. */
export interface Needle {
  /** Which number, in which form: `prime p, little-endian`. */
  name: string
  bytes: Buffer
}

const SECRET_NUMBERS: Readonly<Record<string, string>> = {
  d: "private scalar",
  p: "prime p",
  q: "prime q",
  dp: "exponent dp",
  dq: "exponent dq",
  qi: "coefficient qi",
}
/** Enough of a number in text to be unmistakable, wherever a line breaks. */
const TEXT_CHARACTERS = 32

/**
 * The secret numbers of a private key raw (big-endian and little-endian, as limbs lie in memory), in
 * hex (both cases, plain and with colons), in base64 at each alignment, and the PEM's own lines.
 *
 * @param pem - PKCS #8
 */
export function needlesOf(pem: string): Needle[] {
  const jwk = createPrivateKey(pem).export({ format: "jwk" })
  const numbers = Object.entries(SECRET_NUMBERS).flatMap(([field, name]) => {
    const value = jwk[field as keyof JsonWebKey]
    return typeof value === "string" ? formsOf(name, Buffer.from(value, "base64url")) : []
  })
  const lines = pem
    .split("\n")
    .filter((line) => line.length >= 48 && !line.startsWith("-"))
    // The first line of an EC key is the same for every key of the curve.
    .slice(1)
    .map((line, index) => ({ name: `PEM line ${index + 2}`, bytes: Buffer.from(line) }))
  return [...numbers, ...lines]
}

function formsOf(name: string, number: Buffer): Needle[] {
  const hex = number.toString("hex")
  const spaced = hex.match(/../g)?.join(":") ?? ""
  return [
    { name: `${name}, big-endian`, bytes: number },
    { name: `${name}, little-endian`, bytes: Buffer.from(number).reverse() },
    { name: `${name}, hex`, bytes: Buffer.from(hex.slice(0, TEXT_CHARACTERS)) },
    {
      name: `${name}, upper-case hex`,
      bytes: Buffer.from(hex.toUpperCase().slice(0, TEXT_CHARACTERS)),
    },
    { name: `${name}, hex with colons`, bytes: Buffer.from(spaced.slice(0, TEXT_CHARACTERS)) },
    ...[0, 1, 2].map((alignment) => ({
      name: `${name}, base64 at ${alignment}`,
      bytes: base64At(number, alignment),
    })),
    ...[0, 1, 2].map((alignment) => ({
      name: `${name}, base64url at ${alignment}`,
      bytes: Buffer.from(
        base64At(number, alignment).toString().replaceAll("+", "-").replaceAll("/", "_"),
      ),
    })),
  ]
}

/** The characters of base64 that depend on `number` alone when it starts `alignment` bytes in. */
function base64At(number: Buffer, alignment: number): Buffer {
  const text = Buffer.concat([Buffer.alloc(alignment), number]).toString("base64")
  const from = alignment === 0 ? 0 : 4
  return Buffer.from(text.slice(from, from + TEXT_CHARACTERS))
}
