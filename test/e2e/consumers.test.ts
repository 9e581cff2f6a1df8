/** Programs that speak PKCS #11, each used with the token as its user would. */
import { verify, X509Certificate } from "node:crypto"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type ExecaError, execa } from "execa"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { fingerprintOf, publicKeyOf } from "../../shared/public-key.js"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import { Deployment } from "../../sim/testbed/deployment.js"
import { ENGINE_PATH, PROVIDER_PATH } from "../../sim/testbed/openssl-conf.js"
import { Testbed } from "../../sim/testbed/testbed.js"

const PSS_SALT_BYTES = 32

let testbed: Testbed
beforeAll(async () => {
  testbed = await Testbed.up()
}, 60_000)
afterAll(() => testbed?.down(), 60_000)

describe.each(["RSA-2048", "P-256", "P-384"] as const)("%s", (keyType) => {
  const isRsa = keyType === "RSA-2048"
  let deployment: Deployment
  let certificate: X509Certificate
  let dataFile: string
  const data = Buffer.from("what is signed, longer than one hash value by far")

  beforeAll(async () => {
    const name = `consumers-${keyType}`
    deployment = await Deployment.create(testbed, { name, keyType, binding: "engine" })
    certificate = new X509Certificate(deployment.web.certificate)
    dataFile = join(testbed.dir, "data")
    writeFileSync(dataFile, data)
  }, 60_000)
  afterAll(() => deployment?.stop(), 60_000)

  const env = (): Record<string, string> => ({ TLSKEEP_ENDPOINT_FILE: deployment.endpointFile })
  const pin = (): string => {
    const name = Buffer.from(deployment.label).toString("hex")
    return readFileSync(join(deployment.runDir, "pins", `${name}.pin`), "utf8")
  }
  const tool = async (...args: string[]): Promise<string> => {
    const { stdout } = await execa("pkcs11-tool", ["--module", CHECKOUT.module, ...args], {
      env: env(),
    })
    return stdout
  }

  describe("pkcs11-tool", () => {
    test("shows the token", async () => {
      const slots = await tool("--list-slots")
      expect(slots).toContain(`token label        : ${deployment.label}`)
      expect(slots).toContain("token manufacturer : tlskeep")
      expect(slots).toContain("login required")
      expect(slots).toContain("readonly")
    })

    test("shows mechanisms for every kind of key, since a renewal may bring another", async () => {
      const mechanisms = await tool("--list-mechanisms")
      for (const name of ["RSA-PKCS-PSS", "ECDSA"]) expect(mechanisms).toContain(name)
    })

    test("shows the private key after login only", async () => {
      const args = ["--list-objects", "--type", "privkey"]
      expect(await tool(...args)).not.toContain("Private Key Object")
      const shown = await tool(...args, "--login", "--pin", pin())
      expect(shown).toContain("Private Key Object")
      expect(shown).toMatch(/Usage: +sign/)
      expect(shown).toMatch(/Access: +sensitive/)
    })

    const id = () => fingerprintOf(publicKeyOf(certificate)).toString("hex")

    test("reads the certificate", async () => {
      const output = join(testbed.dir, "object.der")
      await tool("--read-object", "--type", "cert", "--id", id(), "-o", output)
      expect(readFileSync(output).equals(certificate.raw)).toBe(true)
    })

    // Not --read-object: for EC keys that of OpenSC 0.23 reads memory it has freed.
    test("shows the public key", async () => {
      const shown = await tool("--list-objects", "--type", "pubkey")
      const spki = certificate.publicKey.export({ type: "spki", format: "der" })
      const [, point] = /EC_POINT: +04[0-9a-f]{2}([0-9a-f]+)/.exec(shown) ?? []
      if (isRsa) expect(shown).toMatch(/RSA 2048 bits/)
      else expect(spki.toString("hex").endsWith(point ?? "none")).toBe(true)
    })

    const mechanisms = isRsa
      ? ["SHA256-RSA-PKCS", "SHA384-RSA-PKCS", "SHA512-RSA-PKCS", "SHA256-RSA-PKCS-PSS"]
      : ["ECDSA-SHA256", "ECDSA-SHA384", "ECDSA-SHA512"]
    test.each(mechanisms)("signs by %s", async (mechanism) => {
      const output = join(testbed.dir, "signature")
      await tool(
        ...["--sign", "--login", "--pin", pin(), "--id", id(), "--mechanism", mechanism],
        ...["--input-file", dataFile, "--output-file", output],
        ...(mechanism.endsWith("PSS") ? ["--salt-len", String(PSS_SALT_BYTES)] : []),
      )
      const [, bits] = /SHA(256|384|512)/.exec(mechanism) ?? []
      const key = {
        key: certificate.publicKey,
        dsaEncoding: "ieee-p1363" as const,
        // RSA_PKCS1_PSS_PADDING and RSA_PKCS1_PADDING of openssl/rsa.h
        ...(isRsa
          ? { padding: mechanism.endsWith("PSS") ? 6 : 1, saltLength: PSS_SALT_BYTES }
          : {}),
      }
      expect(verify(`sha${bits}`, data, key, readFileSync(output))).toBe(true)
    })

    test("does not get at the key's value, nor write", async () => {
      const generate = ["--keypairgen", "--key-type", "EC:prime256v1", "--login", "--pin", pin()]
      const error = await tool(...generate).catch((failure: ExecaError) => failure)
      expect(String((error as ExecaError).stderr)).toMatch(
        /CKR_TOKEN_WRITE_PROTECTED|not supported/i,
      )
    })
  })

  describe("openssl", () => {
    const uri = (): string => {
      const snippet = readFileSync(deployment.apache.snippet, "utf8")
      return /SSLCertificateKeyFile "(.+)"/.exec(snippet)?.[1] ?? ""
    }
    const signatureOf = async (args: string[], conf: string): Promise<Buffer> => {
      const output = join(testbed.dir, "openssl-signature")
      await execa("openssl", ["dgst", "-sha256", ...args, "-out", output, dataFile], {
        env: { ...env(), OPENSSL_CONF: conf },
      })
      return readFileSync(output)
    }

    test.skipIf(!existsSync(ENGINE_PATH))("signs through the engine", async () => {
      const args = ["-engine", "pkcs11", "-keyform", "engine", "-sign", uri()]
      const signature = await signatureOf(args, deployment.apache.opensslConf)
      expect(verify("sha256", data, certificate.publicKey, signature)).toBe(true)
    })

    // pkcs11-provider comes from bookworm-backports, which not every mirror has.
    test.skipIf(!existsSync(PROVIDER_PATH))("signs through pkcs11-provider", async () => {
      const { opensslConf } = await testbed.apache(`${deployment.label}-provider`, {
        ...{ binding: "provider", runDir: deployment.runDir },
      })
      const signature = await signatureOf(["-sign", uri()], opensslConf)
      expect(verify("sha256", data, certificate.publicKey, signature)).toBe(true)
    })
  })
})
