/** The error of attestation-document decoding and verification, and its codes. */
import { CodedError } from "../errors.js"

/** Why a document was refused: the code of the first check that failed, from form over trust to content. */
export type AttestationErrorCode =
  /** Not a COSE_Sign1 with an attestation document's payload, or beyond a limit of one. */
  | "malformed-document"
  /** Something other than ES384: in the COSE header, a certificate's key or its signature. */
  | "unsupported-algorithm"
  /** The bundle does not begin with the pinned root certificate. */
  | "untrusted-root"
  /** A certificate is unreadable, may not do what the path has it do, or was not issued by its neighbour. */
  | "invalid-chain"
  /** A certificate's validity begins after `now`. */
  | "certificate-not-yet-valid"
  /** A certificate's validity ended before `now`. */
  | "certificate-expired"
  /** The COSE signature is not the leaf's over this payload. */
  | "invalid-signature"
  /** The document's timestamp is further ahead of `now` than the skew allowed. */
  | "document-from-future"
  /** The document's timestamp is older than the age allowed. */
  | "document-too-old"
  /** An expected PCR is absent or has another value. */
  | "pcr-mismatch"
  /** The nonce is absent or another one. */
  | "nonce-mismatch"

/** A refused attestation document. */
export class AttestationError extends CodedError<AttestationErrorCode> {}
