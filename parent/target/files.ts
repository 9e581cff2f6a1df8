/** Files that a web server reads: whole or not there, never half written, and back as they were. */
import {
  type FileHandle,
  lstat,
  mkdir,
  open,
  readFile,
  readlink,
  realpath,
  stat,
  unlink,
} from "node:fs/promises"
import { dirname, resolve } from "node:path"
import { execa } from "execa"
import writeFileAtomic from "write-file-atomic"
import { systemErrorCode } from "../../shared/errors.js"
import { AgentError } from "../errors.js"

export interface Ownership {
  uid: number
  gid: number
}

/** What a file is to be. */
export interface TargetFile {
  path: string
  content: Buffer
  mode: number
  owner: Ownership
}

/** What a file was: as much of it as brings it back. Undefined: there was none. */
export interface FormerFile {
  path: string
  former: { content: Buffer; mode: number; owner: Ownership } | undefined
}

const MAX_LINKS = 40

/**
 * Writes a file by way of a temporary one, synced and renamed over it, and syncs the directory. A
 * symbolic link stays: what it leads to is written.
 *
 * @throws AgentError `target-not-writable`
 */
export async function writeTargetFile(
  path: string,
  content: string | Buffer,
  { mode, owner }: { mode: number; owner: Ownership },
): Promise<void> {
  try {
    const destination = await destinationOf(path)
    await mkdir(dirname(destination), { recursive: true, mode: 0o755 })
    await writeFileAtomic(destination, content, { mode, chown: owner, fsync: true })
    // The writer lets a refused change of owner pass where the agent is not root.
    const made = await stat(destination)
    if (made.uid !== owner.uid || made.gid !== owner.gid) throw new OwnerRefused()
    await syncDirectory(dirname(destination))
  } catch (cause) {
    throw notWritable(path, cause)
  }
}

class OwnerRefused extends Error {
  readonly code = "EPERM"
}

/**
 * What is at `path` now.
 *
 * @throws AgentError `target-not-readable`
 */
export async function rememberFile(path: string): Promise<FormerFile> {
  try {
    const content = await readFile(path)
    const { mode, uid, gid } = await stat(path)
    return { path, former: { content, mode: mode & 0o7777, owner: { uid, gid } } }
  } catch (cause) {
    if (systemErrorCode(cause) === "ENOENT") return { path, former: undefined }
    throw new AgentError("target-not-readable", `cannot read ${path}: ${reasonOf(cause)}`, {
      advice: "Check the target's path, and that the agent runs as root.",
      cause,
    })
  }
}

/**
 * Makes a file what it was, gone if there was none.
 *
 * @throws AgentError `target-not-writable`
 */
export async function restoreFile({ path, former }: FormerFile): Promise<void> {
  if (former !== undefined) {
    await writeTargetFile(path, former.content, former)
    return
  }
  try {
    const destination = await destinationOf(path)
    await unlink(destination)
    await syncDirectory(dirname(destination))
  } catch (cause) {
    if (systemErrorCode(cause) !== "ENOENT") throw notWritable(path, cause)
  }
}

/** Whether the file is there already, byte by byte and with its owner and mode. */
export function isAsWanted({ content, mode, owner }: TargetFile, { former }: FormerFile): boolean {
  return (
    former?.content.equals(content) === true &&
    former.mode === mode &&
    former.owner.uid === owner.uid &&
    former.owner.gid === owner.gid
  )
}

/**
 * Numeric owner for names of users and groups, as the system's name service has them.
 *
 * @throws AgentError `target-not-writable` naming the unknown one
 */
export async function ownerOf(user: string, group: string): Promise<Ownership> {
  return { uid: await idOf("passwd", user), gid: await idOf("group", group) }
}

async function idOf(database: "passwd" | "group", name: string): Promise<number> {
  const { stdout, exitCode } = await execa("getent", ["--", database, name], { reject: false })
  const id = Number(stdout?.split(":")[2])
  if (exitCode === 0 && Number.isInteger(id)) return id
  const what = database === "passwd" ? "user" : "group"
  throw new AgentError("target-not-writable", `there is no ${what} ${JSON.stringify(name)}`, {
    advice: `Correct the target's ${what}.`,
  })
}

/** Where links lead, be there a file at their end or not yet. */
async function destinationOf(path: string): Promise<string> {
  let current = path
  for (let links = 0; links < MAX_LINKS; links++) {
    const existing = await realpath(current).catch(absent)
    if (existing !== undefined) return existing
    const link = await lstat(current).catch(absent)
    if (link?.isSymbolicLink() !== true) return current
    current = resolve(dirname(current), await readlink(current))
  }
  throw Object.assign(new Error("too many links"), { code: "ELOOP" })
}

function absent(error: unknown): undefined {
  if (systemErrorCode(error) === "ENOENT") return undefined
  throw error
}

async function syncDirectory(path: string): Promise<void> {
  let directory: FileHandle | undefined
  try {
    directory = await open(path, "r")
    await directory.sync()
  } finally {
    await directory?.close()
  }
}

function notWritable(path: string, cause: unknown): AgentError {
  return new AgentError("target-not-writable", `cannot write ${path}: ${reasonOf(cause)}`, {
    advice: "Check the target's path, user and group, and that the agent runs as root.",
    cause,
  })
}

function reasonOf(cause: unknown): string {
  return systemErrorCode(cause) ?? "failed"
}
