/** The NSM client's bytes: requests as the device's own library writes them, responses held to their shape. */
import { describe, expect, test } from "vitest"
import { Nsm, type NsmDevice, NsmError } from "../../enclave/nsm/index.js"
import { encodeNsmCbor } from "../../sim/nsm/document.js"

/** A device that records requests and gives one response to all. */
class ScriptedDevice implements NsmDevice {
  readonly requests: string[] = []
  readonly #response: Uint8Array

  constructor(response: unknown = "") {
    this.#response = response instanceof Uint8Array ? response : encodeNsmCbor(response)
  }

  async transact(request: Uint8Array): Promise<Uint8Array> {
    this.requests.push(Buffer.from(request).toString("hex"))
    return this.#response
  }

  close(): void {}
}

const ascii = (text: string) => Buffer.from(text, "ascii").toString("hex")

async function sent(ask: (nsm: Nsm) => Promise<unknown>): Promise<string[]> {
  const device = new ScriptedDevice()
  await ask(new Nsm(device)).catch(() => undefined)
  return device.requests
}

async function code(ask: Promise<unknown>): Promise<string> {
  const error = await ask.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error === undefined) return "accepted"
  if (error instanceof NsmError) return error.code
  throw error
}

describe("requests", () => {
  const cases: [string, (nsm: Nsm) => Promise<unknown>, string][] = [
    ["DescribeNSM", (nsm) => nsm.describe(), `6b${ascii("DescribeNSM")}`],
    ["GetRandom", (nsm) => nsm.random(), `69${ascii("GetRandom")}`],
    [
      "DescribePCR 0",
      (nsm) => nsm.describePcr(0),
      `a16b${ascii("DescribePCR")}a165${ascii("index")}00`,
    ],
    [
      "DescribePCR 31",
      (nsm) => nsm.describePcr(31),
      `a16b${ascii("DescribePCR")}a165${ascii("index")}181f`,
    ],
    [
      "ExtendPCR 16",
      (nsm) => nsm.extendPcr(16, Uint8Array.of(1, 2, 3)),
      `a169${ascii("ExtendPCR")}a265${ascii("index")}1064${ascii("data")}43010203`,
    ],
    ["LockPCR 16", (nsm) => nsm.lockPcr(16), `a167${ascii("LockPCR")}a165${ascii("index")}10`],
    ["LockPCRs 32", (nsm) => nsm.lockPcrs(32), `a168${ascii("LockPCRs")}a165${ascii("range")}1820`],
    [
      "Attestation of nothing",
      (nsm) => nsm.attest(),
      `a16b${ascii("Attestation")}a369${ascii("user_data")}f665${ascii("nonce")}f66a${ascii("public_key")}f6`,
    ],
    [
      "Attestation of everything",
      (nsm) =>
        nsm.attest({
          publicKey: Buffer.alloc(300, 0xaa),
          nonce: Uint8Array.of(1, 2),
          userData: Buffer.alloc(24, 0xbb),
        }),
      `a16b${ascii("Attestation")}a369${ascii("user_data")}5818${"bb".repeat(24)}65${ascii("nonce")}420102` +
        `6a${ascii("public_key")}59012c${"aa".repeat(300)}`,
    ],
    [
      "Attestation of empty fields",
      (nsm) => nsm.attest({ nonce: new Uint8Array(0), userData: new Uint8Array(0) }),
      `a16b${ascii("Attestation")}a369${ascii("user_data")}4065${ascii("nonce")}406a${ascii("public_key")}f6`,
    ],
  ]
  test.each(cases)("%s", async (_, ask, hex) => {
    expect(await sent(ask)).toEqual([hex])
  })
})

describe("limits are checked before anything is sent", () => {
  const cases: [string, (nsm: Nsm) => Promise<unknown>, string][] = [
    ["PCR32", (nsm) => nsm.describePcr(32), "invalid-index"],
    ["PCR-1", (nsm) => nsm.extendPcr(-1, Uint8Array.of(1)), "invalid-index"],
    ["PCR1.5", (nsm) => nsm.lockPcr(1.5), "invalid-index"],
    ["a range of 33", (nsm) => nsm.lockPcrs(33), "invalid-argument"],
    ["a range of NaN", (nsm) => nsm.lockPcrs(Number.NaN), "invalid-argument"],
    [
      "an empty public key",
      (nsm) => nsm.attest({ publicKey: Buffer.alloc(0) }),
      "invalid-argument",
    ],
    [
      "a public key of 1025 bytes",
      (nsm) => nsm.attest({ publicKey: Buffer.alloc(1025) }),
      "input-too-large",
    ],
    ["a nonce of 513 bytes", (nsm) => nsm.attest({ nonce: Buffer.alloc(513) }), "input-too-large"],
    [
      "user data of 513 bytes",
      (nsm) => nsm.attest({ userData: Buffer.alloc(513) }),
      "input-too-large",
    ],
    [
      "data beyond the driver's request",
      (nsm) => nsm.extendPcr(16, Buffer.alloc(4096)),
      "input-too-large",
    ],
  ]
  test.each(cases)("%s", async (_, ask, expected) => {
    const device = new ScriptedDevice()
    expect(await code(ask(new Nsm(device)))).toBe(expected)
    expect(device.requests).toEqual([])
  })
})

describe("responses", () => {
  const description = {
    version_major: 1,
    version_minor: 2,
    version_patch: 3,
    module_id: "i-0-enc0",
    max_pcrs: 32,
    locked_pcrs: [1, 0],
    digest: "SHA384",
  }
  const map = (operation: string, fields: Record<string, unknown>) =>
    new Map([[operation, new Map(Object.entries(fields))]])
  const nsm = (response: unknown) => new Nsm(new ScriptedDevice(response))
  const value = Buffer.alloc(48, 1)

  test("are read field by field", async () => {
    expect(await nsm(map("DescribeNSM", description)).describe()).toEqual({
      versionMajor: 1,
      versionMinor: 2,
      versionPatch: 3,
      moduleId: "i-0-enc0",
      maxPcrs: 32,
      lockedPcrs: [0, 1],
      digest: "SHA384",
    })
    const pcr = await nsm(map("DescribePCR", { lock: true, data: value })).describePcr(0)
    expect(pcr).toEqual({ locked: true, value: new Uint8Array(value) })
    const extended = await nsm(map("ExtendPCR", { data: value })).extendPcr(16, value)
    expect(extended).toEqual(new Uint8Array(value))
    await nsm("LockPCR").lockPcr(16)
    await nsm("LockPCRs").lockPcrs(32)
    const document = await nsm(map("Attestation", { document: Buffer.of(1) })).attest()
    expect(document).toEqual(Uint8Array.of(1))
    const random = await nsm(map("GetRandom", { random: Buffer.alloc(256, 9) })).random()
    expect(random).toEqual(new Uint8Array(256).fill(9))
  })

  test("may be maps of indefinite length", async () => {
    const hex = `bf69${ascii("GetRandom")}bf66${ascii("random")}4107ffff`
    expect(await nsm(Buffer.from(hex, "hex")).random()).toEqual(Uint8Array.of(7))
  })

  test.each([
    ["InvalidArgument", "invalid-argument"],
    ["InvalidIndex", "invalid-index"],
    ["InvalidResponse", "invalid-response"],
    ["ReadOnlyIndex", "read-only-index"],
    ["InvalidOperation", "invalid-operation"],
    ["BufferTooSmall", "buffer-too-small"],
    ["InputTooLarge", "input-too-large"],
    ["InternalError", "internal-error"],
    ["Success", "malformed-response"],
    ["constructor", "malformed-response"],
    [7, "malformed-response"],
  ])("the device's %s is %s", async (error, expected) => {
    expect(await code(nsm(new Map([["Error", error]])).describe())).toBe(expected)
  })

  const malformed: [string, (response: unknown) => Promise<unknown>, unknown][] = [
    ["nothing", (response) => nsm(response).describe(), Buffer.alloc(0)],
    ["another operation", (response) => nsm(response).describe(), map("GetRandom", description)],
    ["a bare name", (response) => nsm(response).describe(), "DescribeNSM"],
    ["a number", (response) => nsm(response).describe(), 7],
    ["fields as an array", (response) => nsm(response).describe(), new Map([["DescribeNSM", []]])],
    [
      "two operations",
      (response) => nsm(response).describe(),
      new Map([...map("DescribeNSM", description), ...map("GetRandom", {})]),
    ],
    ["no fields", (response) => nsm(response).describe(), map("DescribeNSM", {})],
    [
      "an extra field",
      (response) => nsm(response).describe(),
      map("DescribeNSM", { ...description, extra: 1 }),
    ],
    [
      "another digest",
      (response) => nsm(response).describe(),
      map("DescribeNSM", { ...description, digest: "SHA512" }),
    ],
    [
      "an empty module id",
      (response) => nsm(response).describe(),
      map("DescribeNSM", { ...description, module_id: "" }),
    ],
    [
      "a version beyond 16 bits",
      (response) => nsm(response).describe(),
      map("DescribeNSM", { ...description, version_major: 65_536 }),
    ],
    [
      "a locked PCR twice",
      (response) => nsm(response).describe(),
      map("DescribeNSM", { ...description, locked_pcrs: [1, 1] }),
    ],
    [
      "a PCR of 32 bytes",
      (response) => nsm(response).describePcr(0),
      map("DescribePCR", { lock: true, data: Buffer.alloc(32) }),
    ],
    [
      "a lock that is a number",
      (response) => nsm(response).describePcr(0),
      map("DescribePCR", { lock: 1, data: value }),
    ],
    [
      "an extension without data",
      (response) => nsm(response).extendPcr(16, value),
      map("ExtendPCR", { data: null }),
    ],
    ["an acknowledgement with fields", (response) => nsm(response).lockPcr(16), map("LockPCR", {})],
    ["an acknowledgement of another", (response) => nsm(response).lockPcr(16), "LockPCRs"],
    [
      "an empty document",
      (response) => nsm(response).attest(),
      map("Attestation", { document: Buffer.alloc(0) }),
    ],
    [
      "a document as text",
      (response) => nsm(response).attest(),
      map("Attestation", { document: "d" }),
    ],
    [
      "no random bytes",
      (response) => nsm(response).random(),
      map("GetRandom", { random: Buffer.alloc(0) }),
    ],
    [
      "257 random bytes",
      (response) => nsm(response).random(),
      map("GetRandom", { random: Buffer.alloc(257) }),
    ],
    [
      "a response cut by the driver's buffer",
      (response) => nsm(response).attest(),
      encodeNsmCbor(map("Attestation", { document: Buffer.alloc(0x3000) })).subarray(0, 0x3000),
    ],
  ]
  test.each(malformed)("%s is malformed", async (_, ask, response) => {
    expect(await code(ask(response))).toBe("malformed-response")
  })

  test("that never come are device-failed, with the system's error as the cause", async () => {
    const cause = Object.assign(new Error("no reply"), { code: "ETIMEDOUT" })
    const device: NsmDevice = { transact: () => Promise.reject(cause), close: () => undefined }
    const failure = new Nsm(device).random()
    await expect(failure).rejects.toMatchObject({ code: "device-failed", cause })
  })
})
