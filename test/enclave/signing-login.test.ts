/** Logins: what a PIN proves, for whom, for how long, and what wrong ones cost. */

import { describe, expect, it } from "vitest"
import { tokenContent } from "./keys.js"
import { hashOf, PIN, p256, p384, sign, statusOf, useSigningService } from "./signing-service.js"

const service = useSigningService()
const { restart, greeted, loggedIn, stillServes } = service

describe("login", () => {
  it("is needed for each token, on each connection", async () => {
    const first = await loggedIn("p256")
    const second = await greeted()
    expect(await statusOf(sign(first, p256, "ECDSA", hashOf("SHA-256")))).toBe("ok")
    expect(await statusOf(sign(first, p384, "ECDSA", hashOf("SHA-256")))).toBe("login-required")
    expect(await statusOf(sign(second, p256, "ECDSA", hashOf("SHA-256")))).toBe("login-required")
    expect(await statusOf(first.ask("login", "p384", PIN))).toBe("ok")
    expect(await statusOf(sign(first, p384, "ECDSA", hashOf("SHA-256")))).toBe("ok")
  })

  it("with a wrong PIN is refused and proves nothing", async () => {
    const client = await greeted()
    expect(await statusOf(client.ask("login", "p256", "wrong"))).toBe("pin-incorrect")
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("login-required")
    expect(service.store.get("p256")?.refusals).toBe(1)
    await stillServes(client)
  })

  it("to a token that is not there is unknown-token", async () => {
    const client = await greeted()
    for (const label of ["none", "", "P256", "toString"]) {
      expect(await statusOf(client.ask("login", label, PIN))).toBe("unknown-token")
    }
    await stillServes(client)
  })

  it("that fails 5 times ends the connection, after the fifth answer", async () => {
    const client = await greeted()
    for (let i = 0; i < 5; i++) {
      expect(await statusOf(client.ask("login", i % 2 ? "rsa" : "p256", "wrong"))).toBe(
        "pin-incorrect",
      )
    }
    await client.closed
    await stillServes()
  })

  it("is not counted as failed when the PIN is right between", async () => {
    const client = await greeted()
    for (let i = 0; i < 4; i++) await client.ask("login", "rsa", "wrong")
    expect(await statusOf(client.ask("login", "rsa", PIN))).toBe("ok")
    await stillServes(client)
  })

  it("is busy while too many others wait, and the connection stays", async () => {
    await restart({
      pinTiming: { firstDelayMs: 200, maxDelayMs: 200, maxWaiting: 1, forgetAfterMs: 60_000 },
    })
    const guesser = await greeted()
    const guess = guesser.ask("login", "rsa", "wrong")
    await guesser.ask("generation")
    const client = await greeted()
    expect(await statusOf(client.ask("login", "rsa", PIN))).toBe("busy")
    expect(await statusOf(guess)).toBe("pin-incorrect")
    expect(await statusOf(client.ask("login", "rsa", PIN))).toBe("ok")
    await stillServes(client)
  })

  it("is needed again after a change of the PIN, and not after any other renewal", async () => {
    const client = await loggedIn("p256")
    service.store.put(tokenContent("p256", p256, { pin: PIN }))
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("ok")
    service.store.put(tokenContent("p256", p256, { pin: "new pin" }))
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("login-required")
    expect(await statusOf(client.ask("login", "p256", PIN))).toBe("pin-incorrect")
    expect(await statusOf(client.ask("login", "p256", "new pin"))).toBe("ok")
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("ok")
  })

  it("does not reach into a token of the same label that came later", async () => {
    const client = await loggedIn("p256")
    const token = service.store.get("p256")
    if (token !== undefined) service.store.remove(token)
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("unknown-key")
    service.store.put(tokenContent("p256", p256, { pin: PIN }))
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("login-required")
  })

  it("leaves no PIN in the log", async () => {
    const client = await greeted()
    await client.ask("login", "rsa", "a-wrong-secret")
    await client.ask("login", "rsa", PIN)
    expect(service.lines.join("")).toContain("wrong PIN")
    expect(service.lines.join("")).not.toContain("a-wrong-secret")
    expect(service.lines.join("")).not.toContain(PIN)
  })
})
