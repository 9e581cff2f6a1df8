/** The troubleshooting page names every finding of doctor's, and none that there is not; so does the code. */
import { execFileSync } from "node:child_process"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, it } from "vitest"
import { parseConfig } from "../../parent/config/load.js"
import { COMMON_FINDINGS, FINDINGS } from "../../parent/doctor/finding.js"

const ROOT = fileURLToPath(new URL("../..", import.meta.url))
const CODES: readonly string[] = [...Object.values(FINDINGS).flat(), ...COMMON_FINDINGS]

it("has each code once", () => {
  expect(new Set(CODES).size).toBe(CODES.length)
})

it("explains every finding, by symptom", async () => {
  const page = await readFile(join(ROOT, "docs/troubleshooting.md"), "utf8")
  const rows = page
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.includes("doctor says"))
  const named = rows.flatMap((row) => {
    // Bars within code are not used on the page.
    const [, , says = "", helps = ""] = row.split("|")
    if (helps === "") return []
    expect(helps.trim(), row).not.toBe("")
    return [...says.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code)
  })
  expect([...new Set(named)].sort()).toEqual([...CODES].sort())
})

it("reports every code from its own check", async () => {
  const files = await readdir(join(ROOT, "parent/doctor/checks"))
  const sources = await Promise.all(
    files.map((file) => readFile(join(ROOT, "parent/doctor/checks", file), "utf8")),
  )
  for (const [check, codes] of Object.entries(FINDINGS)) {
    const source = sources.find((text) => text.includes(`new Reporter("${check}")`)) ?? ""
    expect(source, check).not.toBe("")
    for (const code of codes) expect(source, `${check}: ${code}`).toContain(`"${code}"`)
  }
})

it.each(["docs/ec2.md", "docs/troubleshooting.md"])(
  "%s links to headings that are there",
  async (page) => {
    const text = await readFile(join(ROOT, page), "utf8")
    const links = [...text.matchAll(/\]\(([^)#\s]*)(?:#([^)\s]+))?\)/g)]
    expect(links.length).toBeGreaterThan(0)
    for (const [, file = "", anchor] of links) {
      const target = file === "" ? text : await readFile(join(ROOT, "docs", file), "utf8")
      if (anchor !== undefined) expect(anchorsOf(target), page).toContain(anchor)
    }
  },
)

it("shows how the agent is configured as the agent takes it", async () => {
  const text = await readFile(join(ROOT, "docs/ec2.md"), "utf8")
  const [, yaml = ""] = /tlskeep\.yaml >\/dev\/null <<YAML\n(.*?)\nYAML/s.exec(text) ?? []
  const filled = yaml
    .replace(/\$\(sed .*\)/, "ab".repeat(48))
    .replaceAll("0aa1b2c3-…", "0aa1b2c3-0000-4000-8000-000000000000")
  const config = parseConfig(filled, "docs/ec2.md")
  expect(config.notices).toEqual([])
  expect(config.tokens[0]?.target.listener?.address).toBe("localhost:443")
  const [s3 = ""] = /^ {4}source:\n {6}S3:\n(?: {8}.*\n)+/m.exec(text) ?? []
  const ownKey = filled
    .replace(/^ {4}source:\n {6}Acm:.*\n/m, s3)
    .replaceAll("1234abcd-…", "1234abcd-0000-4000-8000-000000000000")
  expect(parseConfig(ownKey, "docs/ec2.md").tokens[0]?.source).toMatchObject({ kind: "S3" })
})

it("prints policies that are JSON, once the shell has filled the names in", async () => {
  const text = await readFile(join(ROOT, "docs/ec2.md"), "utf8")
  const measurements = JSON.stringify({ Measurements: { PCR0: "ab".repeat(48) } }, null, 2)
  const [, extract = ""] = /^pcr0=\$\((sed .*) tlskeep\.pcrs\.json\)$/m.exec(text) ?? []
  const pcr0 = shell(extract, {}, measurements).trim()
  expect(pcr0).toBe("ab".repeat(48))
  const key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"
  const env = { AWS_REGION: "eu-west-1", bucket: "b", object: "o", role: "r", me: "m", key, pcr0 }
  const documents = [...text.matchAll(/^cat >\S+ (<<'?JSON'?\n.*?\nJSON)$/gms)].map(
    ([, heredoc = ""]) => JSON.parse(shell(`cat ${heredoc}`, env)),
  )
  expect(documents).toHaveLength(4)
  const statements = documents.flatMap(({ Statement }) => Statement)
  const decrypting = statements.filter(({ Action }) => Action === "kms:Decrypt")
  expect(decrypting.map(({ Resource }) => Resource)).toEqual([
    "arn:aws:kms:eu-west-1:*:key/1234abcd",
    "*",
    key,
  ])
  // With a key of one's own nothing decrypts without attestation.
  for (const { Condition } of decrypting.slice(1)) {
    expect(Condition.StringEqualsIgnoreCase["kms:RecipientAttestation:ImageSha384"]).toBe(pcr0)
  }
})

function shell(script: string, env: Record<string, string>, input = ""): string {
  const PATH = process.env.PATH ?? ""
  return execFileSync("sh", ["-c", script], { env: { PATH, ...env }, input, encoding: "utf8" })
}

/** As GitHub makes them of headings. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  )
}
