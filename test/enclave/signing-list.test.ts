/** The list of tokens: what it shows, in which pages, of which generation. */

import { describe, expect, it } from "vitest"
import { makeKey, tokenContent } from "./keys.js"
import { PIN, p256, useSigningService } from "./signing-service.js"

const service = useSigningService()
const { greeted } = service

describe("list", () => {
  it("shows tokens as the page says", async () => {
    const client = await greeted()
    const token = service.store.get("p256")
    const [status, result] = await client.ask("list", 0)
    expect(status).toBe(0)
    const [generation, total, tokens] = result as [number, number, Record<string, unknown>[]]
    expect([generation, total]).toEqual([service.store.generation, 3])
    expect(tokens.map(({ label }) => label)).toEqual(["p256", "p384", "rsa"])
    expect(tokens[0]).toEqual({
      label: "p256",
      certificates: [Buffer.from([0x30, 0])],
      publicKey: p256.spki,
      mechanisms: ["ECDSA"],
      hashes: ["SHA-256", "SHA-384", "SHA-512"],
      decryptMechanisms: [],
      furtherKeys: [],
      expires: Math.floor((token?.expiresAt ?? 0) / 1_000),
    })
    expect(tokens[2]).toMatchObject({
      mechanisms: ["RSA_PKCS", "RSA_PKCS_PSS"],
      hashes: ["SHA-256", "SHA-384", "SHA-512"],
      decryptMechanisms: [],
    })
  })

  it("shows the key that is to come and those that were, with what each may do", async () => {
    const [former, current, next] = [makeKey("P-256"), makeKey("P-256"), makeKey("RSA-2048")]
    for (const key of [former, current]) service.store.put(tokenContent("www", key))
    service.store.put(tokenContent("www", next), { stage: true })
    const client = await greeted()
    const [, result] = await client.ask("list", 0)
    const [, , tokens] = result as [number, number, Record<string, unknown>[]]
    const hashes = ["SHA-256", "SHA-384", "SHA-512"]
    expect(tokens.find(({ label }) => label === "www")).toMatchObject({
      publicKey: current.spki,
      furtherKeys: [
        {
          state: "next",
          publicKey: next.spki,
          mechanisms: ["RSA_PKCS", "RSA_PKCS_PSS"],
          hashes,
          decryptMechanisms: [],
        },
        {
          state: "retiring",
          publicKey: former.spki,
          mechanisms: ["ECDSA"],
          hashes,
          decryptMechanisms: [],
        },
      ],
    })
  })

  it("needs no login and tells no PIN or private key", async () => {
    const client = await greeted()
    const chunks: Buffer[] = []
    client.socket.on("data", (chunk: Buffer) => chunks.push(chunk))
    await client.ask("list", 0)
    const bytes = Buffer.concat(chunks)
    expect(bytes.includes(PIN)).toBe(false)
    const scalar = p256.privateKey.export({ format: "jwk" }).d ?? ""
    expect(bytes.includes(Buffer.from(scalar, "base64url"))).toBe(false)
  })

  it("comes in pages when it is longer than a frame, each token once", async () => {
    const certificates = [0, 1, 2, 3].map((i) => Buffer.alloc(8_192 - (i === 3 ? 1 : 0), i))
    for (let i = 0; i < 9; i++) service.store.put(tokenContent(`big${i}`, p256, { certificates }))
    const client = await greeted()
    const labels: string[] = []
    let pages = 0
    for (let offset = 0; ; pages++) {
      const [, result] = await client.ask("list", offset)
      const [generation, total, tokens] = result as [number, number, { label: string }[]]
      expect([generation, total]).toEqual([service.store.generation, 12])
      if (offset >= total) {
        expect(tokens).toEqual([])
        break
      }
      expect(tokens.length).toBeGreaterThan(0)
      labels.push(...tokens.map(({ label }) => label))
      offset = labels.length
    }
    expect(pages).toBeGreaterThan(4)
    expect(labels).toEqual(service.store.list().map(({ label }) => label))
    expect(await client.ask("list", 0xffffffff)).toEqual([0, [service.store.generation, 12, []]])
  })

  it("has a generation that changes with it", async () => {
    const client = await greeted()
    const [, before] = await client.ask("generation")
    expect(before).toBe(service.store.generation)
    expect(await client.ask("generation")).toEqual([0, before])
    service.store.put(tokenContent("more", p256))
    const [, after] = await client.ask("generation")
    expect(after).toBeGreaterThan(before as number)
    const [, page] = await client.ask("list", 0)
    expect((page as unknown[])[0]).toBe(after)
  })
})
