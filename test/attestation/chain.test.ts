/** The certificate path: one test per rule, each path wrong in one way and properly signed. */
import { createHash } from "node:crypto"
import { expect, test } from "vitest"
import { AttestationError, verifyAttestationDocument } from "../../shared/attestation/index.js"
import { Extension, generateKeys, KeyUsageFlags } from "../../sim/nsm/certificates.js"
import { refusalCode } from "./codes.js"
import {
  type CertificateSpec,
  type ForgedPath,
  forgeDocument,
  forgePath,
  HONEST_PATH,
  NOW,
  pathWith,
} from "./forge.js"

async function codeOf(path: ForgedPath, change: Record<string, unknown> = {}): Promise<string> {
  const document = await forgeDocument(path, change)
  const { rootFingerprint } = path
  return refusalCode(() => verifyAttestationDocument(document, { now: NOW, rootFingerprint }))
}

const NAME_CONSTRAINTS = new Extension("2.5.29.30", true, Buffer.from("3000", "hex"))
const UNKNOWN = (critical: boolean) =>
  new Extension("1.3.6.1.4.1.99999.1", critical, Buffer.from("0500", "hex"))
const SECOND_CONSTRAINTS = new Extension("2.5.29.19", true, Buffer.from("30030101ff", "hex"))

interface Case {
  rule: string
  specs: readonly CertificateSpec[]
  code: string
}

const HOUR_MS = 3_600_000
const PAST = new Date(NOW.getTime() - HOUR_MS / 2)
const FUTURE = new Date(NOW.getTime() + HOUR_MS / 2)

const CASES: readonly Case[] = [
  { rule: "an honest path", specs: HONEST_PATH, code: "accepted" },
  {
    rule: "a path without pathLen anywhere",
    specs: HONEST_PATH.map((spec) => (spec.authority ? { ...spec, authority: {} } : spec)),
    code: "accepted",
  },
  {
    rule: "an unknown extension that is not critical",
    specs: pathWith("leaf", { extraExtensions: [UNKNOWN(false)] }),
    code: "accepted",
  },
  {
    rule: "a root with one CA more below it than its pathLen allows",
    specs: pathWith("root", { authority: { pathLen: 2 } }),
    code: "invalid-chain",
  },
  {
    rule: "a regional CA with one CA more below it than its pathLen allows",
    specs: pathWith("regional", { authority: { pathLen: 1 } }),
    code: "invalid-chain",
  },
  {
    rule: "a zonal CA that allows no CA below it",
    specs: pathWith("zonal", { authority: { pathLen: 0 } }),
    code: "invalid-chain",
  },
  {
    rule: "an extra CA below the instance",
    specs: [
      ...HONEST_PATH.slice(0, 4),
      { name: "extra", authority: { pathLen: 0 } },
      ...HONEST_PATH.slice(4),
    ],
    code: "invalid-chain",
  },
  {
    rule: "a CA whose basic constraints are not critical",
    specs: pathWith("zonal", { constraintsCritical: false }),
    code: "invalid-chain",
  },
  {
    rule: "an intermediate that is no CA",
    specs: pathWith("zonal", { authority: null, keyUsage: KeyUsageFlags.keyCertSign }),
    code: "invalid-chain",
  },
  {
    rule: "a CA without keyCertSign",
    specs: pathWith("instance", { keyUsage: KeyUsageFlags.digitalSignature }),
    code: "invalid-chain",
  },
  {
    rule: "a root without keyCertSign",
    specs: pathWith("root", { keyUsage: KeyUsageFlags.cRLSign }),
    code: "invalid-chain",
  },
  {
    rule: "a leaf that is a CA",
    specs: pathWith("leaf", { authority: {}, keyUsage: KeyUsageFlags.digitalSignature }),
    code: "invalid-chain",
  },
  {
    rule: "a leaf without digitalSignature",
    specs: pathWith("leaf", { keyUsage: KeyUsageFlags.nonRepudiation }),
    code: "invalid-chain",
  },
  {
    rule: "a leaf issued under another name",
    specs: pathWith("leaf", { issuerName: "zonal" }),
    code: "invalid-chain",
  },
  {
    rule: "a critical extension that is not understood",
    specs: pathWith("leaf", { extraExtensions: [UNKNOWN(true)] }),
    code: "invalid-chain",
  },
  {
    rule: "critical name constraints, which are not evaluated",
    specs: pathWith("regional", { extraExtensions: [NAME_CONSTRAINTS] }),
    code: "invalid-chain",
  },
  {
    rule: "basic constraints given twice",
    specs: pathWith("zonal", { extraExtensions: [SECOND_CONSTRAINTS] }),
    code: "invalid-chain",
  },
  {
    rule: "an unknown extension given twice",
    specs: pathWith("leaf", { extraExtensions: [UNKNOWN(false), UNKNOWN(false)] }),
    code: "invalid-chain",
  },
  {
    rule: "a CA key on P-256",
    specs: pathWith("regional", { curve: "P-256" }),
    code: "unsupported-algorithm",
  },
  {
    rule: "a certificate signed with SHA-256",
    specs: pathWith("instance", { hash: "SHA-256" }),
    code: "unsupported-algorithm",
  },
  ...["root", "regional", "zonal", "instance", "leaf"].flatMap((name) => [
    {
      rule: `an expired certificate: ${name}`,
      specs: pathWith(name, { notAfter: PAST }),
      code: "certificate-expired",
    },
    {
      rule: `a certificate not yet valid: ${name}`,
      specs: pathWith(name, { notBefore: FUTURE }),
      code: "certificate-not-yet-valid",
    },
  ]),
]

test.each(CASES)("$rule → $code", async ({ specs, code }) => {
  expect(await codeOf(await forgePath(specs))).toBe(code)
})

test("a leaf key on P-256 → unsupported-algorithm", async () => {
  const path = await forgePath(pathWith("leaf", { curve: "P-256" }))
  // Signed by a key on P-384, for a signature of the right length.
  expect(await codeOf({ ...path, keys: await generateKeys() })).toBe("unsupported-algorithm")
})

test("validity includes its first and its last second", async () => {
  const path = await forgePath(pathWith("leaf", { notBefore: NOW, notAfter: NOW }))
  expect(await codeOf(path)).toBe("accepted")
})

test("the bundle is the path, in its order and complete", async () => {
  const path = await forgePath()
  const other = await forgePath()
  const [root, regional, zonal, instance] = path.cabundle
  const [, otherRegional, otherZonal, otherInstance] = other.cabundle
  const codes = async (cabundle: unknown[]) => codeOf(path, { cabundle })

  expect(await codes([root, zonal, regional, instance])).toBe("invalid-chain")
  expect(await codes([root, regional, zonal])).toBe("invalid-chain")
  expect(await codes([root, regional, instance])).toBe("invalid-chain")
  expect(await codes([root, root, regional, zonal, instance])).toBe("invalid-chain")
  expect(await codes([root, regional, zonal, instance, path.certificate])).toBe("invalid-chain")
  expect(await codes([root, regional, zonal, instance, instance])).toBe("invalid-chain")
  expect(await codes([instance, zonal, regional, root])).toBe("untrusted-root")
  expect(await codes([regional, zonal, instance])).toBe("untrusted-root")
  // Same names, other keys.
  expect(await codes([root, otherRegional, otherZonal, otherInstance])).toBe("invalid-chain")
  expect(await codes([root, regional, zonal, otherInstance])).toBe("invalid-chain")
})

test("a leaf of the right names, signed by another CA's key, is refused", async () => {
  const path = await forgePath()
  const { certificate, keys } = await forgePath()
  // Leafs have no key identifiers, so that only the signature tells.
  expect(await codeOf({ ...path, certificate, keys })).toBe("invalid-chain")
})

test("a whole chain under another root of the same name is refused", async () => {
  const trusted = await forgePath()
  const hostile = await forgePath()
  const document = await forgeDocument(hostile)
  const { rootFingerprint } = trusted
  expect(
    refusalCode(() => verifyAttestationDocument(document, { now: NOW, rootFingerprint })),
  ).toBe("untrusted-root")
  // The trusted root put in front does not help.
  const [root] = trusted.cabundle
  const spliced = await forgeDocument(hostile, { cabundle: [root, ...hostile.cabundle.slice(1)] })
  expect(refusalCode(() => verifyAttestationDocument(spliced, { now: NOW, rootFingerprint }))).toBe(
    "invalid-chain",
  )
})

test("the fingerprint may be in upper case, and nothing shorter will do", async () => {
  const path = await forgePath()
  const document = await forgeDocument(path)
  const code = (rootFingerprint: string) =>
    refusalCode(() => verifyAttestationDocument(document, { now: NOW, rootFingerprint }))
  expect(code(path.rootFingerprint.toUpperCase())).toBe("accepted")
  expect(code(path.rootFingerprint.slice(0, 32))).toBe("untrusted-root")
  expect(code("")).toBe("untrusted-root")
})

test("a certificate is exactly one DER certificate", async () => {
  const path = await forgePath()
  const pem = Buffer.from(
    `-----BEGIN CERTIFICATE-----\n${path.certificate.toString("base64")}\n-----END CERTIFICATE-----\n`,
  )
  const unreadable = [
    pem,
    Buffer.concat([path.certificate, Buffer.of(0)]),
    path.certificate.subarray(0, -1),
    Buffer.of(0x30, 0x80),
    Buffer.alloc(1024, 0x30),
    Buffer.from("not a certificate"),
  ]
  for (const certificate of unreadable) {
    expect(await codeOf(path, { certificate })).toBe("invalid-chain")
  }
})

test("no bit of the leaf or of a CA can change", { timeout: 60_000 }, async () => {
  const path = await forgePath()
  const [root, regional, ...rest] = path.cabundle
  if (root === undefined || regional === undefined) throw new Error("the path is short")
  for (let bit = 0; bit < regional.length * 8; bit += 13) {
    const cabundle = [root, flip(regional, bit), ...rest]
    expect(await codeOf(path, { cabundle })).toMatch(
      /^(invalid-chain|unsupported-algorithm|certificate-.*)$/,
    )
  }
  for (let bit = 0; bit < path.certificate.length * 8; bit += 13) {
    const certificate = flip(path.certificate, bit)
    expect(await codeOf(path, { certificate })).toMatch(
      /^(invalid-chain|unsupported-algorithm|certificate-.*)$/,
    )
  }
})

test.each([
  ["zonal", { authority: { pathLen: 0 } }, "cabundle[2] allows 0 CAs below it, not 1"],
  ["root", { keyUsage: KeyUsageFlags.cRLSign }, "cabundle[0] may not sign certificates"],
  ["leaf", { issuerName: "zonal" }, "certificate was not issued by cabundle[3]"],
  ["leaf", { notAfter: PAST }, "certificate has expired"],
] as const)("a refusal says which certificate and why: %s %o", async (name, change, message) => {
  const path = await forgePath(pathWith(name, change))
  const document = await forgeDocument(path)
  const verify = () =>
    verifyAttestationDocument(document, { now: NOW, rootFingerprint: path.rootFingerprint })
  expect(verify).toThrow(AttestationError)
  expect(verify).toThrow(message)
})

test("the fingerprint is of the DER, as openssl prints it", async () => {
  const path = await forgePath()
  const [root = Buffer.alloc(0)] = path.cabundle
  expect(path.rootFingerprint).toBe(createHash("sha256").update(root).digest("hex"))
})

function flip(bytes: Buffer, bit: number): Buffer {
  const flipped = Buffer.from(bytes)
  flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return flipped
}
