/** The enclave's own KMS client against the simulator, through the parent's relay, unchanged. */
import { readFileSync } from "node:fs"
import { connect } from "node:net"
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { stringify } from "yaml"
import { recipientDecrypt } from "../../enclave/kms/recipient-decrypt.js"
import { RelayAgent } from "../../enclave/kms/relay-agent.js"
import { Nsm } from "../../enclave/nsm/index.js"
import { writeFileInOneStep } from "../../sim/files.js"
import { currentRoleSession, SESSION_TTL_SECS } from "../../sim/iam/principals.js"
import { type KmsSettings, writeKmsSettings } from "../../sim/kms/settings.js"
import { SimulatedNsm } from "../../sim/nsm/index.js"
import { INSTANCE_ID, KMS_HOST, REGION, vsockPath } from "../../sim/paths.js"
import { encryptUnderKey, releaseKeyPolicy, seedKmsKey } from "../../sim/seed.js"
import { startVsockProxy, type VsockProxy } from "../../sim/vsock-proxy/proxy.js"
import { log, startTestSimulator, type TestSimulator } from "./simulator.js"

const PCR0 = Buffer.alloc(48, 0xaa)
const PLAINTEXT = Buffer.from("y".repeat(1700))
const encryptionContext = { token: "web" }

let sim: TestSimulator
let proxy: VsockProxy
let keyId: string
let ciphertext: Uint8Array
beforeAll(async () => {
  sim = await startTestSimulator()
  const allowlist = [{ address: KMS_HOST, port: 443 }]
  writeFileInOneStep(sim.paths.vsockProxyConfig, stringify({ allowlist }))
  proxy = await startVsockProxy({
    paths: sim.paths,
    localPort: 8000,
    remoteAddress: KMS_HOST,
    remotePort: 443,
    workers: 4,
    configFile: sim.paths.vsockProxyConfig,
    log,
  })
  keyId = await seedKmsKey({
    dir: sim.dir,
    policy: releaseKeyPolicy({ pcr0: PCR0.toString("hex") }),
  })
  const seed = { dir: sim.dir, keyArn: keyId, plaintext: PLAINTEXT, encryptionContext }
  ciphertext = await encryptUnderKey(seed)
})
afterAll(async () => {
  await proxy.stop()
  await sim.stop()
})
beforeEach(() => writeKmsSettings(sim.paths.kmsDir, {}))

interface Attempt {
  pcr0?: Buffer
  roots?: string
  sessionToken?: string
}

/** Decrypts as an enclave of the image `pcr0` does. */
async function decrypt({ pcr0 = PCR0, roots, sessionToken }: Attempt = {}): Promise<Buffer> {
  const moduleId = `${INSTANCE_ID}-enc0123456789abcdef`
  const device = new SimulatedNsm({ moduleId, pcrs: new Map([[0, pcr0]]), pki: sim.pki })
  const agent = new RelayAgent({
    connectRelay: async () => connect(vsockPath(sim.paths.vsockDir, 3, 8000)),
    roots: [roots ?? readFileSync(sim.paths.caFile, "utf8")],
  })
  const session = currentRoleSession(sim.paths, SESSION_TTL_SECS)
  try {
    const decrypted = await recipientDecrypt(
      new Nsm(device),
      agent,
    )({
      ciphertext,
      keyId,
      region: REGION,
      credentials: { ...session, sessionToken: sessionToken ?? session.sessionToken },
      encryptionContext,
    })
    return decrypted.plaintext
  } finally {
    agent.destroy()
  }
}

describe("the enclave's KMS client", () => {
  const shapes: KmsSettings[] = [
    { cmsShape: "constructed", cmsChunkBytes: 500 },
    { cmsShape: "primitive" },
  ]
  it.each(shapes)("opens what is sealed to it, $cmsShape", async (settings) => {
    writeKmsSettings(sim.paths.kmsDir, settings)
    expect(await decrypt()).toEqual(PLAINTEXT)
  })

  it("is refused for another image, and by an explicit deny", async () => {
    await expect(decrypt({ pcr0: Buffer.alloc(48, 1) })).rejects.toMatchObject({
      code: "kms-access-denied",
    })
    writeKmsSettings(sim.paths.kmsDir, { denyAll: true })
    await expect(decrypt()).rejects.toMatchObject({ code: "kms-explicit-deny" })
  })

  it("is refused with credentials that are not the account's", async () => {
    await expect(decrypt({ sessionToken: "x" })).rejects.toMatchObject({
      code: "kms-credentials-refused",
    })
  })

  it("refuses an answer under another key", async () => {
    writeKmsSettings(sim.paths.kmsDir, { answerKeyId: `${keyId}0` })
    await expect(decrypt()).rejects.toMatchObject({ code: "kms-key-id-mismatch" })
  })

  it("refuses a KMS that its roots do not vouch for", async () => {
    const roots = readFileSync(`${sim.paths.nitroPkiDir}/root.pem`, "utf8")
    await expect(decrypt({ roots })).rejects.toMatchObject({ code: "kms-tls-untrusted" })
  })

  it("tries again when KMS throttles or fails for a moment", async () => {
    writeKmsSettings(sim.paths.kmsDir, { throttleNext: 1, unavailableNext: 1 })
    expect(await decrypt()).toEqual(PLAINTEXT)
    writeKmsSettings(sim.paths.kmsDir, { throttleNext: 10 })
    await expect(decrypt()).rejects.toMatchObject({ code: "kms-throttled" })
  })
})
