/** The certificate path of an attestation document, from the pinned root to the leaf that signed it. */
import { createHash, type KeyObject } from "node:crypto"
import { type Certificate, parseCertificate } from "./certificate.js"
import { AttestationError, type AttestationErrorCode } from "./errors.js"

/**
 * SHA-256 of the DER of the AWS Nitro Enclaves root G1 (`CN=aws.nitro-enclaves`, 2019 to 2049).
 * Computed from the certificate; the hash on AWS's pages is of the zip file that it comes in.
 *
 * @see aws-nitro-enclaves-nsm-api, docs/attestation_process.md
 */
export const AWS_NITRO_ROOT_FINGERPRINT =
  "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"

/** What the path is held against. */
export interface ChainOptions {
  /** SHA-256 of the root's DER, 64 hex digits. */
  rootFingerprint: string
  /** The time at which every certificate must be valid. */
  now: Date
}

/**
 * Verifies the path root → … → leaf and returns the leaf's public key (P-384).
 *
 * Rules of RFC 5280 §6 as far as these certificates go: the path is the bundle in its order, every
 * certificate of it, with the root pinned by its fingerprint; names, key identifiers and signatures
 * link neighbours; CAs have critical basic constraints, an honoured pathLen and keyCertSign; the
 * leaf is no CA and may sign. Revocation is not checked: AWS documents no need to, and the
 * certificates below the root live for 20 days at most.
 *
 * @param cabundle - DER, the root first, not empty.
 * @param leaf - DER of the certificate that the last of the bundle issued.
 * @throws {@link AttestationError} `untrusted-root`, `unsupported-algorithm`, `invalid-chain`,
 *   `certificate-not-yet-valid`, `certificate-expired`.
 */
export function verifyChain(
  cabundle: readonly Uint8Array[],
  leaf: Uint8Array,
  options: ChainOptions,
): KeyObject {
  checkRoot(cabundle[0], options.rootFingerprint)
  const authorities = cabundle.map((der, index) => parseCertificate(der, `cabundle[${index}]`))
  const target = parseCertificate(leaf, "certificate")
  const path = [...authorities, target]
  checkDistinct(path)

  for (const [index, ca] of authorities.entries()) {
    checkAuthority(ca, authorities.length - 1 - index)
  }
  checkLeaf(target)
  path.reduce((issuer, subject) => {
    checkIssued(subject, issuer)
    return subject
  })
  for (const certificate of path) checkValidity(certificate, options.now)
  return target.publicKey
}

function checkRoot(root: Uint8Array | undefined, fingerprint: string): void {
  const actual = root === undefined ? "" : createHash("sha256").update(root).digest("hex")
  if (actual !== fingerprint.toLowerCase()) {
    throw new AttestationError(
      "untrusted-root",
      `the document's root certificate is ${actual}, not the one trusted`,
    )
  }
}

/** A self-signed certificate would otherwise pass as its own issuer any number of times. */
function checkDistinct(path: readonly Certificate[]): void {
  if (new Set(path.map(({ x509 }) => x509.fingerprint256)).size < path.length) {
    throw new AttestationError("invalid-chain", "a certificate occurs twice in the path")
  }
}

/** @param below - How many CA certificates follow this one. */
function checkAuthority(ca: Certificate, below: number): void {
  const constraints = ca.basicConstraints
  if (constraints === null || !constraints.critical || !constraints.ca) {
    throw refuse("invalid-chain", ca, "is not a CA with critical basic constraints")
  }
  if (constraints.pathLen !== null && below > constraints.pathLen) {
    throw refuse("invalid-chain", ca, `allows ${constraints.pathLen} CAs below it, not ${below}`)
  }
  if (!ca.keyUsage.has("keyCertSign")) {
    throw refuse("invalid-chain", ca, "may not sign certificates")
  }
}

function checkLeaf(leaf: Certificate): void {
  if (leaf.basicConstraints?.ca) throw refuse("invalid-chain", leaf, "is a CA")
  if (!leaf.keyUsage.has("digitalSignature")) {
    throw refuse("invalid-chain", leaf, "may not sign documents")
  }
}

function checkIssued(subject: Certificate, issuer: Certificate): void {
  if (!subject.x509.checkIssued(issuer.x509)) {
    throw refuse("invalid-chain", subject, `was not issued by ${issuer.place}`)
  }
  if (!subject.x509.verify(issuer.publicKey)) {
    throw refuse("invalid-chain", subject, `is not signed by ${issuer.place}`)
  }
}

/** Both bounds are inclusive (RFC 5280 §4.1.2.5). An invalid `now` satisfies neither. */
function checkValidity(certificate: Certificate, now: Date): void {
  if (!(now >= certificate.notBefore)) {
    throw refuse("certificate-not-yet-valid", certificate, "is not valid yet")
  }
  if (!(now <= certificate.notAfter)) {
    throw refuse("certificate-expired", certificate, "has expired")
  }
}

function refuse(
  code: AttestationErrorCode,
  certificate: Certificate,
  fault: string,
): AttestationError {
  return new AttestationError(code, `${certificate.place} ${fault}`)
}
