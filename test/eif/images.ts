/** Images for the tests: parts on disk, a built file, keys that sign, and the reference builder. */
import { execFile } from "node:child_process"
import { createHash, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { crc32 } from "node:zlib"
import { afterAll } from "vitest"
import { buildEif, type EifInputs } from "../../parent/eif/build.js"
import { CRC_OFFSET } from "../../parent/eif/format.js"
import { type EifMetadata, makeMetadata } from "../../parent/eif/metadata.js"
import { imageSigner } from "../../parent/eif/signature.js"

export const execFileAsync = promisify(execFile)

/** A folder that is gone after the file's tests. */
export async function testFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "eif-"))
  afterAll(() => rm(dir, { recursive: true }))
  return dir
}

/** The same bytes for the same seed, any number of them. */
export function bytesOf(seed: string, length: number): Buffer {
  const blocks: Buffer[] = []
  for (let at = 0; at < length; at += 32) {
    blocks.push(createHash("sha256").update(`${seed} ${at}`).digest())
  }
  return Buffer.concat(blocks).subarray(0, length)
}

export const METADATA: EifMetadata = makeMetadata({
  imageName: "test",
  imageVersion: "1.0",
  buildTimeSecs: 0,
  buildTool: "test",
  buildToolVersion: "1",
  operatingSystem: "Linux",
  kernelVersion: "6.12",
})

/** Writes a kernel and ramdisks of the given lengths; a small image unless said otherwise. */
export async function makeInputs(
  dir: string,
  { kernelBytes = 70_001, ramdiskBytes = [5_000, 30_003] } = {},
): Promise<EifInputs> {
  const kernel = join(dir, "kernel")
  await writeFile(kernel, bytesOf("kernel", kernelBytes))
  const ramdisks = ramdiskBytes.map((_, index) => join(dir, `ramdisk-${index}`))
  for (const [index, path] of ramdisks.entries()) {
    await writeFile(path, bytesOf(`ramdisk ${index}`, ramdiskBytes[index] ?? 0))
  }
  const cmdline = Buffer.from("reboot=k panic=-1 pci=off")
  return { kernel, cmdline, ramdisks, metadata: METADATA, architecture: "x86_64" }
}

/** A small image's bytes. */
export async function makeImage(
  dir: string,
  changes: Partial<EifInputs> = {},
): Promise<{ bytes: Buffer; path: string }> {
  const path = join(dir, "image.eif")
  await buildEif({ ...(await makeInputs(dir)), ...changes }, path)
  return { bytes: await readFile(path), path }
}

/** Makes the checksum right again after `bytes` were changed. */
export function withRightCrc(bytes: Buffer): Buffer {
  const crc = crc32(bytes.subarray(CRC_OFFSET + 4), crc32(bytes.subarray(0, CRC_OFFSET)))
  bytes.writeUInt32BE(crc, CRC_OFFSET)
  return bytes
}

export type Curve = "P-256" | "P-384" | "P-521"

export interface SigningFiles {
  key: string
  certificate: string
  privateKey: KeyObject
  x509: X509Certificate
}

/** A key and a self-signed certificate, made by OpenSSL's command. */
export async function makeSigningFiles(
  dir: string,
  curve: Curve,
  name: string = curve,
): Promise<SigningFiles> {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: curve })
  const key = join(dir, `${name}.key`)
  const certificate = join(dir, `${name}.pem`)
  await writeFile(key, privateKey.export({ type: "sec1", format: "pem" }))
  const subject = ["-subj", "/C=US/O=Example/CN=image signer"]
  const request = ["req", "-x509", "-new", "-key", key, "-sha384", "-days", "30", ...subject]
  await execFileAsync("openssl", [...request, "-out", certificate])
  return { key, certificate, privateKey, x509: new X509Certificate(await readFile(certificate)) }
}

export async function signerOf({ key, certificate }: SigningFiles) {
  return imageSigner(await readFile(key), await readFile(certificate))
}

/** Runs the reference builder; resolves with its PCRs and leaves its image at `output`. */
export async function buildByReference(
  dir: string,
  inputs: EifInputs,
  signed?: { signature: string; cert: string },
): Promise<{ bytes: Buffer; pcrs: Record<string, string> }> {
  const metadata = join(dir, "reference-metadata.json")
  await writeFile(metadata, JSON.stringify(inputs.metadata))
  const output = join(dir, "reference.eif")
  const request = {
    ...{ output, metadata, arch: inputs.architecture, cmdline: inputs.cmdline.toString() },
    ...{ kernel: inputs.kernel, ramdisks: inputs.ramdisks, ...signed },
  }
  const script = fileURLToPath(new URL("reference.py", import.meta.url))
  const run = execFileAsync("python3", [script])
  run.child.stdin?.end(JSON.stringify(request))
  const { stdout } = await run
  return { bytes: await readFile(output), pcrs: JSON.parse(stdout) }
}
