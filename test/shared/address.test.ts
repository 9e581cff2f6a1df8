/** Addresses: every form that is read, every malformed one, and patterns. */
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  type Address,
  addressFromPattern,
  formatAddress,
  parseAddress,
} from "../../shared/address.js"
import { codeOf } from "./codes.js"

describe("parseAddress", () => {
  const cases: [string, Address][] = [
    ["vsock:16:9999", { kind: "vsock", cid: 16, port: 9999 }],
    ["vsock:0:0", { kind: "vsock", cid: 0, port: 0 }],
    ["vsock:4294967294:4294967294", { kind: "vsock", cid: 0xfffffffe, port: 0xfffffffe }],
    ["unix:/run/x.sock", { kind: "unix", path: "/run/x.sock" }],
    ["unix:/with:colon", { kind: "unix", path: "/with:colon" }],
    [`unix:/${"x".repeat(106)}`, { kind: "unix", path: `/${"x".repeat(106)}` }],
    ["unix+vsock:/run/v.sock:52", { kind: "unix+vsock", path: "/run/v.sock", port: 52 }],
    ["unix+vsock:/a:b:1", { kind: "unix+vsock", path: "/a:b", port: 1 }],
  ]
  it.each(cases)("reads %s", (text, address) => {
    expect(parseAddress(text)).toEqual(address)
    expect(formatAddress(address)).toBe(text)
  })

  it.each([
    "",
    ":",
    "vsock",
    "vsock:",
    "vsock:3",
    "vsock:3:",
    "vsock::9999",
    "vsock:3:9999:1",
    "vsock:-1:9999",
    "vsock:3:+1",
    "vsock:3:0x10",
    "vsock:3:1e3",
    "vsock: 3:1",
    "vsock:3:1.0",
    "vsock:3:4294967295",
    "vsock:4294967295:1",
    "vsock:99999999999:1",
    "VSOCK:3:1",
    " vsock:3:1",
    "vsock:3:1\n",
    "vsock:٣:1",
    "unix",
    "unix:",
    "unix:relative",
    "unix:./x",
    "unix:@abstract",
    "unix:/nul\0",
    `unix:/${"x".repeat(107)}`,
    `unix:/${"é".repeat(54)}`,
    "unix+vsock",
    "unix+vsock:",
    "unix+vsock:/path",
    "unix+vsock:/path:",
    "unix+vsock:path:1",
    "unix+vsock::1",
    "unix+vsock:/path:4294967295",
    `unix+vsock:/${"x".repeat(107)}:1`,
    "tcp:127.0.0.1:80",
    "http://x",
    "/run/x.sock",
  ])("refuses %j", (text) => {
    expect(codeOf(() => parseAddress(text))).toBe("malformed-address")
  })

  it("says which part is wrong", () => {
    expect(() => parseAddress("vsock:x:1")).toThrow(/CID/)
    expect(() => parseAddress("vsock:1:x")).toThrow(/port/)
    expect(() => parseAddress("unix:x")).toThrow(/absolute/)
    expect(() => parseAddress("unix+vsock:/x")).toThrow(/port is missing/)
  })

  it("has nothing but malformed-address for arbitrary text", () => {
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: "binary" }).map((rest) => `vsock:${rest}`),
      fc.string({ unit: "binary" }).map((rest) => `unix+vsock:/${rest}`),
    )
    fc.assert(
      fc.property(text, (input) => {
        const code = codeOf(() => parseAddress(input))
        expect(["no error", "malformed-address"]).toContain(code)
      }),
    )
  })
})

describe("formatAddress", () => {
  const u32 = fc.integer({ min: 0, max: 0xfffffffe })
  const path = fc
    .string({ maxLength: 60 })
    .map((name) => `/${name.replaceAll("\0", "_")}`)
    .filter((name) => Buffer.byteLength(name) <= 107)
  const address: fc.Arbitrary<Address> = fc.oneof(
    fc.record({ kind: fc.constant("vsock" as const), cid: u32, port: u32 }),
    fc.record({ kind: fc.constant("unix" as const), path }),
    fc.record({ kind: fc.constant("unix+vsock" as const), path, port: u32 }),
  )
  it("is read back as it was", () => {
    fc.assert(
      fc.property(address, (it) => {
        expect(parseAddress(formatAddress(it))).toEqual(it)
      }),
    )
  })
})

describe("addressFromPattern", () => {
  it("fills in both values wherever they stand", () => {
    expect(addressFromPattern("vsock:{cid}:{port}", { cid: 16, port: 9999 })).toEqual({
      kind: "vsock",
      cid: 16,
      port: 9999,
    })
    expect(addressFromPattern("unix:/v/{cid}/{cid}_{port}", { cid: 4, port: 7 })).toEqual({
      kind: "unix",
      path: "/v/4/4_7",
    })
  })

  it("refuses a pattern whose result is no address", () => {
    const fill = (pattern: string) => () => addressFromPattern(pattern, { cid: 4, port: 7 })
    expect(codeOf(fill("vsock:{CID}:{port}"))).toBe("malformed-address")
    expect(codeOf(fill("{cid}:{port}"))).toBe("malformed-address")
  })
})
