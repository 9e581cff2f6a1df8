/** The handshakes as a picture for the README: bars of throughput, relative to the key file's. */
import type { ContenderName, Report, Result } from "./schema.js"

const LABELS: Readonly<Partial<Record<ContenderName, string>>> = {
  "key-file": "key file",
  "tlskeep-engine": "tlskeep, engine",
  "tlskeep-provider": "tlskeep, provider",
  "softhsm-p11-kit": "SoftHSM over p11-kit",
  softhsm: "SoftHSM in process",
}
const COLOURS: Readonly<Partial<Record<ContenderName, string>>> = {
  "key-file": "#8c959f",
  "tlskeep-engine": "#1a7f37",
  "tlskeep-provider": "#4ac26b",
  "softhsm-p11-kit": "#bf8700",
  softhsm: "#d4a72c",
}

const WIDTH = 720
const LEFT = 170
const RIGHT = 130
const BAR = 18
const GAP = 6
const TITLE = 30

/** SVG of the cases with the most clients, TLS 1.3, one group of bars for each kind of key. */
export function renderChart({ results }: Pick<Report, "results">): string {
  const shown = results.filter(
    ({ section, protocol }) => section === "handshakes" && protocol === "TLS1.3",
  )
  const clients = Math.max(0, ...shown.map((one) => one.clients))
  const groups = groupByKey(shown.filter((one) => one.clients === clients))
  const largest = Math.max(1, ...shown.map(({ ratio }) => ratio.max))
  let y = 10
  const parts: string[] = []
  for (const [key, rows] of groups) {
    y += TITLE
    const title = `${key}: full TLS 1.3 handshakes per second, ${clients} clients`
    parts.push(text(10, y - 12, title, 'font-weight="600"'))
    for (const row of rows) {
      parts.push(...bar(row, y, largest))
      y += BAR + GAP
    }
  }
  const font = 'font-family="system-ui, sans-serif" font-size="13"'
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 10}" ${font} role="img">`,
    `<title>Full TLS handshakes, to those with a key file</title>`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n")
}

function groupByKey(results: readonly Result[]): [string, Result[]][] {
  const groups = new Map<string, Result[]>()
  for (const result of results) groups.set(result.key, [...(groups.get(result.key) ?? []), result])
  return [...groups]
}

/** A bar as long as the median of the ratios, and a line from the least of them to the largest. */
function bar({ contender, ratio, per_second }: Result, y: number, largest: number): string[] {
  const scale = (WIDTH - LEFT - RIGHT) / largest
  const length = (value: number) => (value * scale).toFixed(1)
  const middle = y + BAR / 2
  const x = (value: number) => (LEFT + value * scale).toFixed(1)
  const percent = `${Math.round(ratio.median * 100)} % · ${Math.round(per_second)}/s`
  return [
    text(LEFT - 8, middle + 4, LABELS[contender] ?? contender, 'text-anchor="end"'),
    `<rect x="${LEFT}" y="${y}" width="${length(ratio.median)}" height="${BAR}" fill="${COLOURS[contender] ?? "#8c959f"}"/>`,
    `<line x1="${x(ratio.min)}" y1="${middle}" x2="${x(ratio.max)}" y2="${middle}" stroke="#24292f"/>`,
    text(LEFT + Math.max(ratio.median, ratio.max) * scale + 8, middle + 4, percent),
  ]
}

function text(x: number, y: number, content: string, attributes = ""): string {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
  return `<text x="${x.toFixed(1)}" y="${y}" fill="#24292f" ${attributes}>${escaped}</text>`
}
