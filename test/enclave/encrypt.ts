/**
 * RSAES-OAEP encryption (RFC 8017, 7.1.1) for the tests: node:crypto cannot give MGF1 a hash of its
 * own, and does the bare RSA operation here only.
 */
import { constants, createHash, type KeyObject, publicEncrypt, randomBytes } from "node:crypto"
import type { OaepParameter } from "../../shared/protocol/signing.js"

const nodeHash = (name: string) => name.replace("-", "").toLowerCase()

/** MGF1 (RFC 8017, B.2.1). */
function mask(hash: string, seed: Uint8Array, bytes: number): Buffer {
  const blocks: Buffer[] = []
  for (let i = 0, length = 0; length < bytes; i++) {
    const counter = Buffer.alloc(4)
    counter.writeUInt32BE(i)
    const block = createHash(nodeHash(hash)).update(seed).update(counter).digest()
    blocks.push(block)
    length += block.length
  }
  return Buffer.concat(blocks).subarray(0, bytes)
}

const xor = (a: Buffer, b: Buffer) => a.map((byte, i) => byte ^ (b[i] ?? 0))

export function encryptOaep(key: KeyObject, plaintext: Uint8Array, oaep: OaepParameter): Buffer {
  const { hash, mgfHash, label } = oaep
  const bytes = Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8)
  const labelHash = createHash(nodeHash(hash)).update(label).digest()
  const zeros = Buffer.alloc(bytes - plaintext.length - 2 * labelHash.length - 2)
  const data = Buffer.concat([labelHash, zeros, Buffer.of(1), plaintext])
  const seed = randomBytes(labelHash.length)
  const maskedData = Buffer.from(xor(data, mask(mgfHash, seed, data.length)))
  const maskedSeed = xor(seed, mask(mgfHash, maskedData, seed.length))
  const block = Buffer.concat([Buffer.of(0), maskedSeed, maskedData])
  return publicEncrypt({ key, padding: constants.RSA_NO_PADDING }, block)
}
