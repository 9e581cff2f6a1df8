// Bundles enclave images' programs: each one JavaScript file, and the addon beside it.
//
//   node scripts/bundle-image.mjs enclave           the production program, for Dockerfile.enclave
//   node scripts/bundle-image.mjs enclave-general   the same under the usage policy `general`
//   node scripts/bundle-image.mjs enclave-vm        production's, but for the roots of KMS and the
//                                                   parent's CID, for the virtual machine's tests
//   node scripts/bundle-image.mjs simulator         the simulator's images: one for each policy, and
//                                                   one that differs from the first in one byte,
//                                                   which no key policy names
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { build } from "esbuild"

const execFileAsync = promisify(execFile)
const root = fileURLToPath(new URL("..", import.meta.url))
/** Folder of each image, and its programs by the name that they have in it. */
const IMAGES = {
  enclave: { folder: "build/enclave", programs: { "enclave.mjs": "dist/enclave/main.js" } },
  "enclave-general": {
    folder: "build/enclave-general",
    programs: { "enclave.mjs": "dist/enclave/main-general.js" },
  },
  "enclave-vm": {
    folder: "build/enclave-vm",
    programs: { "enclave.mjs": "dist/sim/enclave-vm.js" },
  },
  simulator: {
    folder: "build/sim-image",
    programs: {
      "enclave.mjs": "dist/sim/enclave-main.js",
      "enclave-general.mjs": "dist/sim/enclave-general.js",
    },
  },
}

const [, , name] = process.argv
const image = IMAGES[name]
if (image === undefined) throw new Error(`name one of: ${Object.keys(IMAGES).join(", ")}`)

const folder = `${root}${image.folder}`
const addonFile = `${folder}/tlskeep_addon.node`
await mkdir(folder, { recursive: true })
await copyFile(`${root}build/native/addon/tlskeep_addon.node`, addonFile)
// Debug information names folders of the machine that built it, and is half of the file.
await execFileAsync("strip", ["--strip-debug", addonFile])
const addonDigest = createHash("sha256")
  .update(await readFile(addonFile))
  .digest("hex")

for (const [program, entry] of Object.entries(image.programs)) {
  await bundle(`${root}${entry}`, `${folder}/${program}`)
}
if (name === "simulator") {
  const content = await readFile(`${folder}/enclave.mjs`, "utf8")
  await writeFile(`${folder}/enclave-changed.mjs`, `${content}\n`)
}

async function bundle(entry, outfile) {
  await build({
    // Comments name modules by their paths from there.
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "esm",
    // Optional acceleration of cbor-x by native code: not worth another binary in the image.
    external: ["cbor-extract"],
    logLevel: "warning",
    // V8 keeps a program's text for as long as it runs. Names stay: traces of errors tell of them.
    minifyWhitespace: true,
    lineLimit: 200,
    // CommonJS dependencies call require() for Node's own modules. The digest makes PCR0, which the
    // simulator computes over this file alone, change with the addon.
    banner: {
      js: `// tlskeep_addon.node ${addonDigest}\nimport { createRequire as requireFor } from "node:module"; const require = requireFor(import.meta.url);`,
    },
  })
  // A single character beyond Latin-1, as comments have them, and V8 takes two bytes for each of the text.
  const beyond = /[\u0100-\uffff]/.exec(await readFile(outfile, "utf8"))
  if (beyond !== null) throw new Error(`${outfile} has ${beyond[0]} at ${beyond.index}`)
}
