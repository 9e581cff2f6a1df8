// Packs a folder into an initial RAM disk: a cpio archive (newc) that depends on names, contents,
// links and executability alone, so that the same folder gives the same bytes anywhere.
//
//   node scripts/make-cpio.mjs FOLDER OUTPUT
//
// Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst
import { createReadStream, createWriteStream } from "node:fs"
import { lstat, readdir, readlink } from "node:fs/promises"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"

const MODE = { directory: 0o040755, program: 0o100755, file: 0o100644, link: 0o120777 }
/** Archives behind one another in memory begin at multiples of 4; cpio itself writes blocks. */
const BLOCK_BYTES = 512

const [, , folder, output] = process.argv
if (folder === undefined || output === undefined) throw new Error("name a folder and an output")
await pipeline(archive(folder), createWriteStream(output))

/** Yields the archive's bytes. */
async function* archive(root) {
  let length = 0
  let inode = 0
  for await (const { name, mode, size, content } of entries(root, "")) {
    inode += 1
    const header = head(inode, mode, size, name)
    yield header
    length += header.length
    let written = 0
    for await (const chunk of content) {
      yield chunk
      written += chunk.length
    }
    if (written !== size) throw new Error(`${name} changed while it was packed`)
    const padding = Buffer.alloc(-written & 3)
    yield padding
    length += written + padding.length
  }
  const trailer = head(0, 0, 0, "TRAILER!!!")
  yield trailer
  yield Buffer.alloc((BLOCK_BYTES - ((length + trailer.length) % BLOCK_BYTES)) % BLOCK_BYTES)
}

/** A folder's entries in the order of their names' bytes, each folder before what is in it. */
async function* entries(root, folderName) {
  const names = await readdir(join(root, folderName))
  names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  for (const base of names) {
    const name = join(folderName, base)
    const path = join(root, name)
    const stat = await lstat(path)
    if (stat.isDirectory()) {
      yield { name, mode: MODE.directory, size: 0, content: [] }
      yield* entries(root, name)
    } else if (stat.isSymbolicLink()) {
      const target = Buffer.from(await readlink(path))
      yield { name, mode: MODE.link, size: target.length, content: [target] }
    } else if (stat.isFile()) {
      const mode = (stat.mode & 0o111) === 0 ? MODE.file : MODE.program
      yield { name, mode, size: stat.size, content: createReadStream(path) }
    } else throw new Error(`${name} is neither a folder, a file nor a link`)
  }
}

/** An entry's header with its name: owned by root, of 1970, on no device. */
function head(inode, mode, size, name) {
  const nameBytes = Buffer.from(`${name}\0`)
  const numbers = [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, nameBytes.length, 0]
  const fields = numbers.map((number) => number.toString(16).toUpperCase().padStart(8, "0"))
  const bytes = Buffer.concat([Buffer.from(`070701${fields.join("")}`), nameBytes])
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)])
}
