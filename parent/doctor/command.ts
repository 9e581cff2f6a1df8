/** Runs a host's command for a check: it never throws, never asks, and never takes for ever. */
import { execa } from "execa"

export type CommandOutcome =
  | { kind: "exited"; code: number; stdout: string; stderr: string }
  /** There is no such command, or it may not be run. */
  | { kind: "missing" }
  | { kind: "timed-out" }

export type CommandRunner = (command: string, args: readonly string[]) => Promise<CommandOutcome>

export const COMMAND_TIMEOUT_MS = 15_000

/** Commands found by the `PATH` of `env`; messages in English. */
export function commandRunner(
  env: NodeJS.ProcessEnv,
  timeoutMs: number = COMMAND_TIMEOUT_MS,
): CommandRunner {
  return async (command, args) => {
    const result = await execa(command, args, {
      env: { ...env, LC_ALL: "C" },
      extendEnv: false,
      reject: false,
      stdin: "ignore",
      timeout: timeoutMs,
      // A command that ignores SIGTERM is not waited for.
      forceKillAfterDelay: 500,
    })
    if (result.timedOut) return { kind: "timed-out" }
    if (result.code === "ENOENT" || result.code === "EACCES") return { kind: "missing" }
    const { exitCode = 255, stdout, stderr } = result
    return { kind: "exited", code: exitCode, stdout, stderr }
  }
}

/** What a command printed if it ended well. */
export function printed(outcome: CommandOutcome): string | undefined {
  return outcome.kind === "exited" && outcome.code === 0 ? outcome.stdout : undefined
}

/** Why a command gave nothing, for a finding's detail. */
export function failure(outcome: CommandOutcome): string {
  switch (outcome.kind) {
    case "missing":
      return "it is not installed"
    case "timed-out":
      return `it took more than ${COMMAND_TIMEOUT_MS / 1_000} s`
    case "exited":
      return `it ended with exit code ${outcome.code}`
  }
}
