/**
 * Who may manage this enclave. Any process of the parent reaches the control port: the first secret
 * presented after boot owns the enclave, so that an unprivileged process cannot re-provision a
 * token under a PIN of its own.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { ControlError } from "../shared/protocol/control.js"

export class Ownership {
  #digest: Buffer | undefined

  /** Whether an owner has shown itself since boot. */
  get phase(): "unclaimed" | "claimed" {
    return this.#digest === undefined ? "unclaimed" : "claimed"
  }

  /**
   * Claims the enclave, or proves to be the owner.
   *
   * @throws ControlError `not-owner`
   */
  prove(secret: Uint8Array): void {
    const digest = createHash("sha256").update(secret).digest()
    this.#digest ??= digest
    if (!timingSafeEqual(digest, this.#digest)) {
      throw new ControlError("not-owner", "another control secret owns the enclave")
    }
  }
}
