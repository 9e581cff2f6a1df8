/** Provisioning: what enters the store, what is refused, and that no plaintext stays behind. */
import { generateKeyPairSync } from "node:crypto"
import { beforeEach, describe, expect, it, vi } from "vitest"
import type { DecryptRequest } from "../../enclave/kms/recipient-decrypt.js"
import { Provisioner } from "../../enclave/token/provisioner.js"
import { TOKEN_LEASE_MS } from "../../enclave/token/token.js"
import { MAX_TOKENS, TokenStore } from "../../enclave/token/token-store.js"
import { SigningKey } from "../../native/addon/index.js"
import { ControlError, type ProvisionRequest } from "../../shared/protocol/control.js"
import type { ControlCode } from "../../shared/protocol/control-codes.js"
import { codeOf, rejectionCode } from "../shared/codes.js"
import { certify, KEY_ARN, makeKey, type TestKey, tokenContent } from "./keys.js"

const CREDENTIALS = { accessKeyId: "ASIAXXXXXXXXXXXXXXXX", secretAccessKey: "s", sessionToken: "t" }
const OTHER_ARN = KEY_ARN.replace("1111", "2222")
const HASH = Buffer.alloc(32, 1)

const ec = makeKey("P-256")
const rsa = makeKey("RSA-2048")
const p384 = makeKey("P-384")
const ed25519 = makeKey("Ed25519")
const certificates = new Map<TestKey, Buffer>()
for (const key of [ec, rsa, p384, ed25519]) certificates.set(key, await certify(key))

let now: number
let store: TokenStore
let provisioner: Provisioner
/** What KMS was asked, and every plaintext that it handed in. */
let asked: DecryptRequest[]
let handed: Buffer[]
/** What KMS does with the next requests. */
let kms: () => Promise<{ pem: Uint8Array; keyId?: string }>
beforeEach(() => {
  now = 1_790_000_000_000
  store = new TokenStore({ now: () => now })
  asked = []
  handed = []
  kms = async () => ({ pem: ec.pem })
  provisioner = new Provisioner(store, async (request) => {
    asked.push(request)
    const { pem, keyId = KEY_ARN } = await kms()
    const plaintext = Buffer.from(pem)
    handed.push(plaintext)
    return { plaintext, keyId }
  })
})

function request(key: TestKey = ec, change: Partial<ProvisionRequest> = {}): ProvisionRequest {
  return {
    label: "www",
    pin: "correct horse",
    certificates: [certificates.get(key) ?? Buffer.alloc(0)],
    encryptedPrivateKey: Buffer.from("ciphertext"),
    keyId: KEY_ARN,
    region: "us-east-1",
    credentials: CREDENTIALS,
    encryptionContext: null,
    stage: false,
    ...change,
  }
}

const refusal = (change: Partial<ProvisionRequest>) =>
  rejectionCode(provisioner.provision(request(ec, change)))

/** Nothing came in, and nothing in the clear is left of what KMS gave. */
function nothingHappened(): void {
  expect(store.list()).toEqual([])
  for (const plaintext of handed) expect(plaintext.every((byte) => byte === 0)).toBe(true)
}

describe("provision", () => {
  it.each([
    ["P-256", ec],
    ["RSA-2048", rsa],
    ["P-384", p384],
    ["Ed25519", ed25519],
  ] as const)(
    "takes a key of %s whose certificate it has, and wipes the PEM",
    async (_name, key) => {
      kms = async () => ({ pem: key.pem })
      const token = await provisioner.provision(request(key))
      expect(store.get("www")).toBe(token)
      expect(token.current.fingerprint.equals(key.fingerprint)).toBe(true)
      expect(token.pin.matches("correct horse")).toBe(true)
      expect(token.current.certificates).toEqual([certificates.get(key)])
      expect(token.current.keyId).toBe(KEY_ARN)
      expect(token.expiresAt).toBe(now + TOKEN_LEASE_MS)
      expect(handed).toHaveLength(1)
      expect(handed[0]).toHaveLength(key.pem.length)
      expect(handed[0]?.every((byte) => byte === 0)).toBe(true)
    },
  )

  it("asks KMS for exactly what it was told", async () => {
    const encryptionContext = { "tlskeep:spki-sha256": ec.fingerprint.toString("hex"), a: "b" }
    await provisioner.provision(request(ec, { encryptionContext }))
    expect(asked).toEqual([
      {
        ciphertext: Buffer.from("ciphertext"),
        keyId: KEY_ARN,
        region: "us-east-1",
        credentials: CREDENTIALS,
        encryptionContext,
      },
    ])
  })

  it("takes PEM in the older forms", async () => {
    const pem = rsa.privateKey.export({ type: "pkcs1", format: "pem" })
    kms = async () => ({ pem: Buffer.from(pem) })
    await provisioner.provision(request(rsa))
    const sec1 = ec.privateKey.export({ type: "sec1", format: "pem" })
    kms = async () => ({ pem: Buffer.from(sec1) })
    await provisioner.provision(request(ec, { label: "ec" }))
    expect(store.list().map(({ label }) => label)).toEqual(["ec", "www"])
  })

  it("keeps copies: the request's buffers are its owner's", async () => {
    const change = { certificates: [Buffer.from(certificates.get(ec) ?? [])] }
    const given = request(ec, { ...change, encryptedPrivateKey: Buffer.from("ciphertext") })
    const token = await provisioner.provision(given)
    given.certificates[0]?.fill(0)
    given.encryptedPrivateKey.fill(0)
    expect(token.current.certificates).toEqual([certificates.get(ec)])
    expect(Buffer.from(token.current.source.ciphertext).toString()).toBe("ciphertext")
  })

  it("renews a token under its label", async () => {
    const first = await provisioner.provision(request(ec))
    kms = async () => ({ pem: rsa.pem, keyId: OTHER_ARN })
    const second = await provisioner.provision(request(rsa, { keyId: OTHER_ARN }))
    expect(second).toBe(first)
    expect(second.current.keyId).toBe(OTHER_ARN)
    expect(second.retiring).toHaveLength(1)
    expect(store.holdersOf(ec.fingerprint)).toHaveLength(1)
  })
})

describe("provision refuses", () => {
  it("another key than the certificate's", async () => {
    const destroy = vi.spyOn(SigningKey.prototype, "destroy")
    kms = async () => ({ pem: makeKey("P-256").pem })
    expect(await refusal({})).toBe("certificate-key-mismatch")
    expect(destroy).toHaveBeenCalledOnce()
    destroy.mockRestore()
    kms = async () => ({ pem: rsa.pem })
    expect(await refusal({})).toBe("certificate-key-mismatch")
    nothingHappened()
  })

  it("what is no private key", async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
    const encrypted = privateKey.export({
      type: "pkcs8",
      format: "pem",
      cipher: "aes-256-cbc",
      passphrase: "x",
    })
    const pems = [
      "",
      "not a key",
      ec.publicKey.export({ type: "spki", format: "pem" }),
      encrypted,
      ec.pem.subarray(0, -40),
      ec.privateKey.export({ type: "pkcs8", format: "der" }),
    ]
    for (const pem of pems) {
      kms = async () => ({ pem: Buffer.from(pem) })
      expect(await refusal({})).toBe("malformed-private-key")
    }
    expect(handed).toHaveLength(pems.length)
    nothingHappened()
  })

  it.each(["RSA-1024", "P-521", "Ed448"] as const)("a key of %s", async (name) => {
    kms = async () => ({ pem: makeKey(name).pem })
    expect(await refusal({})).toBe("unsupported-key-type")
    nothingHappened()
  })

  it("a certificate that it cannot read, before KMS is asked", async () => {
    const good = certificates.get(ec) ?? Buffer.alloc(0)
    const bad = [
      [],
      [Buffer.from("x")],
      [good.subarray(0, -1)],
      [good, Buffer.from([0x30, 0])],
      [Buffer.alloc(good.length)],
    ]
    for (const certificates of bad) {
      expect(await refusal({ certificates }), `${certificates.length}`).toBe(
        "malformed-certificate",
      )
    }
    expect(asked).toEqual([])
    nothingHappened()
  })

  it("a chain of more than 32 KiB", async () => {
    const long = await certify(ec, 7_800)
    expect(long.length).toBeLessThan(8_192)
    expect(await refusal({ certificates: [long, long, long, long] })).toBe("no error")
    expect(await refusal({ certificates: [long, long, long, long, long] })).toBe(
      "malformed-certificate",
    )
  })

  it("a KMS key of another region, before KMS is asked", async () => {
    expect(await refusal({ region: "eu-west-1" })).toBe("malformed-key-id")
    const keyId = KEY_ARN.replace("us-east-1", "us-east-2")
    expect(await refusal({ keyId })).toBe("malformed-key-id")
    expect(asked).toEqual([])
    nothingHappened()
  })

  it("an encryption context that names another certificate's key, before KMS is asked", async () => {
    for (const bound of [rsa.fingerprint.toString("hex"), "", ec.fingerprint.toString("base64")]) {
      const encryptionContext = { "tlskeep:spki-sha256": bound }
      expect(await refusal({ encryptionContext })).toBe("encryption-context-mismatch")
    }
    expect(asked).toEqual([])
    nothingHappened()
  })

  it("what KMS refuses, with KMS's code", async () => {
    for (const code of ["kms-access-denied", "kms-throttled", "kms-tls-untrusted"] as const) {
      kms = () => Promise.reject(new ControlError(code, "refused"))
      expect(await refusal({})).toBe(code)
    }
    nothingHappened()
  })

  it("one token too many, and destroys its key", async () => {
    for (let i = 0; i < MAX_TOKENS; i++) store.put(tokenContent(`t${i}`, p384))
    expect(await refusal({})).toBe("too-many-tokens")
    expect(store.holdersOf(ec.fingerprint)).toEqual([])
    expect(handed[0]?.every((byte) => byte === 0)).toBe(true)
  })

  it("a token that is being worked on, and only that", async () => {
    const gate = held()
    kms = () => gate.promise.then(() => ({ pem: ec.pem }))
    const first = provisioner.provision(request())
    expect(await refusal({})).toBe("busy")
    expect(await rejectionCode(provisioner.refresh("www", CREDENTIALS))).toBe("busy")
    const other = provisioner.provision(request(ec, { label: "other" }))
    gate.open()
    await Promise.all([first, other])
    expect(await refusal({})).toBe("no error")
  })

  it("nothing for longer because a refusal came before", async () => {
    expect(await refusal({ region: "eu-west-1" })).toBe("malformed-key-id")
    kms = () => Promise.reject(new ControlError("kms-failed", ""))
    expect(await refusal({})).toBe("kms-failed")
    kms = async () => ({ pem: ec.pem })
    expect(await refusal({})).toBe("no error")
  })

  it("without touching the token that is there", async () => {
    const token = await provisioner.provision(request())
    const before = { ...token, generation: store.generation }
    now += 60_000
    kms = async () => ({ pem: rsa.pem })
    expect(await refusal({ pin: "another" })).toBe("certificate-key-mismatch")
    expect({ ...token, generation: store.generation }).toEqual(before)
    expect(token.pin.matches("correct horse")).toBe(true)
  })
})

describe("refresh", () => {
  const refreshing = () => rejectionCode(provisioner.refresh("www", CREDENTIALS))

  it("asks for the same key again, renews the lease, keeps the key and wipes the PEM", async () => {
    const token = await provisioner.provision(request(ec, { encryptionContext: { a: "b" } }))
    const { key } = token.current
    now += 3_600_000
    const credentials = { ...CREDENTIALS, sessionToken: "newer" }
    expect(await provisioner.refresh("www", credentials)).toBe(token)
    expect(token.current.key).toBe(key)
    expect(codeOf(() => key.signSync("ECDSA", HASH, null))).toBe("no error")
    expect(token.attestedAt).toBe(now)
    expect(token.expiresAt).toBe(now + TOKEN_LEASE_MS)
    expect(asked[1]).toEqual({ ...asked[0], credentials })
    expect(handed[1]?.every((byte) => byte === 0)).toBe(true)
  })

  it("of no token is unknown-token", async () => {
    expect(await refreshing()).toBe("unknown-token")
    expect(asked).toEqual([])
  })

  it.each<ControlCode>(["kms-access-denied", "kms-explicit-deny"])(
    "that KMS denies with %s releases the token",
    async (code) => {
      const token = await provisioner.provision(request())
      const { key } = token.current
      kms = () => Promise.reject(new ControlError(code, "denied"))
      expect(await refreshing()).toBe(code)
      expect(store.get("www")).toBeUndefined()
      expect(store.holdersOf(ec.fingerprint)).toEqual([])
      expect(codeOf(() => key.signSync("ECDSA", HASH, null))).toBe("key-destroyed")
    },
  )

  it.each<ControlCode>([
    "attestation-failed",
    "kms-unreachable",
    "kms-throttled",
    "kms-failed",
    "kms-credentials-refused",
    "kms-tls-untrusted",
    "kms-malformed-response",
    "kms-key-unavailable",
    "kms-key-id-mismatch",
    "kms-invalid-ciphertext",
  ])("that fails with %s keeps the token and its lease", async (code) => {
    const token = await provisioner.provision(request())
    const { attestedAt, expiresAt } = token
    now += 60_000
    kms = () => Promise.reject(new ControlError(code, "passing"))
    expect(await refreshing()).toBe(code)
    expect(store.get("www")).toBe(token)
    expect(token).toMatchObject({ attestedAt, expiresAt })
  })

  it("that brings another key does not renew the lease", async () => {
    const token = await provisioner.provision(request())
    const { expiresAt } = token
    now += 60_000
    kms = async () => ({ pem: makeKey().pem })
    expect(await refreshing()).toBe("certificate-key-mismatch")
    expect(token.expiresAt).toBe(expiresAt)
    expect(handed.every((plaintext) => plaintext.every((byte) => byte === 0))).toBe(true)
  })

  it("of a token that ends meanwhile does not claim to have renewed it", async () => {
    const token = await provisioner.provision(request())
    const gate = held()
    kms = () => gate.promise.then(() => ({ pem: ec.pem }))
    const refresh = refreshing()
    store.remove(token)
    const { generation } = store
    gate.open()
    expect(await refresh).toBe("unknown-token")
    expect(store.get("www")).toBeUndefined()
    expect(store.generation).toBe(generation)
  })
})

/** A promise to wait for, and what lets it go. */
function held(): { promise: Promise<void>; open: () => void } {
  let open: () => void = () => {}
  const promise = new Promise<void>((resolve) => {
    open = resolve
  })
  return { promise, open: () => open() }
}
