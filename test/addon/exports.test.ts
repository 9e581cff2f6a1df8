/** What the addon's file shows to the process it is loaded into, and what it takes from it. */

import { execFileSync } from "node:child_process"
import { describe, expect, it } from "vitest"
import { ADDON_PATH } from "./bundle.js"

interface DynamicSymbol {
  readonly type: string
  readonly name: string
}

function dynamicSymbols(): DynamicSymbol[] {
  return execFileSync("nm", ["-D", ADDON_PATH])
    .toString()
    .trim()
    .split("\n")
    .map((line) => {
      const [type = "", name = ""] = line.trim().split(/\s+/).slice(-2)
      return { type, name }
    })
}

describe("tlskeep_addon.node", () => {
  it("exports only what Node looks up", () => {
    const exported = dynamicSymbols().filter(({ type }) => !"UwvV".includes(type))
    expect(exported.map(({ name }) => name).sort()).toEqual([
      "napi_register_module_v1",
      "node_api_module_get_api_version_v1",
    ])
  })

  it("imports Node-API, libuv and the C library, and no OpenSSL of Node's", () => {
    const foreign = dynamicSymbols().filter(
      ({ type, name }) => type === "U" && !/^(napi_|uv_)|@(GLIBC|GCC)_/.test(name),
    )
    expect(foreign).toEqual([])
  })

  it("needs neither libcrypto nor libstdc++", () => {
    const needed = execFileSync("readelf", ["-d", ADDON_PATH]).toString()
    expect(needed).toContain("(NEEDED)")
    expect(needed).not.toMatch(/NEEDED.*(libcrypto|libssl|libstdc\+\+|libuv)/)
  })

  it("is hardened: immediate binding, no executable stack, never unloaded", () => {
    expect(execFileSync("readelf", ["-d", ADDON_PATH]).toString()).toMatch(
      /NOW.*NODELETE|NODELETE.*NOW/,
    )
    const stack = execFileSync("readelf", ["-lW", ADDON_PATH])
      .toString()
      .match(/GNU_STACK.*/)?.[0]
    expect(stack).not.toMatch(/RWE/)
  })
})
