/** What a certificate source is to the rest of the agent, whichever of the three kinds it is. */
import { AgentError } from "../errors.js"
import type { KeyObject } from "./key-object.js"

/** What a source says when asked: what it holds now, or that it is what it was. */
export type Fetched = { changed: true; object: KeyObject } | { changed: false }

export interface Source {
  /** For messages and status: `s3://<bucket>/<key>`, the certificate's ARN, or the file's path. */
  readonly name: string
  /**
   * ARN of the only KMS key accepted, where the configuration says so; it is the `keyId` of every
   * object then. Null: the key is the one that the object names, if it names any.
   */
  readonly acceptedKeyId: string | null
  /**
   * Asks the source. The first answer is always `changed`.
   *
   * @param signal - calls the fetch off, at once
   * @throws AgentError `s3-*`, `acm-*`, `key-object-*`, `key-file-*`, `role-unknown`,
   *   `credentials-unavailable`, `fetch-aborted`. The next call asks as if this one had not been.
   */
  fetch(signal?: AbortSignal): Promise<Fetched>
}

/** The object, under the KMS key that the source accepts. */
export function underAcceptedKey(object: KeyObject, acceptedKeyId: string | null): KeyObject {
  return acceptedKeyId === null ? object : { ...object, keyId: acceptedKeyId }
}

export function fetchAborted(name: string, cause: unknown): AgentError {
  return new AgentError("fetch-aborted", `${name}: the fetch was called off`, { cause })
}
