/** The rules on who may import whom bite: the linter is shown a tree of offending files. */
import { spawnSync } from "node:child_process"
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const ROOT = join(import.meta.dirname, "../..")
const RULE = "lint/style/noRestrictedImports"

const FORBIDDEN: Record<string, string[]> = {
  shared: ["enclave/run", "parent/errors", "native/addon/index", "sim/ca", "test/shared/codes"],
  enclave: ["parent/errors", "sim/nsm/index", "test/shared/codes"],
  parent: ["enclave/run", "sim/ca", "test/shared/codes"],
  native: [
    "shared/errors",
    "enclave/run",
    "parent/errors",
    "sim/ca",
    "bench/run",
    "test/shared/codes",
  ],
  sim: ["parent/errors", "bench/run", "test/shared/codes"],
}
const ALLOWED: Record<string, string[]> = {
  enclave: ["shared/errors", "native/addon/index", "enclave/run"],
  parent: ["shared/errors", "native/addon/index", "parent/errors"],
  sim: ["shared/errors", "enclave/nsm/index", "native/addon/index", "sim/ca"],
}
/** Every way in which the enclave could take simulator code in. */
const WAYS: Record<string, string> = {
  "a type": 'import type { X } from "../sim/ca.js"\nexport type Y = X\n',
  "its effects": 'import "../sim/ca.js"\n',
  "an export": 'export { x } from "../sim/ca.js"\n',
  "an export of all": 'export * from "../sim/ca.js"\n',
  "an import at run time": 'await import("../sim/ca.js")\n',
}

/** A file for each pair, one in the folder itself and one deeper: path → source. */
function filesOf(table: Record<string, string[]>, name: string): [string, string][] {
  return Object.entries(table).flatMap(([folder, targets]) =>
    targets.flatMap((target, at): [string, string][] =>
      ["", "deep/"].map((deep) => {
        const up = deep === "" ? ".." : "../.."
        const source = `import { x } from "${up}/${target}.js"\nx()\n`
        return [`${folder}/${deep}${name}-${at}.ts`, source]
      }),
    ),
  )
}

const forbidden = filesOf(FORBIDDEN, "forbidden")
const allowed = filesOf(ALLOWED, "allowed")
const ways = Object.entries(WAYS).map(([how, source], at): [string, string, string] => [
  how,
  `enclave/way-${at}.ts`,
  source,
])

let dir: string
let refused: Set<string>
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "imports-"))
  for (const file of ["biome.json", ".gitignore"]) copyFileSync(join(ROOT, file), join(dir, file))
  const files = [...forbidden, ...allowed, ...ways.map(([, path, source]) => [path, source])]
  for (const [path = "", source = ""] of files) {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), source)
  }
  const { stdout } = spawnSync(
    join(ROOT, "node_modules/.bin/biome"),
    ["lint", "--reporter=rdjson", "--max-diagnostics=none", "."],
    { cwd: dir, encoding: "utf8" },
  )
  const { diagnostics } = JSON.parse(stdout) as {
    diagnostics: { code: { value: string }; location: { path: string } }[]
  }
  const offending = diagnostics.filter(({ code }) => code.value === RULE)
  refused = new Set(offending.map(({ location }) => location.path.replace(/^\.\//, "")))
})
afterAll(() => rmSync(dir, { recursive: true }))

describe("the linter", () => {
  it.each(forbidden)("refuses %s: %s", (path) => {
    expect([...refused]).toContain(path)
  })

  it.each(allowed)("lets %s: %s", (path) => {
    expect([...refused]).not.toContain(path)
  })

  it.each(ways)("refuses the enclave %s of the simulator's", (_how, path) => {
    expect([...refused]).toContain(path)
  })
})
