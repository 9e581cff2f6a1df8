/** The command line of the benchmark. */
import { parseArgs } from "node:util"
import { CodedError } from "../shared/errors.js"
import { PROFILES, type Profile, SECTIONS, type Section, shortened } from "./profile.js"

export interface Options {
  profile: Profile
  /** The profile's unless some are named. */
  sections: readonly Section[]
  /** Folder for `latest.json` and `latest.svg`. */
  out: string
}

/**
 * `[quick|full] [--only SECTION,…] [--rounds N] [--seconds S] [--out DIR]`.
 *
 * @throws CodedError `bad-option`
 */
export function parseOptions(args: readonly string[], defaultOut: string): Options {
  const { values, positionals } = parse(args)
  const [name = "full", ...rest] = positionals
  if (rest.length > 0 || (name !== "quick" && name !== "full")) {
    throw new CodedError("bad-option", "the benchmark is `quick` or `full`")
  }
  const { only, rounds, seconds, out = defaultOut } = values
  const profile = shortened(PROFILES[name], {
    ...(rounds === undefined ? {} : { rounds: numberOf("rounds", rounds, /^[1-9]\d?$/) }),
    ...(seconds === undefined
      ? {}
      : { seconds: numberOf("seconds", seconds, /^(?!0+(\.0*)?$)\d+(\.\d+)?$/) }),
  })
  const sections = only === undefined ? profile.sections : only.split(",").map(sectionOf)
  return { profile, sections, out }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        only: { type: "string" },
        rounds: { type: "string" },
        seconds: { type: "string" },
        out: { type: "string" },
      },
    })
  } catch (cause) {
    throw new CodedError("bad-option", (cause as Error).message, { cause })
  }
}

function sectionOf(text: string): Section {
  const found = SECTIONS.find((section) => section === text)
  if (found !== undefined) return found
  throw new CodedError("bad-option", `${text} is none of ${SECTIONS.join(", ")}`)
}

function numberOf(option: string, text: string, allowed: RegExp): number {
  if (allowed.test(text)) return Number(text)
  throw new CodedError("bad-option", `--${option} takes a number above 0, not ${text}`)
}
