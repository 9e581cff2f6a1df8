/** The error of reading and building enclave image files, and its codes. */
import { CodedError } from "../../shared/errors.js"

export type EifErrorCode =
  /** A file cannot be opened or read. */
  | "eif-unreadable"
  /** Shorter than a header, or without the magic bytes. */
  | "not-an-eif"
  /** Another version than 2 to 4. */
  | "unsupported-version"
  /** The header's section count, offsets or sizes cannot be true, or disagree with the file. */
  | "malformed-header"
  /** A section's own header disagrees with the file's header, or has an unknown type. */
  | "malformed-section"
  /** The file ends within a section. */
  | "truncated"
  /** A kernel, command line, ramdisk or (in version 4) metadata section is not there. */
  | "missing-section"
  /** A section that occurs once occurs twice. */
  | "duplicate-section"
  /** Kernel, command line and ramdisks do not follow in this order, in which they are measured. */
  | "section-order"
  /** The metadata section is no JSON object, or too long. */
  | "malformed-metadata"
  /** The signature section is not what signs an image. */
  | "malformed-signature"
  /** The checksum in the header is not the file's. */
  | "crc-mismatch"
  /** The signature is not the certificate's over the image's PCR0. */
  | "invalid-signature"
  /** What an image is to be built of cannot be read, or is empty. */
  | "input-unreadable"
  /** A file changed while the image was built of it. */
  | "input-changed"
  /** More sections than a header lists. */
  | "too-many-sections"
  /** The signing key is no readable EC key on P-256, P-384 or P-521. */
  | "signing-key-unsupported"
  /** The signing certificate cannot be read, or belongs to another key. */
  | "signing-certificate-mismatch"
  /** A signed image was asked for and the file is not signed. */
  | "not-signed"
  | "output-failed"

/** A refused or failed enclave image file. */
export class EifError extends CodedError<EifErrorCode> {}
