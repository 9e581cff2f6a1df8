/** The kernel's source of random numbers, as sysfs tells it: the NSM's, or the enclave does not serve. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { requireNsmEntropy } from "../../enclave/nsm/index.js"

const dir = await mkdtemp(join(tmpdir(), "entropy-"))
afterAll(() => rm(dir, { recursive: true }))
const file = join(dir, "rng_current")

describe("requireNsmEntropy", () => {
  it("is content with the NSM", async () => {
    await writeFile(file, "nsm-hwrng\n")
    await expect(requireNsmEntropy(file)).resolves.toBeUndefined()
  })

  it.each(["virtio_rng.0\n", "none\n", "\n", "nsm-hwrng-not\n", "tpm-rng nsm-hwrng\n"])(
    "refuses %j",
    async (content) => {
      await writeFile(file, content)
      await expect(requireNsmEntropy(file)).rejects.toMatchObject({ code: "entropy-source" })
    },
  )

  it("refuses a kernel that has no such source", async () => {
    await expect(requireNsmEntropy(join(dir, "absent"))).rejects.toMatchObject({
      code: "entropy-source",
    })
  })
})
