/** The token store: renewals, retirement, leases, generations, and keys that end. */
import { beforeEach, describe, expect, it } from "vitest"
import {
  describeToken,
  RETIREMENT_MS,
  TOKEN_LEASE_MS,
  type TokenContent,
} from "../../enclave/token/token.js"
import { MAX_TOKENS, TokenStore } from "../../enclave/token/token-store.js"
import type { SigningKey } from "../../native/addon/index.js"
import { tokenDescriptionSchema } from "../../shared/protocol/control.js"
import { codeOf } from "../shared/codes.js"
import { makeKey, type TestKey, tokenContent } from "./keys.js"

const START = 1_790_000_000_000
const HASH = Buffer.alloc(32, 1)
const [k1, k2, k3] = [makeKey(), makeKey(), makeKey()] as const

let now: number
let store: TokenStore
beforeEach(() => {
  now = START
  store = new TokenStore({ now: () => now })
})

/** Puts a token and gives the key object that the store was handed. */
function put(label: string, key: TestKey, more: Partial<TokenContent> = {}) {
  const content = tokenContent(label, key, more)
  return { token: store.put(content), key: content.key }
}

/** Whether a key still signs. */
const state = (key: SigningKey) =>
  codeOf(() => key.signSync("ECDSA", HASH, null)) === "no error" ? "signs" : "destroyed"

const held = (key: TestKey) => store.holdersOf(key.fingerprint).map(({ token }) => token.label)
const labels = () => store.list().map(({ label }) => label)

describe("a token", () => {
  it("is found by its label and its key", () => {
    const { token, key } = put("www", k1)
    expect(store.get("www")).toBe(token)
    expect(store.get("other")).toBeUndefined()
    expect(held(k1)).toEqual(["www"])
    expect(store.holdersOf(k1.fingerprint)[0]?.held.key).toBe(key)
    expect(held(k2)).toEqual([])
    expect(store.holdersOf(Buffer.alloc(0))).toEqual([])
  })

  it("has a lease of 48 h from its attestation", () => {
    const { token } = put("www", k1)
    expect(token.attestedAt).toBe(START)
    expect(token.expiresAt).toBe(START + 48 * 3_600_000)
    now += 1_000
    store.extend(token)
    expect(token.expiresAt).toBe(START + 1_000 + TOKEN_LEASE_MS)
  })

  it("is listed in the order of its label's bytes", () => {
    for (const label of ["b", "a", "ä", "Z", "aa", "\u{10000}", "\u{ffee}"]) put(label, k1)
    expect(labels()).toEqual(["Z", "a", "aa", "b", "ä", "\u{ffee}", "\u{10000}"])
  })

  it("describes itself without anything secret", () => {
    const { token } = put("www", k1, { pin: "super-secret" })
    token.signatures.set("ECDSA", 3)
    token.decryptions.set("RSA_PKCS_OAEP", 2)
    const description = describeToken(token)
    expect(tokenDescriptionSchema.parse(description)).toEqual(description)
    expect(description).toMatchObject({
      label: "www",
      fingerprint: k1.fingerprint.toString("hex"),
      keyType: "P-256",
      retiringFingerprints: [],
      signatures: { ECDSA: 3 },
      decryptions: { RSA_PKCS_OAEP: 2 },
    })
    expect(JSON.stringify(description)).not.toContain("super-secret")
  })

  it.each(["RSA-2048", "P-256", "P-384", "Ed25519"] as const)("names a key of %s", (name) => {
    expect(describeToken(put("www", makeKey(name)).token).keyType).toBe(name)
  })
})

describe("a renewal", () => {
  it("makes the new key current and lets the old one sign on", () => {
    const first = put("www", k1)
    first.token.signatures.set("ECDSA", 7)
    first.token.refusals = 2
    const second = put("www", k2, { certificates: [Buffer.from([2])] })
    expect(second.token).toBe(first.token)
    expect(store.list()).toHaveLength(1)
    expect(second.token.current.fingerprint).toEqual(k2.fingerprint)
    expect(second.token.current.certificates).toEqual([Buffer.from([2])])
    expect(held(k1)).toEqual(["www"])
    expect(held(k2)).toEqual(["www"])
    expect([first.key, second.key].map(state)).toEqual(["signs", "signs"])
    expect(describeToken(second.token)).toMatchObject({
      retiringFingerprints: [k1.fingerprint.toString("hex")],
      signatures: { ECDSA: 7 },
      refusals: 2,
    })
  })

  it("ends the old key an hour later", () => {
    const first = put("www", k1)
    const second = put("www", k2)
    now += RETIREMENT_MS - 1
    expect(store.sweep()).toEqual([])
    expect(state(first.key)).toBe("signs")
    now += 1
    expect(store.sweep()).toEqual([])
    expect(held(k1)).toEqual([])
    expect([first.key, second.key].map(state)).toEqual(["destroyed", "signs"])
    expect(second.token.retiring).toEqual([])
  })

  it("ends the old key at once where its owner says so, and no other", () => {
    const first = put("www", k1)
    const second = put("www", k2)
    const third = put("www", k3)
    expect(store.retire(third.token, k1.fingerprint)).toBe(true)
    expect(store.retire(third.token, k1.fingerprint)).toBe(false)
    expect(store.retire(third.token, k3.fingerprint)).toBe(false)
    expect([first, second, third].map(({ key }) => state(key))).toEqual([
      "destroyed",
      "signs",
      "signs",
    ])
    expect([k1, k2, k3].map(held)).toEqual([[], ["www"], ["www"]])
    expect(describeToken(third.token).retiringFingerprints).toHaveLength(1)
  })

  it("with the same key keeps one of it and destroys the other", () => {
    const first = put("www", k1)
    now += 5_000
    const second = put("www", k1)
    expect([first.key, second.key].map(state)).toEqual(["signs", "destroyed"])
    expect(second.token.retiring).toEqual([])
    expect(held(k1)).toEqual(["www"])
    expect(second.token.attestedAt).toBe(START + 5_000)
  })

  it("back to a retiring key takes it out of retirement", () => {
    const first = put("www", k1)
    const second = put("www", k2)
    now += 1_000
    const third = put("www", k1)
    expect(third.token.current.key).toBe(first.key)
    expect(third.token.retiring.map(({ held }) => held.key)).toEqual([second.key])
    expect([first.key, second.key, third.key].map(state)).toEqual(["signs", "signs", "destroyed"])
    expect(held(k1)).toEqual(["www"])
    now += RETIREMENT_MS
    store.sweep()
    expect([first.key, second.key].map(state)).toEqual(["signs", "destroyed"])
    expect([held(k1), held(k2)]).toEqual([["www"], []])
  })

  it("after a renewal keeps both old keys for their own hour", () => {
    const first = put("www", k1)
    now += 1_800_000
    const second = put("www", k2)
    now += 1_800_000
    const third = put("www", k3)
    expect(third.token.retiring).toHaveLength(2)
    now += 1_800_000
    store.sweep()
    expect([first, second, third].map(({ key }) => state(key))).toEqual([
      "destroyed",
      "signs",
      "signs",
    ])
  })

  it("keeps the gate of an unchanged PIN and makes another for a changed one", () => {
    const { token } = put("www", k1, { pin: "one-pin" })
    const gate = token.pin
    put("www", k2, { pin: "one-pin" })
    expect(token.pin).toBe(gate)
    put("www", k2, { pin: "new-pin" })
    expect(token.pin).not.toBe(gate)
    expect(token.pin.matches("new-pin")).toBe(true)
    expect(token.pin.matches("one-pin")).toBe(false)
  })
})

describe("a staged renewal", () => {
  const stage = (key: TestKey, more: Partial<TokenContent> = {}) => {
    const content = tokenContent("www", key, more)
    return { token: store.put(content, { stage: true }), key: content.key }
  }
  const fingerprintsOf = (...keys: TestKey[]) =>
    keys.map(({ fingerprint }) => fingerprint.toString("hex"))
  const current = () => store.get("www")?.current.fingerprint.toString("hex")

  it("signs beside the current key until it takes its place", () => {
    const first = put("www", k1)
    now += 1_000
    const second = stage(k2, { certificates: [Buffer.from([2])] })
    expect(second.token).toBe(first.token)
    expect([k1, k2].map(held)).toEqual([["www"], ["www"]])
    expect(current()).toBe(fingerprintsOf(k1)[0])
    expect(describeToken(first.token)).toMatchObject({
      nextFingerprint: fingerprintsOf(k2)[0],
      retiringFingerprints: [],
    })
    // Nothing was attested that serves the current key.
    expect(first.token.attestedAt).toBe(START)

    store.activate(first.token, k2.fingerprint)
    expect(current()).toBe(fingerprintsOf(k2)[0])
    expect(first.token.current.certificates).toEqual([Buffer.from([2])])
    expect(first.token.attestedAt).toBe(START + 1_000)
    expect(describeToken(first.token)).toMatchObject({
      nextFingerprint: null,
      retiringFingerprints: fingerprintsOf(k1),
    })
    expect([first, second].map(({ key }) => state(key))).toEqual(["signs", "signs"])
    store.activate(first.token, k2.fingerprint)
    expect(describeToken(first.token).retiringFingerprints).toHaveLength(1)
  })

  it("has nothing to wait for where there is no token, or the key is the current one", () => {
    const first = stage(k1)
    expect(describeToken(first.token)).toMatchObject({ nextFingerprint: null })
    const again = stage(k1, { certificates: [Buffer.from([2])] })
    expect(again.token.current.certificates).toEqual([Buffer.from([2])])
    expect([first, again].map(({ key }) => state(key))).toEqual(["signs", "destroyed"])
  })

  it("gives way to another, and to one that takes effect at once", () => {
    const first = put("www", k1)
    const second = stage(k2)
    const third = stage(k3)
    expect([first, second, third].map(({ key }) => state(key))).toEqual([
      "signs",
      "destroyed",
      "signs",
    ])
    const fourth = put("www", k2)
    expect([third, fourth].map(({ key }) => state(key))).toEqual(["destroyed", "signs"])
    expect([k1, k2, k3].map(held)).toEqual([["www"], ["www"], []])
  })

  it("is taken back", () => {
    const first = put("www", k1)
    const second = stage(k2)
    expect(store.retire(first.token, k2.fingerprint)).toBe(true)
    expect([first, second].map(({ key }) => state(key))).toEqual(["signs", "destroyed"])
    expect(codeOf(() => store.activate(first.token, k2.fingerprint))).toBe("unknown-key")
    expect(current()).toBe(fingerprintsOf(k1)[0])
  })

  it("brings a retiring key back, and keeps one of each", () => {
    const first = put("www", k1)
    const second = put("www", k2)
    const back = stage(k1)
    expect([first, second, back].map(({ key }) => state(key))).toEqual([
      "signs",
      "signs",
      "destroyed",
    ])
    now += RETIREMENT_MS
    store.sweep()
    expect(state(first.key)).toBe("signs")
    store.activate(first.token, k1.fingerprint)
    expect(current()).toBe(fingerprintsOf(k1)[0])
    expect([k1, k2].map(held)).toEqual([["www"], ["www"]])
  })

  it("ends with its token", () => {
    const { token } = put("www", k1)
    const second = stage(k2)
    store.remove(token)
    expect(state(second.key)).toBe("destroyed")
    expect(held(k2)).toEqual([])
  })

  it("that follows others leaves at most eight keys retiring", () => {
    const keys = Array.from({ length: 10 }, () => put("www", makeKey()))
    expect(keys.map(({ key }) => state(key))).toEqual([
      "destroyed",
      ...new Array<string>(9).fill("signs"),
    ])
  })
})

describe("the end of a token", () => {
  it("by removal destroys its current and retiring keys", () => {
    const first = put("www", k1)
    const second = put("www", k2)
    store.remove(second.token)
    expect([first.key, second.key].map(state)).toEqual(["destroyed", "destroyed"])
    expect([held(k1), held(k2), labels()]).toEqual([[], [], []])
    store.remove(second.token)
    expect(store.get("www")).toBeUndefined()
  })

  it("by expiry destroys its keys and says so once", () => {
    const first = put("a", k1)
    now += 1_000
    const second = put("b", k2)
    now = first.token.expiresAt - 1
    expect(store.sweep()).toEqual([])
    now += 1
    expect(store.sweep()).toEqual(["a"])
    expect(store.sweep()).toEqual([])
    expect([first.key, second.key].map(state)).toEqual(["destroyed", "signs"])
    expect(labels()).toEqual(["b"])
  })

  it("takes effect for its keys at the instant, not at the next sweep", () => {
    const { token } = put("www", k1)
    now = token.expiresAt - 1
    expect(held(k1)).toEqual(["www"])
    now += 1
    expect(held(k1)).toEqual([])
  })

  it("does not touch a token of the same label that came after", () => {
    const first = put("www", k1)
    store.remove(first.token)
    const second = put("www", k2)
    store.remove(first.token)
    expect(store.get("www")).toBe(second.token)
    expect(state(second.key)).toBe("signs")
  })
})

describe("two tokens with one key", () => {
  it("hold it independently of one another", () => {
    const a = put("a", k1)
    const b = put("b", k1)
    expect(held(k1)).toEqual(["a", "b"])
    store.remove(a.token)
    expect(held(k1)).toEqual(["b"])
    expect([a.key, b.key].map(state)).toEqual(["destroyed", "signs"])
    put("b", k2)
    expect(held(k1)).toEqual(["b"])
    now += RETIREMENT_MS
    store.sweep()
    expect(held(k1)).toEqual([])
  })
})

describe("the generation", () => {
  it("grows with every change, within one millisecond too", () => {
    const seen = [store.generation]
    const note = () => seen.push(store.generation)
    const { token } = put("www", k1)
    note()
    put("www", k2)
    note()
    store.extend(token)
    note()
    put("other", k3)
    note()
    store.remove(token)
    note()
    now += TOKEN_LEASE_MS
    store.sweep()
    note()
    expect(new Set(seen).size).toBe(seen.length)
    expect([...seen].sort((a, b) => a - b)).toEqual(seen)
  })

  it("stays while nothing changes", () => {
    put("www", k1)
    const before = store.generation
    now += 60_000
    store.sweep()
    store.list()
    expect(store.generation).toBe(before)
  })

  it("is beyond all of an earlier boot", () => {
    for (let i = 0; i < 20; i++) {
      put("www", k1)
      now += 1
    }
    expect(new TokenStore({ now: () => now }).generation).toBeGreaterThanOrEqual(store.generation)
    now += 100
    expect(new TokenStore({ now: () => now }).generation).toBeGreaterThan(store.generation)
  })

  it("never goes back with the clock", () => {
    put("www", k1)
    const before = store.generation
    now -= 3_600_000
    put("www", k2)
    expect(store.generation).toBe(before + 1)
  })
})

describe("the most tokens", () => {
  it("refuses one more and destroys its key, but renews", () => {
    for (let i = 0; i < MAX_TOKENS; i++) put(`t${i}`, k1)
    const content = tokenContent("one more", k2)
    expect(codeOf(() => store.put(content))).toBe("too-many-tokens")
    expect(state(content.key)).toBe("destroyed")
    expect(store.list()).toHaveLength(MAX_TOKENS)
    put("t0", k2)
    expect(held(k2)).toEqual(["t0"])
    const t1 = store.get("t1")
    if (t1 !== undefined) store.remove(t1)
    put("one more", k3)
    expect(held(k3)).toEqual(["one more"])
  })
})
