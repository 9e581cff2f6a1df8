/** The processes of this host, by /proc. */
import { readdir, readFile } from "node:fs/promises"
import { basename, join } from "node:path"
import type { DoctorContext } from "./context.js"

export interface HostProcess {
  pid: number
  argv: string[]
}

/** Every process that can be seen; kernel threads, which have no arguments, left out. */
export async function listProcesses({ paths }: DoctorContext): Promise<HostProcess[]> {
  const names = await readdir(paths.procDir).catch((): string[] => [])
  const found = await Promise.all(
    names
      .filter((name) => /^\d+$/.test(name))
      .map(async (name) => {
        // One that ended meanwhile is no process.
        const text = await readFile(join(paths.procDir, name, "cmdline"), "utf8").catch(() => "")
        return { pid: Number(name), argv: text.split("\0").filter(Boolean) }
      }),
  )
  return found.filter(({ argv }) => argv.length > 0).sort((a, b) => a.pid - b.pid)
}

/** Processes of one of these programs. nginx writes `nginx: master process …` over its arguments. */
export async function processesOf(
  context: DoctorContext,
  programs: readonly string[],
): Promise<HostProcess[]> {
  const all = await context.once(listProcesses)
  return all.filter(({ argv: [first = ""] }) => programs.includes(programName(first)))
}

function programName(argument: string): string {
  return basename(argument.split(/[\s:]/, 1)[0] ?? "")
}

/** One variable of a process's environment as it was started with; undefined where it is not to be had. */
export async function environmentOf(
  { paths }: DoctorContext,
  pid: number,
  name: string,
): Promise<string | undefined> {
  const text = await readFile(join(paths.procDir, String(pid), "environ"), "utf8").catch(() => "")
  const entry = text.split("\0").find((one) => one.startsWith(`${name}=`))
  return entry?.slice(name.length + 1)
}

/** Whether a process has a shared object of this name loaded; false where that cannot be seen. */
export async function hasLoaded(
  { paths }: DoctorContext,
  pid: number,
  name: string,
): Promise<boolean> {
  const maps = await readFile(join(paths.procDir, String(pid), "maps"), "utf8").catch(() => "")
  return maps.split("\n").some((line) => line.endsWith(`/${name}`))
}
