/**
 * The key is nowhere on the host: not in a file that the system wrote, not in the memory of a
 * process, not in the bytes that crossed the vsock ports and the relay to KMS. The same search finds
 * it in the enclave's process.
 */
import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Deployment } from "../../sim/testbed/deployment.js"
import { type Needle, needlesOf } from "../../sim/testbed/key-material.js"
import { searchFiles, searchMemory } from "../../sim/testbed/key-search.js"
import { Testbed } from "../../sim/testbed/testbed.js"

describe.each(["RSA-2048", "P-256"] as const)("%s", (keyType) => {
  let testbed: Testbed
  let deployment: Deployment
  let needles: Needle[]
  beforeAll(async () => {
    testbed = await Testbed.up({ record: true })
    deployment = await Deployment.create(testbed, { name: "custody", keyType, binding: "engine" })
    needles = needlesOf(deployment.web.privateKey)
    // Every worker has signed, and the agent has been round once more.
    await deployment.load(200)
  }, 90_000)
  afterAll(() => testbed?.down(), 60_000)

  test("it is in none of the host's processes", async () => {
    const { kms: _standsForAws, ...services } = testbed.awsPids
    const apache = await deployment.apache.pids()
    expect(apache.length).toBeGreaterThan(1)
    expect(Object.keys(services).sort()).toEqual(["iam", "imds", "s3", "up", "vsock-proxy"])
    const hosts = { ...services, agent: deployment.agent.pid, vmm: testbed.vmmPids[0] ?? -1 }
    for (const pid of [...Object.values(hosts), ...apache]) {
      const { findings, bytes } = searchMemory(pid, needles)
      expect(findings).toEqual([])
      expect(bytes).toBeGreaterThan(1_000_000)
    }
  }, 120_000)

  test("it is in the enclave's process, where the same search finds it", () => {
    const [enclave = -1] = testbed.enclavePids
    const { findings } = searchMemory(enclave, needles)
    expect(findings.map(({ what }) => what).join()).toContain("private scalar")
    if (keyType === "RSA-2048") expect(findings.map(({ what }) => what).join()).toContain("prime")
  }, 60_000)

  test("it is in no file and did not cross the vsock", async () => {
    const record = join(testbed.info.dir, "record")
    const recorded = readdirSync(record)
    for (const port of ["9999", "10000", "8000"]) {
      const file = recorded.find((name) => name.endsWith(`_${port}.bin`))
      expect(file, `recording of port ${port}`).toBeDefined()
      expect(statSync(join(record, file ?? "")).size).toBeGreaterThan(500)
    }
    const { findings, bytes } = await searchFiles(testbed.dir, needles)
    expect(findings).toEqual([])
    expect(bytes).toBeGreaterThan(100_000)
  }, 60_000)
})
