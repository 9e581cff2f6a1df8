/**
 * What each image's usage policy admits, through the whole system: Ed25519 under both, decryption and
 * SHA-1 under `general` alone.
 */
import { constants, publicEncrypt, verify } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { execa } from "execa"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { fingerprintOf, publicKeyOf } from "../../shared/public-key.js"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import { TokenHost } from "../../sim/testbed/token-host.js"
import type { KeyType } from "../../sim/testbed/web-certificates.js"

const DATA = Buffer.from("what is signed or encrypted")

describe.each([
  ["tls-server", CHECKOUT.image, false],
  ["general", CHECKOUT.generalImage, true],
])("%s", (_policy, image, general) => {
  let host: TokenHost
  beforeAll(async () => {
    host = await TokenHost.up(["RSA-2048", "Ed25519"], image)
  }, 90_000)
  afterAll(() => host?.down(), 60_000)

  /** Runs pkcs11-tool on a token with its PIN; never rejects for its exit code. */
  async function tool(keyType: KeyType, input: Buffer, ...args: string[]) {
    const { label, pin, certificate } = host.token(keyType)
    const id = fingerprintOf(publicKeyOf(certificate)).toString("hex")
    const files = { input: join(host.dir, "input"), output: join(host.dir, "output") }
    writeFileSync(files.input, input)
    writeFileSync(files.output, "")
    const { exitCode, stderr } = await execa(
      "pkcs11-tool",
      [
        ...["--module", CHECKOUT.module, "--token-label", label, "--login", "--pin", pin],
        ...["--id", id, "--input-file", files.input, "--output-file", files.output, ...args],
      ],
      { env: host.env, reject: false },
    )
    return { exitCode, stderr, output: readFileSync(files.output) }
  }

  test("Ed25519 signs", async () => {
    const { output } = await tool("Ed25519", DATA, "--sign", "--mechanism", "EDDSA")
    expect(verify(null, DATA, host.token("Ed25519").certificate.publicKey, output)).toBe(true)
  })

  test(`SHA-1 is ${general ? "signed" : "refused"}`, async () => {
    const args = ["--sign", "--mechanism", "SHA1-RSA-PKCS"]
    const { exitCode, stderr, output } = await tool("RSA-2048", DATA, ...args)
    if (general) {
      expect(verify("sha1", DATA, host.token("RSA-2048").certificate.publicKey, output)).toBe(true)
    } else {
      expect(exitCode).not.toBe(0)
      expect(stderr).toMatch(/CKR_MECHANISM_INVALID/)
    }
  })

  test(`decryption is ${general ? "done" : "refused"}`, async () => {
    const key = host.token("RSA-2048").certificate.publicKey
    const encrypted = publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, DATA)
    const args = ["--decrypt", "--mechanism", "RSA-PKCS"]
    const { exitCode, stderr, output } = await tool("RSA-2048", encrypted, ...args)
    if (general) {
      expect(output.equals(DATA)).toBe(true)
    } else {
      expect(exitCode).not.toBe(0)
      expect(stderr).toMatch(/CKR_(MECHANISM_INVALID|KEY_FUNCTION_NOT_PERMITTED)|no appropriate/i)
    }
  })
})
