/** What a configuration comes to, for the person who wrote it and for programs; without PINs. */
import type { Config, OptionsConfig, SourceConfig, TokenConfig } from "./config.js"

/** Stands for a PIN that is configured. */
export const HIDDEN_PIN = "(hidden)"

/** Columns of a terminal, and of the titles at its left. */
const WIDTH = 80
const TITLE_WIDTH = 9

/** The configuration with {@link HIDDEN_PIN} in place of every PIN. */
export function withoutPins(config: Config): Config {
  const tokens = config.tokens.map((token) =>
    token.pin === undefined ? token : { ...token, pin: HIDDEN_PIN },
  )
  return { ...config, tokens }
}

/** One line a thing, grouped by section; ends without a line break. */
export function summaryOf(config: Config, file: string): string {
  const { enclave, options, aws, metrics, tokens, notices } = config
  const lines = [
    `${file}: ${count(tokens.length, "token")} for ${options.service}`,
    "",
    line(
      "enclave",
      `${enclave.name}: ${count(enclave.cpu_count, "vCPU")}, ${enclave.memory_mib} MiB`,
    ),
    line("", enclave.image_path),
    ...optional("", "PCR0 ", enclave.expected_pcr0),
    line("server", serverOf(options)),
    ...(["test", "reload", "start"] as const).flatMap((step) =>
      optional("", `${step} by `, options[`${step}_command`]?.join(" ")),
    ),
    line("", `keys by ${options.key_syntax}, PINs by ${options.pin_delivery}`),
    line("sources", `looked at every ${duration(options.sync_interval_secs)}`),
    line("region", aws.region ?? "of the environment or the instance"),
    ...optional("role", "", aws.role_arn),
    line("metrics", metrics?.listen ?? "none"),
    line("log", config.log.level),
    ...tokens.flatMap(tokenLines),
    ...(notices.length === 0 ? [] : [""]),
    ...notices.flatMap(({ where, text }) => [
      line("notice", where),
      ...wrapped(text).map((part) => line("", part)),
    ]),
  ]
  return lines.join("\n")
}

function tokenLines({ label, pin, source, target, refresh_interval_secs }: TokenConfig): string[] {
  const { path, user, group, listener } = target
  const sni = listener?.server_name === undefined ? "" : ` as ${listener.server_name}`
  return [
    "",
    line("token", label),
    line("source", sourceOf(source)),
    ...optional("", "entry ", source.kind === "FileDb" ? source.id : undefined),
    ...optional("", "certificate ", source.kind === "FileDb" ? source.certificate_path : undefined),
    ...optional("", "under ", source.kms_key_id),
    line("target", `${target.kind} ${path}`),
    line("", `of ${user}:${group}`),
    ...optional("", "seen at ", listener && `${listener.address}${sni}`),
    line("PIN", pin === undefined ? "made at random" : "configured"),
    line("attested", `every ${duration(refresh_interval_secs)}`),
  ]
}

function line(title: string, text: string): string {
  return `${title.padEnd(TITLE_WIDTH)}${text}`
}

function optional(title: string, before: string, text: string | undefined): string[] {
  return text === undefined ? [] : [line(title, `${before}${text}`)]
}

function serverOf({ service, unit, force_start, reload_wait_ms }: OptionsConfig): string {
  const named = unit === undefined ? service : `${service}, unit ${unit}`
  const start = force_start ? "started if it does not run" : "not started"
  return `${named}, ${start}, ${reload_wait_ms} ms for a reload`
}

function sourceOf(source: SourceConfig): string {
  switch (source.kind) {
    case "Acm":
      return `Acm ${source.certificate_arn}`
    case "S3":
      return `S3 ${source.uri}`
    case "FileDb":
      return `FileDb ${source.path}`
  }
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`
}

/** Words in lines of no more than the width leaves; a longer word has a line of its own. */
function wrapped(text: string): string[] {
  const lines: string[] = []
  let last = ""
  for (const word of text.split(" ")) {
    const longer = last === "" ? word : `${last} ${word}`
    if (last !== "" && longer.length > WIDTH - TITLE_WIDTH) {
      lines.push(last)
      last = word
    } else last = longer
  }
  return [...lines, last]
}

/** `12 h`, `10 min`, `90 s`: the largest unit that it is a whole number of. */
function duration(seconds: number): string {
  if (seconds % 3_600 === 0) return `${seconds / 3_600} h`
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`
}
