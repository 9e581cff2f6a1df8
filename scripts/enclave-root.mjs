// Lays an enclave's root file system out in a folder: Node.js, a bundled program with its addon, and
// the shared libraries that the two need. Nothing else: no shell, no package manager. Refuses one that
// has become too large, and says what it holds.
//
//   node scripts/enclave-root.mjs IMAGE_FOLDER ROOT [NODE]
//
// IMAGE_FOLDER is what scripts/bundle-image.mjs made; NODE is the runtime, by default the one that runs
// this, which is stripped of its symbols. ROOT must not exist yet.
import { execFile } from "node:child_process"
import { chmod, copyFile, cp, mkdir, readdir, realpath, stat, utimes } from "node:fs/promises"
import { dirname, join } from "node:path"
import { promisify } from "node:util"

const run = promisify(execFile)
const [, , image, root, node = process.execPath] = process.argv
if (image === undefined || root === undefined) throw new Error("name an image folder and a root")

/** The enclave holds it twice in memory while it boots: packed, and unpacked. */
const LIMIT_BYTES = 150_000_000
const PROGRAM_FOLDER = "opt/tlskeep"

await mkdir(root)
for (const folder of ["dev", "proc", "sys", "tmp", "usr/bin", PROGRAM_FOLDER]) {
  await mkdir(join(root, folder), { recursive: true })
}
await copyProgram(await realpath(node), join(root, "usr/bin/node"))
await cp(image, join(root, PROGRAM_FOLDER), { recursive: true })

const binaries = [join(root, "usr/bin/node"), ...(await addonsIn(join(root, PROGRAM_FOLDER)))]
const libraries = new Set((await Promise.all(binaries.map(librariesOf))).flat())
for (const library of libraries) {
  const place = join(root, library)
  await mkdir(dirname(place), { recursive: true })
  await copyFile(await realpath(library), place)
  await chmod(place, 0o755)
}

const entries = await readdir(root, { recursive: true, withFileTypes: true })
const paths = entries.map(({ parentPath, name }) => join(parentPath, name))
const files = paths.filter((_, index) => entries[index].isFile())
const sizes = await Promise.all(files.map(async (path) => (await stat(path)).size))
const bytes = sizes.reduce((sum, size) => sum + size, 0)
if (bytes > LIMIT_BYTES) {
  throw new Error(`the image has ${bytes} bytes unpacked, over its limit of ${LIMIT_BYTES}`)
}
// Times and rights get into the layers of a container image, and from there into what nitro-cli measures.
for (const path of [...paths, root]) {
  const { mode } = await stat(path)
  await chmod(path, (mode & 0o111) === 0 ? 0o644 : 0o755)
  await utimes(path, 0, 0)
}
process.stdout.write(`${files.length} files, ${bytes} bytes of ${LIMIT_BYTES}\n`)

async function copyProgram(from, to) {
  await copyFile(from, to)
  await chmod(to, 0o755)
  await run("strip", [to])
}

async function addonsIn(folder) {
  const names = await readdir(folder)
  return names.filter((name) => name.endsWith(".node")).map((name) => join(folder, name))
}

/** Paths of the libraries that the loader finds for a binary, the loader's own among them. */
async function librariesOf(binary) {
  const { stdout } = await run("ldd", [binary], { env: { PATH: process.env.PATH, LC_ALL: "C" } })
  return stdout.split("\n").flatMap((line) => {
    if (line.includes("not found")) throw new Error(`${binary} needs${line}`)
    const [, path] = /(?:=> )?(\/\S+) \(0x/.exec(line) ?? []
    return path === undefined ? [] : [path]
  })
}
