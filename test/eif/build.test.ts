/** Builds images and compares them, byte for byte, with those of the reference builder in Python. */
import { appendFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { buildEif } from "../../parent/eif/build.js"
import { readEif } from "../../parent/eif/read.js"
import { buildByReference, makeInputs, testFolder } from "./images.js"

const dir = await testFolder()

async function folder(name: string): Promise<string> {
  const path = join(dir, name)
  await mkdir(path)
  return path
}

describe("buildEif", () => {
  it.each([
    ["one ramdisk", { ramdiskBytes: [4_096] }],
    ["two ramdisks", { ramdiskBytes: [1, 30_003] }],
    ["more than one chunk", { kernelBytes: 2_500_001, ramdiskBytes: [1_048_576, 1_048_577, 7] }],
    ["as many ramdisks as there is room for", { ramdiskBytes: Array(29).fill(100) as number[] }],
  ])("writes the reference builder's bytes: %s", async (name, lengths) => {
    const at = await folder(name.replaceAll(" ", "-"))
    const inputs = await makeInputs(at, lengths)
    const reference = await buildByReference(at, inputs)
    const measurements = await buildEif(inputs, join(at, "image.eif"))
    expect((await readFile(join(at, "image.eif"))).equals(reference.bytes)).toBe(true)
    expect(measurements).toEqual({ HashAlgorithm: "Sha384 { ... }", ...reference.pcrs })
  })

  it("marks an image for aarch64", async () => {
    const at = await folder("aarch64")
    const inputs = { ...(await makeInputs(at)), architecture: "aarch64" as const }
    const { bytes } = await buildByReference(at, inputs)
    await buildEif(inputs, join(at, "image.eif"))
    expect((await readFile(join(at, "image.eif"))).equals(bytes)).toBe(true)
    expect((await readEif(join(at, "image.eif"))).architecture).toBe("aarch64")
  })

  it("has PCR2 of nothing without a second ramdisk, as published images of one ramdisk have", async () => {
    const at = await folder("known-pcr2")
    const { PCR2 } = await buildEif(
      await makeInputs(at, { ramdiskBytes: [10] }),
      join(at, "image.eif"),
    )
    expect(PCR2).toBe(
      "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a",
    )
  })

  it("is read back as it was built", async () => {
    const at = await folder("round-trip")
    const inputs = await makeInputs(at)
    const measurements = await buildEif(inputs, join(at, "image.eif"))
    expect(await readEif(join(at, "image.eif"))).toMatchObject({
      version: 4,
      architecture: "x86_64",
      defaultMemory: 1_073_741_824n,
      defaultCpus: 2n,
      cmdline: "reboot=k panic=-1 pci=off",
      isCrcRight: true,
      signature: null,
      metadata: inputs.metadata,
      measurements,
      sections: [
        { kind: "kernel", size: 70_001 },
        { kind: "cmdline", size: 25 },
        { kind: "metadata" },
        { kind: "ramdisk", size: 5_000 },
        { kind: "ramdisk", size: 30_003 },
      ],
    })
  })

  it("refuses inputs that make no image, and leaves nothing behind", async () => {
    const at = await folder("refused")
    const inputs = await makeInputs(at)
    const empty = join(at, "empty")
    await writeFile(empty, "")
    const many = await makeInputs(at, { ramdiskBytes: Array(30).fill(1) as number[] })
    const before = await readdir(at)
    const output = join(at, "image.eif")
    const refusals = [
      ["input-unreadable", { ...inputs, kernel: join(at, "absent") }],
      ["input-unreadable", { ...inputs, ramdisks: [at] }],
      ["input-unreadable", { ...inputs, ramdisks: [empty] }],
      ["missing-section", { ...inputs, ramdisks: [] }],
      ["too-many-sections", many],
    ] as const
    for (const [code, refused] of refusals) {
      await expect(buildEif(refused, output)).rejects.toMatchObject({ code })
    }
    await expect(buildEif(inputs, join(at, "no", "folder.eif"))).rejects.toMatchObject({
      code: "output-failed",
    })
    expect(await readdir(at)).toEqual(before)
  })

  it("notices a file that changes while it is built in", async () => {
    const at = await folder("changing")
    const inputs = await makeInputs(at, { kernelBytes: 8_000_000 })
    const [, last = ""] = inputs.ramdisks
    // Each pass over the kernel takes many turns of the event loop, and reads the last ramdisk last.
    const growing = setInterval(() => void appendFile(last, "more"), 1)
    try {
      await expect(buildEif(inputs, join(at, "image.eif"))).rejects.toMatchObject({
        code: "input-changed",
      })
    } finally {
      clearInterval(growing)
    }
    expect(await readdir(at)).toEqual(["kernel", "ramdisk-0", "ramdisk-1"])
  })
})
