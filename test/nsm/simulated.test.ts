/** Contract of the simulated NSM: it answers as the device does, and its documents verify as real ones. */
import { createHash } from "node:crypto"
import { afterEach, describe, expect, test } from "vitest"
import { Nsm, NsmError } from "../../enclave/nsm/index.js"
import { decodeNsmCbor } from "../../shared/attestation/cbor.js"
import { isDebugDocument, verifyAttestationDocument } from "../../shared/attestation/index.js"
import { isCodedError } from "../../shared/errors.js"
import {
  makeRootAuthority,
  NitroPki,
  pcr3OfRole,
  pcr4OfInstance,
  pcrOfImage,
  SimulatedNsm,
  type SimulatedNsmOptions,
} from "../../sim/nsm/index.js"

const MODULE_ID = "i-0123456789abcdef0-enc0123456789abcdef"
const IMAGE_PCR = pcrOfImage(Buffer.from("kernel"), Buffer.from("ramdisk"))
const PCRS = new Map([
  [0, IMAGE_PCR],
  [4, pcr4OfInstance("i-0123456789abcdef0")],
])
const pki = new NitroPki(await makeRootAuthority())
const devices: SimulatedNsm[] = []

function simulate(options: Partial<SimulatedNsmOptions> = {}) {
  const device = new SimulatedNsm({ moduleId: MODULE_ID, pcrs: PCRS, pki, ...options })
  devices.push(device)
  return { device, nsm: new Nsm(device) }
}

afterEach(() => {
  for (const device of devices.splice(0)) device.close()
})

async function code(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error === undefined) return "accepted"
  if (error instanceof NsmError) return error.code
  throw error
}

const sha384 = (...parts: Uint8Array[]) =>
  new Uint8Array(createHash("sha384").update(Buffer.concat(parts)).digest())

describe("PCRs", () => {
  test("are 32, the first 16 locked, as measured at the start", async () => {
    const { nsm } = simulate()
    expect(await nsm.describe()).toEqual({
      versionMajor: 1,
      versionMinor: 0,
      versionPatch: 0,
      moduleId: MODULE_ID,
      maxPcrs: 32,
      lockedPcrs: Array.from({ length: 16 }, (_, index) => index),
      digest: "SHA384",
    })
    expect(await nsm.describePcr(0)).toEqual({ locked: true, value: new Uint8Array(IMAGE_PCR) })
    expect(await nsm.describePcr(15)).toEqual({ locked: true, value: new Uint8Array(48) })
    expect(await nsm.describePcr(16)).toEqual({ locked: false, value: new Uint8Array(48) })
  })

  test("are extended until they are locked", async () => {
    const { nsm } = simulate()
    const data = Uint8Array.of(1, 2, 3)
    const once = sha384(new Uint8Array(48), data)
    expect(await nsm.extendPcr(16, data)).toEqual(once)
    expect(await nsm.extendPcr(16, data)).toEqual(sha384(once, data))
    await nsm.lockPcr(16)
    expect(await code(nsm.extendPcr(16, data))).toBe("read-only-index")
    expect(await code(nsm.lockPcr(16))).toBe("read-only-index")
    expect(await nsm.describePcr(16)).toEqual({ locked: true, value: sha384(once, data) })
    expect(await code(nsm.extendPcr(0, data))).toBe("read-only-index")
    expect(await code(nsm.lockPcr(0))).toBe("read-only-index")
  })

  test("are locked by range, again and again", async () => {
    const { nsm } = simulate()
    await nsm.lockPcrs(20)
    expect((await nsm.describe()).lockedPcrs).toHaveLength(20)
    await nsm.lockPcrs(3)
    expect((await nsm.describe()).lockedPcrs).toHaveLength(20)
    await nsm.lockPcrs(32)
    expect((await nsm.describe()).lockedPcrs).toHaveLength(32)
  })

  test("of the start are checked: 0 to 15, 48 bytes", () => {
    expect(() => simulate({ pcrs: new Map([[16, Buffer.alloc(48)]]) })).toThrow(RangeError)
    expect(() => simulate({ pcrs: new Map([[0, Buffer.alloc(32)]]) })).toThrow(RangeError)
  })

  test("measure as AWS documents", () => {
    const zeros = Buffer.alloc(48)
    const contents = Buffer.from("kernelramdisk")
    expect(new Uint8Array(IMAGE_PCR)).toEqual(sha384(zeros, sha384(contents)))
    const arn = "arn:aws:iam::111122223333:role/keeper"
    expect(new Uint8Array(pcr3OfRole(arn))).toEqual(sha384(zeros, Buffer.from(arn)))
  })
})

test("random bytes are 256 and never the same", async () => {
  const { nsm } = simulate()
  const [one, other] = [await nsm.random(), await nsm.random()]
  expect(one).toHaveLength(256)
  expect(one).not.toEqual(other)
})

describe("the device", () => {
  const ask = async (hex: string) =>
    decodeNsmCbor(await simulate().device.transact(Buffer.from(hex, "hex")))
  const ascii = (text: string) => Buffer.from(text, "ascii").toString("hex")
  const error = (name: string) => new Map([["Error", name]])
  const index = (operation: string, head: string, value: string) =>
    `a1${head}${ascii(operation)}a165${ascii("index")}${value}`
  const attestation = (nonce: string, publicKey = "f6") =>
    `a16b${ascii("Attestation")}a369${ascii("user_data")}f665${ascii("nonce")}${nonce}6a${ascii("public_key")}${publicKey}`

  test("answers bare names for locks", async () => {
    expect(await ask(index("LockPCR", "67", "10"))).toBe("LockPCR")
    expect(await ask(`a168${ascii("LockPCRs")}a165${ascii("range")}1820`)).toBe("LockPCRs")
  })

  test("refuses by the device's codes", async () => {
    expect(await ask(index("DescribePCR", "6b", "1820"))).toEqual(error("InvalidIndex"))
    expect(await ask(index("LockPCR", "67", "190100"))).toEqual(error("InvalidIndex"))
    expect(await ask(index("LockPCR", "67", "00"))).toEqual(error("ReadOnlyIndex"))
    expect(await ask(index("DescribePCR", "6b", "20"))).toEqual(error("InvalidArgument"))
    expect(await ask(index("DescribePCR", "6b", "6130"))).toEqual(error("InvalidArgument"))
    expect(await ask(`a16b${ascii("DescribePCR")}a0`)).toEqual(error("InvalidArgument"))
    expect(await ask(`a168${ascii("LockPCRs")}a165${ascii("range")}1821`)).toEqual(
      error("InvalidArgument"),
    )
    expect(await ask(attestation("f5"))).toEqual(error("InvalidArgument"))
    expect(await ask(attestation("f6", "40"))).toEqual(error("InvalidArgument"))
    expect(await ask(attestation(`590201${"00".repeat(513)}`))).toEqual(error("InputTooLarge"))
    expect(await ask(attestation("f6", `590401${"00".repeat(1025)}`))).toEqual(
      error("InputTooLarge"),
    )
    expect(await ask(`64${ascii("Nope")}`)).toEqual(error("InvalidOperation"))
    expect(await ask("ff")).toEqual(error("InvalidArgument"))
    expect(await ask("")).toEqual(error("InvalidArgument"))
    expect(await ask("07")).toEqual(error("InvalidArgument"))
    expect(await ask("a0")).toEqual(error("InvalidArgument"))
  })

  test("fails as the driver does: too long a request, or closed", async () => {
    const { device, nsm } = simulate()
    await expect(device.transact(Buffer.alloc(4097))).rejects.toMatchObject({ code: "EMSGSIZE" })
    device.close()
    await expect(device.transact(Buffer.of(0))).rejects.toMatchObject({ code: "EBADF" })
    expect(await code(nsm.random())).toBe("device-failed")
  })
})

describe("attestation documents", () => {
  const { rootFingerprint } = pki

  test.each(["definite", "indefinite"] as const)("of %s form verify", async (payloadForm) => {
    const { nsm } = simulate({ payloadForm })
    const publicKey = Buffer.alloc(294, 1)
    const nonce = Buffer.alloc(32, 2)
    const document = await nsm.attest({ publicKey, nonce, userData: Buffer.of(3) })
    const verified = verifyAttestationDocument(document, {
      now: new Date(),
      rootFingerprint,
      maxAgeMs: 60_000,
      expectedPcrs: PCRS,
      expectedNonce: nonce,
    })
    expect(verified.moduleId).toBe(MODULE_ID)
    expect(verified.publicKey).toEqual(new Uint8Array(publicKey))
    expect(verified.userData).toEqual(Uint8Array.of(3))
    expect([...verified.pcrs.keys()]).toEqual(Array.from({ length: 16 }, (_, index) => index))
    expect(verified.cabundle).toHaveLength(4)
    expect(isDebugDocument(verified)).toBe(false)
  })

  test("look like real ones: envelope, field order, null for what is absent", async () => {
    const document = Buffer.from(await simulate().nsm.attest())
    expect(document.subarray(0, 8).toString("hex")).toBe("8444a1013822a059")
    expect(document[10]).toBe(0xbf)
    expect(document.subarray(-98, -96).toString("hex")).toBe("5860")
    expect(document.at(-99)).toBe(0xff)
    const payload = decodeNsmCbor(document.subarray(10, -98))
    expect(payload).toBeInstanceOf(Map)
    const fields = payload as ReadonlyMap<string, unknown>
    expect([...fields.keys()].join()).toBe(
      "module_id,digest,timestamp,pcrs,certificate,cabundle,public_key,user_data,nonce",
    )
    expect(fields.get("nonce")).toBeNull()
    expect(document.length).toBeGreaterThan(4000)
    expect(document.length).toBeLessThan(6000)
  })

  test("hold the other PCRs once they are locked", async () => {
    const { nsm } = simulate()
    const value = await nsm.extendPcr(17, Buffer.of(1))
    await nsm.lockPcr(17)
    const document = await nsm.attest()
    const { pcrs } = verifyAttestationDocument(document, { now: new Date(), rootFingerprint })
    expect([...pcrs.keys()]).toEqual([...Array.from({ length: 16 }, (_, index) => index), 17])
    expect(pcrs.get(17)).toEqual(value)
  })

  test("are refused under AWS's root", async () => {
    const document = await simulate().nsm.attest()
    expect(() => verifyAttestationDocument(document, { now: new Date() })).toThrow(
      expect.objectContaining({ code: "untrusted-root" }),
    )
  })

  test("of a debug-mode enclave say so", async () => {
    const { nsm } = simulate({ pcrs: new Map([[4, pcr4OfInstance("i-0123456789abcdef0")]]) })
    const document = await nsm.attest()
    const verified = verifyAttestationDocument(document, { now: new Date(), rootFingerprint })
    expect(isDebugDocument(verified)).toBe(true)
  })

  test("verify at any time of the hypervisor's clock, over months", async () => {
    let now = new Date()
    const { nsm } = simulate({ now: () => now })
    const leafs = new Set<string>()
    for (const hours of [0, 1, 2, 3, 10, 24, 24 * 5, 24 * 15, 24 * 40, 24 * 90, 24 * 90 + 1]) {
      now = new Date(Date.now() + hours * 3_600_000)
      const verified = verifyAttestationDocument(await nsm.attest(), { now, rootFingerprint })
      leafs.add(Buffer.from(verified.certificate).toString("hex"))
    }
    // One leaf serves for over two hours, then another takes its place.
    expect(leafs.size).toBe(8)
  })

  test("stay verifiable for half an hour, and not for a day", async () => {
    let now = new Date()
    const { nsm } = simulate({ now: () => now })
    for (let minutes = 0; minutes < 300; minutes += 20) {
      now = new Date(Date.now() + minutes * 60_000)
      const document = await nsm.attest()
      const later = new Date(now.getTime() + 29 * 60_000)
      expect(verifyAttestationDocument(document, { now: later, rootFingerprint }).moduleId).toBe(
        MODULE_ID,
      )
      const nextDay = new Date(now.getTime() + 24 * 3_600_000)
      try {
        verifyAttestationDocument(document, { now: nextDay, rootFingerprint })
        expect.unreachable()
      } catch (error) {
        expect(isCodedError(error, "certificate-expired")).toBe(true)
      }
    }
  })

  test("made at the same moment all verify", async () => {
    const fresh = new NitroPki(await makeRootAuthority())
    const { nsm } = simulate({ pki: fresh })
    const documents = await Promise.all(Array.from({ length: 8 }, () => nsm.attest()))
    for (const document of documents) {
      const options = { now: new Date(), rootFingerprint: fresh.rootFingerprint }
      expect(verifyAttestationDocument(document, options).moduleId).toBe(MODULE_ID)
    }
  })
})
