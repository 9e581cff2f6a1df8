// Bundles the simulator's enclave image: one JavaScript file, the addon beside it, and a second image
// that differs in one byte, which no key policy names.
import { createHash } from "node:crypto"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const root = fileURLToPath(new URL("..", import.meta.url))
const folder = `${root}build/image`

const addon = await readFile(`${root}build/native/addon/tlskeep_addon.node`)
const addonDigest = createHash("sha256").update(addon).digest("hex")

await mkdir(folder, { recursive: true })
await build({
  entryPoints: [`${root}dist/sim/enclave-main.js`],
  outfile: `${folder}/enclave.mjs`,
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  // Optional acceleration of cbor-x by native code: not worth another binary in the image.
  external: ["cbor-extract"],
  logLevel: "warning",
  // CommonJS dependencies call require() for Node's own modules. The digest makes PCR0, which is
  // computed over this file alone, change with the addon.
  banner: {
    js:
      `// tlskeep_addon.node ${addonDigest}\n` +
      'import { createRequire as requireFor } from "node:module"; const require = requireFor(import.meta.url);',
  },
})
await writeFile(`${folder}/tlskeep_addon.node`, addon)
const image = await readFile(`${folder}/enclave.mjs`, "utf8")
await writeFile(`${folder}/enclave-changed.mjs`, `${image}\n`)
