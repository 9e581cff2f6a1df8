/**
 * The signature section: CBOR `[{signing_certificate, signature}]`, where both are arrays of the
 * bytes' integers (no byte strings), the certificate in PEM, the signature a COSE_Sign1 over the
 * CBOR `{register_index: 0, register_value: [PCR0's bytes]}`.
 *
 * @see aws-nitro-enclaves-image-format, src/defs/mod.rs and src/utils/eif_signer.rs
 */
import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
  verify,
  X509Certificate,
} from "node:crypto"
import { decodeNsmCbor, type NsmCborValue } from "../../shared/attestation/cbor.js"
import { encodeSigStructure } from "../../shared/attestation/cose.js"
import { encodeCbor } from "../../shared/cbor.js"
import { EifError } from "./errors.js"
import { pcr8 } from "./measure.js"

/** Longest signature section read, in bytes: a certificate and a signature take about 2 KiB. */
export const MAX_SIGNATURE_BYTES = 262_144

/** ECDSA as COSE has it: identifier, hash, and r‖s on the curve (RFC 9053 §2.1). */
interface Algorithm {
  name: string
  id: number
  hash: string
  signatureBytes: number
}
const ALGORITHMS: Readonly<Record<string, Algorithm>> = {
  prime256v1: { name: "ES256", id: -7, hash: "sha256", signatureBytes: 64 },
  secp384r1: { name: "ES384", id: -35, hash: "sha384", signatureBytes: 96 },
  secp521r1: { name: "ES512", id: -36, hash: "sha512", signatureBytes: 132 },
}
/** COSE's header parameter `alg`. */
const COSE_ALG = 1

/** A signature section's content. */
export interface ImageSignature {
  certificate: X509Certificate
  /** PCR8 of an enclave that runs the image. */
  pcr8: string
  /** Whether the certificate's key signed this PCR0. */
  isValidFor(pcr0: string): boolean
}

/** A key and its certificate that sign images. */
export interface ImageSigner {
  certificatePem: Buffer
  pcr8: string
  /** Makes a signature section's content. */
  sign(pcr0: string): Buffer
}

/**
 * @param keyPem - EC private key on P-256, P-384 or P-521, PEM.
 * @throws EifError `signing-key-unsupported`, `signing-certificate-mismatch`
 */
export function imageSigner(keyPem: Buffer, certificatePem: Buffer): ImageSigner {
  const key = readKey(keyPem)
  const algorithm = algorithmOf(key)
  if (algorithm === undefined) {
    throw new EifError("signing-key-unsupported", "the signing key is not on P-256, P-384 or P-521")
  }
  const certificate = readCertificate(certificatePem)
  if (!certificate.checkPrivateKey(key)) {
    throw new EifError("signing-certificate-mismatch", "the signing certificate has another key")
  }
  return {
    certificatePem,
    pcr8: pcr8(certificate.raw),
    sign: (pcr0) => {
      const protectedHeader = encodeProtectedHeader(algorithm)
      const payload = encodePcrInfo(pcr0)
      const signature = sign(algorithm.hash, encodeSigStructure(protectedHeader, payload), {
        key,
        dsaEncoding: "ieee-p1363",
      })
      const cose = encodeCbor([protectedHeader, {}, payload, signature])
      return encodeCbor([{ signing_certificate: [...certificatePem], signature: [...cose] }])
    },
  }
}

/**
 * Reads a signature section without verifying it.
 *
 * @throws EifError `malformed-signature`
 */
export function decodeUnverifiedSignature(section: Buffer): ImageSignature {
  const [entry, ...more] = asArray(decode(section, "section"))
  if (more.length > 0 || !(entry instanceof Map) || entry.size !== 2) {
    throw malformed("it does not hold one signature")
  }
  const certificate = parsePem(byteArray(entry.get("signing_certificate")))
  const cose = asArray(decode(byteArray(entry.get("signature")), "COSE_Sign1"))
  const [protectedHeader, unprotected, payload, signature] = cose
  if (
    cose.length !== 4 ||
    !(protectedHeader instanceof Uint8Array) ||
    !(unprotected instanceof Map) ||
    !(payload instanceof Uint8Array) ||
    !(signature instanceof Uint8Array)
  ) {
    throw malformed("its COSE_Sign1 has other fields")
  }
  return {
    certificate,
    pcr8: pcr8(certificate.raw),
    isValidFor: (pcr0) => {
      const key = certificate.publicKey
      const algorithm = algorithmOf(key)
      return (
        algorithm !== undefined &&
        encodeProtectedHeader(algorithm).equals(protectedHeader) &&
        encodePcrInfo(pcr0).equals(payload) &&
        signature.length === algorithm.signatureBytes &&
        verify(
          algorithm.hash,
          encodeSigStructure(protectedHeader, payload),
          { key, dsaEncoding: "ieee-p1363" },
          signature,
        )
      )
    },
  }
}

function algorithmOf(key: KeyObject): Algorithm | undefined {
  return ALGORITHMS[key.asymmetricKeyDetails?.namedCurve ?? ""]
}

function encodeProtectedHeader({ id }: Algorithm): Buffer {
  // {1: id}; an integer key, which the wire's encoder does not write.
  return Buffer.concat([Buffer.of(0xa1, COSE_ALG), encodeCbor(id)])
}

function encodePcrInfo(pcr0: string): Buffer {
  return encodeCbor({ register_index: 0, register_value: [...Buffer.from(pcr0, "hex")] })
}

function readKey(pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch {
    // Without a cause: OpenSSL's error could say something of the key.
    throw new EifError("signing-key-unsupported", "the signing key is no readable private key")
  }
}

function readCertificate(pem: Buffer): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (cause) {
    const reason = "the signing certificate cannot be read"
    throw new EifError("signing-certificate-mismatch", reason, { cause })
  }
}

function parsePem(pem: Buffer): X509Certificate {
  try {
    const certificate = new X509Certificate(pem)
    createPublicKey(certificate.publicKey.export({ type: "spki", format: "pem" }))
    return certificate
  } catch (cause) {
    throw malformed("its certificate cannot be read", cause)
  }
}

function decode(bytes: Uint8Array, what: string): NsmCborValue {
  try {
    return decodeNsmCbor(bytes)
  } catch (cause) {
    throw malformed(`its ${what} is no CBOR`, cause)
  }
}

function asArray(value: NsmCborValue): readonly NsmCborValue[] {
  if (!Array.isArray(value)) throw malformed("an array is missing")
  return value
}

function byteArray(value: NsmCborValue | undefined): Buffer {
  const numbers = asArray(value ?? null)
  const isByte = (item: NsmCborValue): item is number =>
    typeof item === "number" && item >= 0 && item <= 255
  if (!numbers.every(isByte)) throw malformed("an array of bytes holds something else")
  return Buffer.from(numbers)
}

function malformed(reason: string, cause?: unknown): EifError {
  return new EifError("malformed-signature", `the image's signature is malformed: ${reason}`, {
    cause,
  })
}
