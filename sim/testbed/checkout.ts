/** Where the built parts of this checkout are, from its sources and from `dist` alike. */
import { existsSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

function findRoot(from: string): string {
  return existsSync(join(from, "package.json")) ? from : findRoot(dirname(from))
}

const root = findRoot(dirname(fileURLToPath(import.meta.url)))

/** Absolute paths of what `make build` makes. */
export const CHECKOUT = {
  root,
  cli: join(root, "dist/parent/cli.js"),
  simulator: join(root, "dist/sim/main.js"),
  module: join(root, "build/native/pkcs11/libtlskeep-pkcs11.so"),
  /** The simulator's enclave image, and one that differs from it in one byte. */
  image: join(root, "build/sim-image/enclave.mjs"),
  changedImage: join(root, "build/sim-image/enclave-changed.mjs"),
  /** The one of the usage policy `general`. */
  generalImage: join(root, "build/sim-image/enclave-general.mjs"),
  /** Where a demo that stays up says what it left; tests give another. */
  demoEnv: process.env.TLSKEEP_DEMO_ENV ?? join(root, "build/demo.env"),
} as const
