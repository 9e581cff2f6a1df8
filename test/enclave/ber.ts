/** BER taken apart and put together again, to forge CMS that deviates in one place. */

export interface Tlv {
  tag: number
  indefinite: boolean
  /** Primitive contents, or the elements within. */
  value: Buffer | Tlv[]
}

/** Reads one element of BER with one-byte tags. */
export function parseTlv(ber: Buffer): Tlv {
  return readTlv(ber, 0).tlv
}

function readTlv(ber: Buffer, at: number): { tlv: Tlv; end: number } {
  const tag = ber.readUInt8(at)
  const first = ber.readUInt8(at + 1)
  const constructed = (tag & 0x20) !== 0
  if (first === 0x80) {
    const value: Tlv[] = []
    let next = at + 2
    while (ber.readUInt16BE(next) !== 0) {
      const { tlv, end } = readTlv(ber, next)
      value.push(tlv)
      next = end
    }
    return { tlv: { tag, indefinite: true, value }, end: next + 2 }
  }
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f
  const length = lengthBytes === 0 ? first : ber.readUIntBE(at + 2, lengthBytes)
  const start = at + 2 + lengthBytes
  const end = start + length
  if (!constructed) return { tlv: { tag, indefinite: false, value: ber.subarray(start, end) }, end }
  const value: Tlv[] = []
  for (let next = start; next < end; ) {
    const child = readTlv(ber, next)
    value.push(child.tlv)
    next = child.end
  }
  return { tlv: { tag, indefinite: false, value }, end }
}

export function encodeTlv({ tag, indefinite, value }: Tlv): Buffer {
  const contents = Buffer.isBuffer(value) ? value : Buffer.concat(value.map(encodeTlv))
  if (indefinite) return Buffer.concat([Buffer.of(tag, 0x80), contents, Buffer.alloc(2)])
  const { length } = contents
  const head =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...head]), contents])
}

/** A primitive element from its tag and contents in hex. */
export function primitive(tag: number, hex: string): Tlv {
  return { tag, indefinite: false, value: Buffer.from(hex, "hex") }
}

export function constructed(tag: number, ...value: Tlv[]): Tlv {
  return { tag, indefinite: false, value }
}

/** The elements within, to be looked at or changed. */
export function within(tlv: Tlv | undefined): Tlv[] {
  if (tlv === undefined || Buffer.isBuffer(tlv.value)) throw new Error("not constructed")
  return tlv.value
}
