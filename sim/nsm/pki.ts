/**
 * The simulator's own Nitro Attestation PKI: root → regional → zonal → instance → leaf, with the
 * names, lifetimes and constraints of the real one. Only its root differs, and with it the fingerprint.
 */
import { createHash, webcrypto, X509Certificate } from "node:crypto"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { ES384, generateKeys, issueCertificate, KeyUsageFlags } from "./certificates.js"

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** How long certificates live, and how much of that is past when one is first used. */
const LIFETIMES = {
  root: { lifeMs: 30 * 365 * DAY_MS, usedMs: DAY_MS },
  regional: { lifeMs: 20 * DAY_MS, usedMs: 4 * DAY_MS },
  zonal: { lifeMs: 6 * DAY_MS, usedMs: DAY_MS },
  instance: { lifeMs: DAY_MS, usedMs: 3 * HOUR_MS },
  leaf: { lifeMs: 3 * HOUR_MS, usedMs: 3 * MINUTE_MS },
} as const
/** A CA is replaced while it still outlives the leafs that it signs. */
const RENEW_AUTHORITY_BEFORE_MS = 4 * HOUR_MS

const ROOT_NAME = "C=US, O=Amazon, OU=AWS, CN=aws.nitro-enclaves"
const CA_USAGE = KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign

const ROOT_KEY_FILE = "root.key"
const ROOT_CERTIFICATE_FILE = "root.pem"
/** Holds the fingerprint, 64 hex digits and a newline. */
export const ROOT_FINGERPRINT_FILE = "root.sha256"

/** A CA with the path down to it. Immutable, so that a path in use stays whole through renewals. */
export interface Authority {
  subject: string
  keys: webcrypto.CryptoKeyPair
  notBefore: Date
  notAfter: Date
  /** DER from the root down to this CA: a document's cabundle. */
  path: readonly Uint8Array[]
}

/** A leaf, which signs attestation documents for at most three hours. */
export interface Leaf {
  certificate: Uint8Array
  cabundle: readonly Uint8Array[]
  privateKey: webcrypto.CryptoKey
  notBefore: Date
  notAfter: Date
}

/**
 * Issues leafs under one root. The CAs between are made when they are needed and replaced before
 * they expire, by the clock that callers pass in.
 */
export class NitroPki {
  readonly #root: Authority
  readonly #region: string
  #regional: Authority | undefined
  #zonal: Authority | undefined
  readonly #instances = new Map<string, Authority>()

  constructor(root: Authority, region = "us-east-1") {
    this.#root = root
    this.#region = region
  }

  /** DER of the root. */
  get rootCertificate(): Uint8Array {
    const [root] = this.#root.path
    if (root === undefined) throw new Error("the authority has no root certificate")
    return root
  }

  /** SHA-256 of the root's DER, 64 hex digits: what a verifier pins. */
  get rootFingerprint(): string {
    return createHash("sha256").update(this.rootCertificate).digest("hex")
  }

  /**
   * Issues the certificate that an enclave's NSM signs with.
   *
   * @param moduleId - `i-…-enc…`; its first part names the instance.
   */
  async issueLeaf(moduleId: string, now: Date): Promise<Leaf> {
    const instance = await this.instanceAuthority(instanceOf(moduleId), now)
    const { notBefore, notAfter } = lifetime("leaf", now)
    const keys = await generateKeys()
    const certificate = await issueCertificate({
      subject: hostName(`${moduleId}.${this.#region}.aws`),
      issuer: instance.subject,
      publicKey: keys.publicKey,
      signingKey: instance.keys,
      notBefore,
      notAfter,
      keyUsage: KeyUsageFlags.digitalSignature | KeyUsageFlags.nonRepudiation,
      authority: null,
    })
    return {
      certificate,
      cabundle: instance.path,
      privateKey: keys.privateKey,
      notBefore,
      notAfter,
    }
  }

  /** The CA of one instance, with the path to it. */
  async instanceAuthority(instanceId: string, now: Date): Promise<Authority> {
    this.#regional = await this.#current(this.#regional, this.#root, now, {
      kind: "regional",
      subject: `C=US, O=Amazon, OU=AWS, CN=${label()}.${this.#region}.aws.nitro-enclaves`,
      pathLen: 2,
      keyUsage: CA_USAGE,
    })
    this.#zonal = await this.#current(this.#zonal, this.#regional, now, {
      kind: "zonal",
      subject: `CN=${label()}.zonal.${this.#region}.aws.nitro-enclaves, OU=AWS, O=Amazon, C=US, ST=WA, L=Seattle`,
      pathLen: 1,
      keyUsage: CA_USAGE,
    })
    const instance = await this.#current(this.#instances.get(instanceId), this.#zonal, now, {
      kind: "instance",
      subject: hostName(`${instanceId}.${this.#region}.aws.nitro-enclaves`),
      pathLen: 0,
      keyUsage: KeyUsageFlags.keyCertSign,
    })
    this.#instances.set(instanceId, instance)
    return instance
  }

  /** `authority` as long as it is valid and still below `issuer`, else a new one in its place. */
  async #current(
    authority: Authority | undefined,
    issuer: Authority,
    now: Date,
    wanted: {
      kind: "regional" | "zonal" | "instance"
      subject: string
      pathLen: number
      keyUsage: KeyUsageFlags
    },
  ): Promise<Authority> {
    const below = authority?.path[issuer.path.length - 1] === issuer.path.at(-1)
    if (authority !== undefined && below && isFresh(authority, now)) return authority
    const { notBefore, notAfter } = lifetime(wanted.kind, now)
    const keys = await generateKeys()
    const certificate = await issueCertificate({
      subject: wanted.subject,
      issuer: issuer.subject,
      publicKey: keys.publicKey,
      signingKey: issuer.keys,
      notBefore,
      notAfter,
      keyUsage: wanted.keyUsage,
      authority: { pathLen: wanted.pathLen },
    })
    return {
      subject: wanted.subject,
      keys,
      notBefore,
      notAfter,
      path: [...issuer.path, certificate],
    }
  }
}

/** Makes a root that lives in memory only. */
export async function makeRootAuthority(now = new Date()): Promise<Authority> {
  const { notBefore, notAfter } = lifetime("root", now)
  const keys = await generateKeys()
  const certificate = await issueCertificate({
    subject: ROOT_NAME,
    issuer: ROOT_NAME,
    publicKey: keys.publicKey,
    signingKey: keys,
    notBefore,
    notAfter,
    keyUsage: CA_USAGE,
    authority: {},
  })
  return { subject: ROOT_NAME, keys, notBefore, notAfter, path: [certificate] }
}

/**
 * Makes a PKI and saves its root in `dir` (made if needed): `root.key` (PKCS#8 PEM, readable by the
 * owner only), `root.pem` and `root.sha256`. The CAs below the root are short-lived and not saved.
 *
 * @throws a system error, EEXIST if there is a root already.
 */
export async function createNitroPki(dir: string, now = new Date()): Promise<NitroPki> {
  const root = await makeRootAuthority(now)
  const pki = new NitroPki(root)
  const key = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", root.keys.privateKey))
  await mkdir(dir, { recursive: true })
  await writeFile(join(dir, ROOT_KEY_FILE), pem("PRIVATE KEY", key), { flag: "wx", mode: 0o600 })
  await writeFile(join(dir, ROOT_CERTIFICATE_FILE), pem("CERTIFICATE", pki.rootCertificate))
  await writeFile(join(dir, ROOT_FINGERPRINT_FILE), `${pki.rootFingerprint}\n`)
  return pki
}

/** Loads the PKI that {@link createNitroPki} saved in `dir`. Documents of both have the same root. */
export async function loadNitroPki(dir: string): Promise<NitroPki> {
  const key = unpem(await readFile(join(dir, ROOT_KEY_FILE), "utf8"))
  const certificate = unpem(await readFile(join(dir, ROOT_CERTIFICATE_FILE), "utf8"))
  const privateKey = await webcrypto.subtle.importKey("pkcs8", key, ES384, true, ["sign"])
  const { notBefore, notAfter, publicKey } = await readRoot(certificate)
  return new NitroPki({
    subject: ROOT_NAME,
    keys: { privateKey, publicKey },
    notBefore,
    notAfter,
    path: [certificate],
  })
}

async function readRoot(
  der: Uint8Array,
): Promise<{ notBefore: Date; notAfter: Date; publicKey: webcrypto.CryptoKey }> {
  const x509 = new X509Certificate(der)
  const spki = x509.publicKey.export({ type: "spki", format: "der" })
  return {
    notBefore: new Date(x509.validFrom),
    notAfter: new Date(x509.validTo),
    publicKey: await webcrypto.subtle.importKey("spki", spki, ES384, true, ["verify"]),
  }
}

function isFresh(authority: Authority, now: Date): boolean {
  const until = authority.notAfter.getTime() - RENEW_AUTHORITY_BEFORE_MS
  return now >= authority.notBefore && now.getTime() <= until
}

function lifetime(kind: keyof typeof LIFETIMES, now: Date): { notBefore: Date; notAfter: Date } {
  const { lifeMs, usedMs } = LIFETIMES[kind]
  const start = now.getTime() - usedMs
  return { notBefore: new Date(start), notAfter: new Date(start + lifeMs) }
}

/** The instance of a module id, `i-…` before its `-enc…`. */
function instanceOf(moduleId: string): string {
  const [instanceId = moduleId] = moduleId.split("-enc")
  return instanceId
}

function hostName(commonName: string): string {
  return `C=US, ST=Washington, L=Seattle, O=Amazon, OU=AWS, CN=${commonName}`
}

/** The random first label of a regional or zonal CA's name. */
function label(): string {
  return Buffer.from(webcrypto.getRandomValues(new Uint8Array(8))).toString("hex")
}

function pem(type: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${type}-----`, ...lines, `-----END ${type}-----`, ""].join("\n")
}

function unpem(text: string): Buffer {
  return Buffer.from(text.replace(/-----[A-Z ]+-----/g, ""), "base64")
}
