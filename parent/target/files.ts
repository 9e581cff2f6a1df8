/** Files that a web server reads: whole or not there, never half written. */
import { chown, mkdir } from "node:fs/promises"
import { dirname } from "node:path"
import { execa } from "execa"
import writeFileAtomic from "write-file-atomic"
import { systemErrorCode } from "../../shared/errors.js"
import { AgentError } from "../errors.js"

export interface Ownership {
  uid: number
  gid: number
}

/**
 * Writes a file by way of a temporary one, synced and renamed over it.
 *
 * @throws AgentError `target-not-writable`
 */
export async function writeTargetFile(
  path: string,
  content: string,
  { mode, owner }: { mode: number; owner: Ownership },
): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 })
    await writeFileAtomic(path, content, { mode, chown: owner, fsync: true })
    await chown(path, owner.uid, owner.gid)
  } catch (cause) {
    const reason = systemErrorCode(cause) ?? "failed"
    throw new AgentError("target-not-writable", `cannot write ${path}: ${reason}`, {
      advice: "Check the target's path, user and group, and that the agent runs as root.",
      cause,
    })
  }
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
