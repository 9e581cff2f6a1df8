/**
 * The compatibility table: every consumer's row, and tests that belong to a row. A row's own test file
 * fails if a row that claims to have been tried was not.
 */
import { existsSync, readFileSync } from "node:fs"
import { execa } from "execa"
import { expect, test } from "vitest"
import { z } from "zod"

const rowSchema = z.strictObject({
  id: z.string(),
  consumer: z.string(),
  /** Debian's package, or npm's. */
  package: z.string(),
  /** Prints the version that is installed. */
  version_command: z.array(z.string()).min(1),
  /** Version that the row speaks of, without what updates of Debian change. */
  version: z.string(),
  how: z.string(),
  result: z.enum(["works", "partly", "does not work"]),
  note: z.string().optional(),
  /** Test file in this folder that tries it. */
  file: z.string(),
  /** The row is tried only where this file is installed. */
  requires: z.string().optional(),
})

export type Row = z.output<typeof rowSchema>

export const ROWS: readonly Row[] = z
  .array(rowSchema)
  .parse(JSON.parse(readFileSync(new URL("table.json", import.meta.url), "utf8")))

/** @throws RangeError for an id that the table does not have. */
export function rowOf(id: string): Row {
  const row = ROWS.find((each) => each.id === id)
  if (row === undefined) throw new RangeError(`table.json has no row "${id}"`)
  return row
}

/** The rows that one test file tries. */
export class Trial {
  readonly #file: string
  readonly #tried = new Set<string>()

  /** @param file - the test file's name, as the rows give it */
  constructor(file: string) {
    this.#file = file
  }

  /** Declares a test of a row of this file; skipped where what it requires is not installed. */
  test(id: string, name: string, body: (row: Row) => Promise<void>, timeoutMs?: number): void {
    const row = rowOf(id)
    const test_ = test.skipIf(row.requires !== undefined && !existsSync(row.requires))
    test_(
      `${row.consumer}, ${row.how}: ${name}`,
      async () => {
        expect(row.file, `table.json says where ${id} is tried`).toBe(this.#file)
        await body(row)
        this.#tried.add(id)
      },
      timeoutMs,
    )
  }

  /** Declares the tests that close the file: each row was tried, in the version that it names. */
  finish(): void {
    const rows = ROWS.filter(
      ({ file, requires }) =>
        file === this.#file && (requires === undefined || existsSync(requires)),
    )
    test("every row of the table that names this file was tried in it", () => {
      expect([...this.#tried].sort()).toEqual(rows.map(({ id }) => id).sort())
    })
    test.each(rows)("$id is version $version", async ({ version_command, version }) => {
      const [command = "", ...args] = version_command
      const { all } = await execa(command, args, { all: true, reject: false })
      const versions = all.match(/\d+(\.\d+)+/g) ?? []
      const same = versions.some((found) => `${found}.`.startsWith(`${version}.`))
      expect(same, `${version_command.join(" ")} says ${versions.slice(0, 3).join(", ")}`).toBe(
        true,
      )
    })
  }
}
