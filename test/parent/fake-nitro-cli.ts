/** A nitro-cli for tests: a shell script in a directory of its own, and a record of its calls. */
import { chmod, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"

export interface FakeNitroCli {
  command: string
  /** The arguments of each call so far, joined by spaces. */
  calls(): Promise<string[]>
}

/** What the script does for one subcommand: shell commands, `exit` included. */
export type Script = Partial<
  Record<"run-enclave" | "describe-enclaves" | "terminate-enclave", string>
>

export async function fakeNitroCli(dir: string, script: Script): Promise<FakeNitroCli> {
  const command = join(dir, "nitro-cli")
  const record = join(dir, "calls")
  const cases = Object.entries(script).map(([name, body]) => `${name})\n${body}\n;;`)
  const unknown = '*) echo "unexpected $1" >&2; exit 9 ;;'
  await writeFile(record, "")
  await writeFile(
    command,
    `#!/bin/sh\necho "$*" >> '${record}'\ncase "$1" in\n${cases.join("\n")}\n${unknown}\nesac\n`,
  )
  await chmod(command, 0o755)
  const calls = async () => (await readFile(record, "utf8")).split("\n").filter(Boolean)
  return { command, calls }
}

/** Shell commands that print JSON. */
export function print(value: unknown): string {
  return `cat <<'JSON'\n${JSON.stringify(value, null, 2)}\nJSON`
}

/** Shell commands that fail as nitro-cli does. */
export function fail(...lines: string[]): string {
  return `cat >&2 <<'TEXT'\n${lines.join("\n")}\nTEXT\nexit 255`
}

export const ENCLAVE_ID = "i-0123456789abcdef0-enc0199f1e2d3c4b5a"

/** What run-enclave prints. */
export const STARTED = {
  EnclaveName: "tlskeep",
  EnclaveID: ENCLAVE_ID,
  ProcessID: 4711,
  EnclaveCID: 16,
  NumberOfCPUs: 2,
  CPUIDs: [1, 3],
  MemoryMiB: 512,
}

/** An entry of what describe-enclaves prints. */
export const RUNNING = { ...STARTED, State: "RUNNING", Flags: "NONE" }
export const TERMINATED = { EnclaveName: "tlskeep", EnclaveID: ENCLAVE_ID, Terminated: true }
