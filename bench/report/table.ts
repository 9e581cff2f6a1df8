/** The report as tables for a terminal. */
import stringWidth from "string-width"
import type { Report, Result } from "./schema.js"

type Cell = string
type Align = "left" | "right"

/** Everything that a run measured, a table for each kind of figure. */
export function renderReport(report: Report): string {
  const parts = [
    ...casesOf(report.results).map(([name, results]) => renderCase(name, results)),
    section(
      "Round trips per handshake",
      ["contender", "key", "protocol", "round trips"],
      [
        ...report.round_trips.map(({ contender, key, protocol, round_trips_per_handshake }) => [
          ...[contender, key, protocol, decimals(round_trips_per_handshake, 2)],
        ]),
      ],
    ),
    section(
      "Scale",
      [
        ...["with", "per second", "ratio", "CPU µs/op", "p50 µs", "p99 µs", "enclave MiB"],
        "module KiB",
      ],
      report.scale.map((one) => [
        `${one.value} ${one.value === 1 ? one.what.slice(0, -1) : one.what}`,
        whole(one.per_second),
        decimals(one.ratio, 2),
        whole(one.cpu_us_per_op),
        whole(one.p50_us),
        whole(one.p99_us),
        whole(one.enclave_rss_mib),
        whole(one.module_private_kib),
      ]),
    ),
    section(
      "Memory",
      ["process", "RSS MiB", "private MiB", "PSS MiB"],
      report.memory.map(({ process, rss_mib, private_mib, pss_mib }) => [
        ...[process, decimals(rss_mib, 1), decimals(private_mib, 2), decimals(pss_mib, 2)],
      ]),
    ),
    section(
      "Start",
      ["from", "ms", "min", "max"],
      report.startup.map(({ figure, milliseconds: { median, min, max } }) => [
        ...[figure, decimals(median, 2), decimals(min, 2), decimals(max, 2)],
      ]),
    ),
    section(
      "Instructions per signature",
      ["contender", "key", "process", "by", "instructions"],
      report.instructions.map((one) => [
        ...[one.contender, one.key, one.process, one.by, whole(one.instructions_per_op)],
      ]),
    ),
    section(
      "Targets",
      ["figure", "target", "measured", ""],
      report.targets.map(({ figure, target, measured, met }) => [
        figure,
        target,
        measured === null ? "–" : decimals(measured, 2),
        met === null ? "not measured" : met ? "met" : "MISSED",
      ]),
    ),
  ]
  return parts.filter((part) => part !== "").join("\n\n")
}

/** Columns as wide as their widest cell; all but the first are numbers unless a cell is not. */
export function renderTable(head: readonly Cell[], rows: readonly (readonly Cell[])[]): string {
  const all = [head, ...rows]
  const widths = head.map((_, column) =>
    Math.max(...all.map((row) => stringWidth(row[column] ?? ""))),
  )
  const aligns: Align[] = head.map((_, column) =>
    column > 0 && rows.every((row) => /^[-–]?[0-9.,±%]*$/.test(row[column] ?? ""))
      ? "right"
      : "left",
  )
  const line = (row: readonly Cell[]) =>
    row
      .map((cell, column) => pad(cell, widths[column] ?? 0, aligns[column] ?? "left"))
      .join("  ")
      .trimEnd()
  const rule = widths.map((width) => "─".repeat(width)).join("  ")
  return [line(head), rule, ...rows.map(line)].join("\n")
}

function renderCase(name: string, results: readonly Result[]): string {
  return section(
    name,
    [
      "contender",
      "per second",
      "min",
      "max",
      "ratio",
      "p50 µs",
      "p95 µs",
      "p99 µs",
      "CPU µs/op",
      "per CPU s",
      "CPU ratio",
      "idle %",
    ],
    results.map((one) => [
      one.contender,
      whole(one.per_second),
      whole(Math.min(...one.per_second_rounds)),
      whole(Math.max(...one.per_second_rounds)),
      decimals(one.ratio.median, 2),
      orDash(one.p50_us, whole),
      orDash(one.p95_us, whole),
      orDash(one.p99_us, whole),
      orDash(one.cpu_us_per_op, whole),
      orDash(one.per_cpu_second, whole),
      orDash(one.cpu_ratio, ({ median }) => decimals(median, 2)),
      orDash(one.idle_share, (share) => decimals(share * 100, 0)),
    ]),
  )
}

/** In the order in which they were measured. */
export function casesOf(results: readonly Result[]): [string, Result[]][] {
  const cases = new Map<string, Result[]>()
  for (const result of results) {
    cases.set(result.name, [...(cases.get(result.name) ?? []), result])
  }
  return [...cases]
}

function section(title: string, head: readonly Cell[], rows: readonly (readonly Cell[])[]): string {
  return rows.length === 0 ? "" : `${title}\n${renderTable(head, rows)}`
}

function pad(cell: Cell, width: number, align: Align): string {
  const space = " ".repeat(width - stringWidth(cell))
  return align === "right" ? space + cell : cell + space
}

function orDash<Value>(value: Value | null, format: (value: Value) => string): string {
  return value === null ? "–" : format(value)
}

/** With a decimal below ten, where it matters. */
function whole(value: number): string {
  return value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en")
}

function decimals(value: number, digits: number): string {
  return value.toFixed(digits)
}
