/** The simulator's PKI: shaped as the real one, saved and loaded without losing its identity. */
import { createHash, X509Certificate } from "node:crypto"
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { verifyChain } from "../../shared/attestation/chain.js"
import { createNitroPki, loadNitroPki, ROOT_FINGERPRINT_FILE } from "../../sim/nsm/index.js"

const MODULE_ID = "i-0123456789abcdef0-enc0123456789abcdef"
const DAY_MS = 86_400_000

let dir: string

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "nitro-pki-"))
})

afterEach(async () => {
  await rm(dir, { recursive: true, force: true })
})

test("a path has the names, lifetimes and order of a real one", async () => {
  const now = new Date()
  const pki = await createNitroPki(dir, now)
  const leaf = await pki.issueLeaf(MODULE_ID, now)
  const path = [...leaf.cabundle, leaf.certificate].map((der) => new X509Certificate(der))
  const days = path.map(
    ({ validFrom, validTo }) => (Date.parse(validTo) - Date.parse(validFrom)) / DAY_MS,
  )
  expect(days).toEqual([30 * 365, 20, 6, 1, 0.125])
  expect(path.map(({ ca }) => ca)).toEqual([true, true, true, true, false])
  const commonNames = path.map(({ subject }) => /CN=([^\n]*)/.exec(subject)?.[1])
  expect(commonNames).toEqual([
    "aws.nitro-enclaves",
    expect.stringMatching(/^[0-9a-f]{16}\.us-east-1\.aws\.nitro-enclaves$/),
    expect.stringMatching(/^[0-9a-f]{16}\.zonal\.us-east-1\.aws\.nitro-enclaves$/),
    "i-0123456789abcdef0.us-east-1.aws.nitro-enclaves",
    `${MODULE_ID}.us-east-1.aws`,
  ])
  expect(path[0]?.subject).toBe("C=US\nO=Amazon\nOU=AWS\nCN=aws.nitro-enclaves")
  expect(path[4]?.subject).toMatch(/^C=US\nST=Washington\nL=Seattle\nO=Amazon\nOU=AWS\nCN=/)
})

test("what is saved is loaded: the same root, and paths under it", async () => {
  const created = await createNitroPki(dir)
  const loaded = await loadNitroPki(dir)
  expect(loaded.rootFingerprint).toBe(created.rootFingerprint)
  const now = new Date()
  for (const pki of [created, loaded]) {
    const leaf = await pki.issueLeaf(MODULE_ID, now)
    const { rootFingerprint } = created
    verifyChain(leaf.cabundle, leaf.certificate, { rootFingerprint, now })
  }
})

test("the folder holds the fingerprint for verifiers, and the key for its owner only", async () => {
  const pki = await createNitroPki(join(dir, "new", "folder"))
  const at = (name: string) => join(dir, "new", "folder", name)
  expect((await readdir(at("."))).sort()).toEqual(["root.key", "root.pem", "root.sha256"])
  expect(await readFile(at(ROOT_FINGERPRINT_FILE), "utf8")).toBe(`${pki.rootFingerprint}\n`)
  const root = new X509Certificate(await readFile(at("root.pem")))
  expect(createHash("sha256").update(root.raw).digest("hex")).toBe(pki.rootFingerprint)
  expect((await stat(at("root.key"))).mode & 0o777).toBe(0o600)
})

test("a root is never overwritten", async () => {
  const pki = await createNitroPki(dir)
  await expect(createNitroPki(dir)).rejects.toMatchObject({ code: "EEXIST" })
  expect((await loadNitroPki(dir)).rootFingerprint).toBe(pki.rootFingerprint)
})

test("loading from an empty folder fails with the system's error", async () => {
  await expect(loadNitroPki(dir)).rejects.toMatchObject({ code: "ENOENT" })
})
