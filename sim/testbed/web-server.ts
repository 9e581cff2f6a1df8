/** What the testbed, the agent and the tests need of a web server, whichever it is. */
import { readFile } from "node:fs/promises"

export type Service = "httpd" | "nginx"

/** How the agent is told to write a server's files: its `target`. */
export type TargetKind = "Conf" | "Snippet"

/** A name that is served, and the file by which the agent says with what. */
export interface VirtualHost {
  serverName: string
  target: TargetKind
  path: string
}

/** What the files name before the agent has been: a server that runs already has something to serve. */
export interface Placeholder {
  certificateFile: string
  keyFile: string
}

/** Command lines, as the agent's configuration takes them. */
export interface ServerCommands {
  test: string[]
  /** Starts it where it does not run. */
  reload: string[]
  start: string[]
}

export interface WebServer {
  readonly service: Service
  readonly port: number
  readonly url: string
  /** What it answers to `GET /`. */
  readonly page: string
  readonly commands: ServerCommands
  start(): Promise<void>
  /** Waits until it accepts connections. @throws CodedError with its log */
  listening(): Promise<void>
  /** Stops it and waits until it is gone. Fine if it does not run. */
  stop(): Promise<void>
  /** Of the parent; undefined if it does not run. */
  pid(): Promise<number | undefined>
  /** Of parent and children. */
  pids(): Promise<number[]>
  /** Times that it read its configuration: its start counts, and every reload. */
  generations(): Promise<number>
  /** Has its configuration refused from now on by its own test, until it is mended. */
  breakConfiguration(): Promise<void>
  mendConfiguration(): Promise<void>
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Waits until a process is gone, 10 s at most. */
export async function untilGone(pid: number): Promise<void> {
  for (let tries = 0; tries < 200 && isAlive(pid); tries++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** A command line in an environment of its own: the agent hands its own down otherwise. */
export function inEnvironment(env: Readonly<Record<string, string>>, ...command: string[]) {
  const assignments = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  return ["env", "-i", ...assignments, ...command]
}

/** The process that a pid file names, undefined if it does not run. */
export async function pidIn(file: string): Promise<number | undefined> {
  const pid = Number.parseInt(await readFile(file, "utf8").catch(() => ""), 10)
  return Number.isInteger(pid) && isAlive(pid) ? pid : undefined
}

/**
 * Ends the process that a pid file names and waits until it is gone. Fine if it does not run. Not by the
 * server's own command, which wants a configuration that is still whole.
 */
export async function stopByPidFile(file: string): Promise<void> {
  const pid = await pidIn(file)
  if (pid === undefined) return
  process.kill(pid, "SIGTERM")
  await untilGone(pid)
}
