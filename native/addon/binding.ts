/**
 * Finds and loads `tlskeep_addon.node`, and says what is in it. Only the typed wrappers beside
 * this file use it.
 */

import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import { AddonError } from "./addon-error.js"

/** A private key; the numbers stand for the names in signing-key.ts. */
export interface NativeSigningKey {
  readonly keyType: "RSA" | "EC"
  readonly bits: number
  readonly publicKey: Uint8Array
  signSync(mechanism: number, data: Uint8Array, hash: number, saltLength: number): Uint8Array
  sign(
    mechanism: number,
    data: Uint8Array,
    hash: number,
    saltLength: number,
    callback: (error: AddonError | null, signature: Uint8Array) => void,
  ): void
  destroy(): void
}

interface Binding {
  useErrorClass(errorClass: typeof AddonError): void
  readonly SigningKey: new (pem: Uint8Array) => NativeSigningKey
}

// Beside a bundle; from native/addon/ in a checkout; from dist/native/addon/ after compilation.
const LOCATIONS = [
  "./tlskeep_addon.node",
  "../../build/native/addon/tlskeep_addon.node",
  "../../../build/native/addon/tlskeep_addon.node",
]

function load(): Binding {
  const paths = LOCATIONS.map((location) => fileURLToPath(new URL(location, import.meta.url)))
  const path = paths.find((candidate) => existsSync(candidate))
  if (path === undefined) {
    throw new AddonError(
      "addon-missing",
      `tlskeep_addon.node is in none of these places: ${paths.join(", ")}`,
    )
  }
  const loaded = createRequire(import.meta.url)(path) as Binding
  loaded.useErrorClass(AddonError)
  return loaded
}

/** The loaded addon. */
export const binding: Binding = load()
