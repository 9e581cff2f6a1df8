// Lays an enclave's root file system out in a folder: Node.js, a bundled program with its addon, and
// the shared libraries that the two need. Nothing else: no shell, no package manager.
//
//   node scripts/enclave-root.mjs IMAGE_FOLDER ROOT [NODE]
//
// IMAGE_FOLDER is what scripts/bundle-image.mjs made; NODE is the runtime, by default the one that runs
// this, which is stripped of its symbols.
import { execFile } from "node:child_process"
import { chmod, copyFile, cp, mkdir, readdir, realpath } from "node:fs/promises"
import { dirname, join } from "node:path"
import { promisify } from "node:util"

const run = promisify(execFile)
const [, , image, root, node = process.execPath] = process.argv
if (image === undefined || root === undefined) throw new Error("name an image folder and a root")

const PROGRAM_FOLDER = "opt/tlskeep"
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
