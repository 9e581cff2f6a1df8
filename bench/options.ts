/** The command line of the benchmark. */
import { parseArgs } from "node:util"
import { CodedError } from "../shared/errors.js"
import { PROFILES, type ProfileName, SECTIONS, type Section } from "./profile.js"

export interface Options {
  profile: ProfileName
  /** The profile's unless some are named. */
  sections: readonly Section[]
  /** Folder for `latest.json` and `latest.svg`. */
  out: string
}

/**
 * `[quick|full] [--only SECTION,…] [--out DIR]`.
 *
 * @throws CodedError `bad-option`
 */
export function parseOptions(args: readonly string[], defaultOut: string): Options {
  const { values, positionals } = parse(args)
  const [profile = "full", ...rest] = positionals
  if (rest.length > 0 || (profile !== "quick" && profile !== "full")) {
    throw new CodedError("bad-option", "the benchmark is `quick` or `full`")
  }
  const sections =
    values.only === undefined ? PROFILES[profile].sections : values.only.split(",").map(sectionOf)
  return { profile, sections, out: values.out ?? defaultOut }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { only: { type: "string" }, out: { type: "string" } },
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
