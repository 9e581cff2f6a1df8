// Bundles an enclave image's program: one JavaScript file and the addon beside it.
//
//   node scripts/bundle-image.mjs enclave     the production program, for Dockerfile.enclave
//   node scripts/bundle-image.mjs simulator   the simulator's image, and one that differs from it in
//                                             one byte, which no key policy names
import { createHash } from "node:crypto"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const root = fileURLToPath(new URL("..", import.meta.url))
const IMAGES = {
  enclave: { entry: "dist/enclave/main.js", folder: "build/enclave" },
  simulator: { entry: "dist/sim/enclave-main.js", folder: "build/image" },
}

const [, , name] = process.argv
const image = IMAGES[name]
if (image === undefined) throw new Error(`name one of: ${Object.keys(IMAGES).join(", ")}`)

const folder = `${root}${image.folder}`
const program = `${folder}/enclave.mjs`
const addon = await readFile(`${root}build/native/addon/tlskeep_addon.node`)
const addonDigest = createHash("sha256").update(addon).digest("hex")

await mkdir(folder, { recursive: true })
await build({
  entryPoints: [`${root}${image.entry}`],
  outfile: program,
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  // Optional acceleration of cbor-x by native code: not worth another binary in the image.
  external: ["cbor-extract"],
  logLevel: "warning",
  // CommonJS dependencies call require() for Node's own modules. The digest makes PCR0, which the
  // simulator computes over this file alone, change with the addon.
  banner: {
    js: `// tlskeep_addon.node ${addonDigest}\nimport { createRequire as requireFor } from "node:module"; const require = requireFor(import.meta.url);`,
  },
})
await writeFile(`${folder}/tlskeep_addon.node`, addon)
if (name === "simulator") {
  const content = await readFile(program, "utf8")
  await writeFile(`${folder}/enclave-changed.mjs`, `${content}\n`)
}
