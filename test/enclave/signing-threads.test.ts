/**
 * What the signing threads do by themselves and what they leave to JavaScript: both come to one answer, and
 * every signature that the policy admits is theirs.
 */
import { describe, expect, it } from "vitest"
import { GENERAL_POLICY } from "../../enclave/policy/general.js"
import { TLS_SERVER_POLICY } from "../../enclave/policy/tls-server.js"
import type { UsagePolicy } from "../../enclave/policy/usage-policy.js"
import { DirectoryPublication } from "../../enclave/token/key-publication.js"
import { KeyDirectory } from "../../native/addon/index.js"
import type { CborValue } from "../../shared/cbor.js"
import { HASH_BYTES, type HashName, MECHANISMS } from "../../shared/protocol/signing.js"
import { digestInfo, makeKey, type TestKey, tokenContent } from "./keys.js"
import {
  hashOf,
  PIN,
  p256,
  p384,
  rsa,
  sign,
  statusOf,
  useSigningService,
} from "./signing-service.js"

const HASHES = Object.keys(HASH_BYTES) as HashName[]
const ed25519 = makeKey("Ed25519")
const LABELS: readonly [string, TestKey][] = [
  ["rsa", rsa],
  ["p256", p256],
  ["p384", p384],
  ["ed25519", ed25519],
]

/** Every mechanism with data and parameters around the borders of what any policy admits. */
function requests(): [mechanism: string, data: Buffer, parameter: CborValue][] {
  const lengths = [0, 1, 19, 20, 31, 32, 33, 48, 64, 65, 255, 256, 257].map((bytes) =>
    Buffer.alloc(bytes, 1),
  )
  const infos = HASHES.flatMap((hash) => {
    const info = digestInfo(hash, hashOf(hash))
    return [info, info.subarray(1), Buffer.concat([info, Buffer.alloc(1)])]
  })
  const salts = HASHES.flatMap((hash) =>
    [0, HASH_BYTES[hash], 254 - HASH_BYTES[hash], 255 - HASH_BYTES[hash], 65_536, -1].map(
      (salt): CborValue => [hash, salt],
    ),
  )
  const strange: CborValue[] = [["SHA-3", 32], ["SHA-256"], ["SHA-256", 32, 0], "SHA-256", {}]
  return [...MECHANISMS, "RSA", ""].flatMap((mechanism) => [
    ...[...lengths, ...infos].map((data) => [mechanism, data, null] as [string, Buffer, CborValue]),
    ...[...salts, ...strange].flatMap((parameter) =>
      [hashOf("SHA-256"), hashOf("SHA-384"), hashOf("SHA-1")].map(
        (data) => [mechanism, data, parameter] as [string, Buffer, CborValue],
      ),
    ),
  ])
}

for (const policy of [TLS_SERVER_POLICY, GENERAL_POLICY]) {
  describe(`under the policy ${policy.name}`, () => {
    const service = useSigningService(policy)

    it.each(LABELS)("threads and JavaScript answer alike for %s", async (label, key) => {
      const answers = []
      for (const published of [true, false]) {
        await service.restart({ published })
        service.store.put(tokenContent("ed25519", ed25519, { pin: PIN }))
        const client = await service.loggedIn(label)
        answers.push(
          await Promise.all(
            requests().map(async ([mechanism, data, parameter]) => [
              mechanism,
              data.length,
              parameter,
              await statusOf(sign(client, key, mechanism, data, parameter)),
            ]),
          ),
        )
      }
      expect(answers[0]).toEqual(answers[1])
      expect(answers[0]?.some(([, , , status]) => status === "ok")).toBe(true)
    })

    it.each(LABELS)("the threads make every signature of %s", async (label, key) => {
      const { client, counted } = await countingService(policy, label)
      let made = 0
      for (const [mechanism, data, parameter] of requests()) {
        if ((await statusOf(sign(client, key, mechanism, data, parameter))) === "ok") made++
      }
      expect(made).toBeGreaterThan(0)
      expect(counted()).toBe(made)
    })

    /** A service whose store is told nothing of what the threads count. */
    async function countingService(of: UsagePolicy, label: string) {
      const directory = new KeyDirectory()
      const published = new DirectoryPublication(directory, of)
      await service.restart({
        directory,
        publication: { ...silent, publish: (token) => published.publish(token) },
      })
      service.store.put(tokenContent("ed25519", ed25519, { pin: PIN }))
      const client = await service.loggedIn(label)
      const tokens = service.store.list().length
      const counted = () =>
        Array.from({ length: tokens }, (_, i) => directory.takeCounts(i + 1))
          .flatMap((counts) => [...counts.values()])
          .reduce((sum, count) => sum + count, 0)
      return { client, counted }
    }
  })
}

const silent = { withdraw: () => {}, collect: () => {} }

describe("what the store decides reaches the threads", () => {
  const service = useSigningService()
  const signed = (client: Awaited<ReturnType<typeof service.greeted>>, key = p256) =>
    statusOf(sign(client, key, "ECDSA", hashOf("SHA-256")))

  it("a token that is removed signs no more, and signs again when it is back", async () => {
    const client = await service.loggedIn("p256")
    expect(await signed(client)).toBe("ok")
    const token = service.store.get("p256")
    if (token !== undefined) service.store.remove(token)
    expect(await signed(client)).toBe("unknown-key")
    service.store.put(tokenContent("p256", p256, { pin: PIN }))
    expect(await signed(client)).toBe("login-required")
    expect(await client.ask("login", "p256", PIN)).toEqual([0, null])
    expect(await signed(client)).toBe("ok")
  })

  it("a changed PIN closes the key to earlier logins", async () => {
    const client = await service.loggedIn("p256")
    expect(await signed(client)).toBe("ok")
    service.store.put(tokenContent("p256", p256, { pin: "another pin" }))
    expect(await signed(client)).toBe("login-required")
  })

  it("a retired key ends, the current one signs on", async () => {
    const client = await service.loggedIn("p256")
    const renewed = makeKey("P-256")
    const token = service.store.put(tokenContent("p256", renewed, { pin: PIN }))
    expect([await signed(client), await signed(client, renewed)]).toEqual(["ok", "ok"])
    service.store.retire(token, p256.fingerprint)
    expect([await signed(client), await signed(client, renewed)]).toEqual(["unknown-key", "ok"])
  })

  it("a login on one connection opens nothing on another", async () => {
    const [first, second] = [await service.loggedIn("p256"), await service.greeted()]
    expect([await signed(first), await signed(second)]).toEqual(["ok", "login-required"])
  })

  it("a staged key signs before it is the current one", async () => {
    const client = await service.loggedIn("p256")
    const staged = makeKey("P-256")
    service.store.put(tokenContent("p256", staged, { pin: PIN }), { stage: true })
    expect([await signed(client), await signed(client, staged)]).toEqual(["ok", "ok"])
  })
})
