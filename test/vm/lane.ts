/**
 * What the virtual machine's tests share: where the cache is, images built for it, and a nitro-cli
 * that boots them, set up in a testbed.
 */
import { existsSync } from "node:fs"
import { chmod, copyFile, cp, mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { execa } from "execa"
import type { Measurements } from "../../parent/eif/measure.js"
import { KMS_RELAY_PORT, PARENT_CID } from "../../shared/protocol/limits.js"
import { INSTANCE_ID, ROLE_ARN, vsockPath } from "../../sim/paths.js"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import type { Testbed } from "../../sim/testbed/testbed.js"
import type { VmSettings } from "./nitro-cli.js"

/** The folder that scripts/vm/prepare.sh filled; without it there is nothing to run in. */
export const CACHE = process.env.TLSKEEP_VM ?? ""
export const isPrepared = existsSync(join(CACHE, "qemu", "qemu-system-x86_64"))

/** An enclave image file with the PCRs that `tlskeep eif` computed for it. */
export interface VmImage {
  path: string
  pcrs: Measurements
}

/** Memory of the machines: the image, unpacked beside its archive, and Node.js. */
const MEMORY_MIB = 512

export interface VmImageOptions {
  /** Alters the bundle's folder, a copy, before it is packed. */
  change?: (folder: string) => Promise<void>
  /** Files in PEM that sign the image. */
  signing?: { key: string; certificate: string }
  /** A kernel module that the guest loads before the NSM's. */
  firstModule?: "virtio-rng"
}

/** Builds an image of one of the bundles below `build/`. */
export async function makeVmImage(
  dir: string,
  name: string,
  bundle: "enclave" | "enclave-vm",
  { change, signing, firstModule }: VmImageOptions = {},
): Promise<VmImage> {
  const folder = join(dir, `${name}-bundle`)
  await mkdir(dir, { recursive: true })
  await cp(join(CHECKOUT.root, "build", bundle), folder, { recursive: true })
  await change?.(folder)
  const path = join(dir, `${name}.eif`)
  const script = join(CHECKOUT.root, "scripts/vm/make-image.sh")
  const signer = signing === undefined ? [] : [signing.key, signing.certificate]
  const { stdout } = await execa(script, [folder, path, ...signer], {
    env: { TLSKEEP_VM: CACHE, FIRST_MODULE: firstModule ?? "" },
  })
  return { path, pcrs: JSON.parse(stdout).Measurements }
}

/** Puts the simulated KMS's root into the image for virtual machines. */
export function trustingRootOf(testbed: Testbed): (folder: string) => Promise<void> {
  return (folder) => copyFile(testbed.info.caFile, join(folder, "kms-root.pem"))
}

/** A nitro-cli that boots virtual machines, whose parent is the testbed's host. */
export interface VmHost {
  dir: string
  /** For the agent's configuration. */
  enclave: {
    nitro_cli_path: string
    address_pattern: string
    boot_timeout_ms: number
    memory_mib: number
  }
  nitroCli(...args: string[]): Promise<unknown>
}

/**
 * @param name - of the host's folder in the testbed's.
 * @param devices - that its machines have beside those of their kind, as QEMU's arguments.
 */
export async function vmHost(testbed: Testbed, name: string, devices: string[]): Promise<VmHost> {
  const dir = join(testbed.dir, name)
  await mkdir(dir)
  const settings: VmSettings = {
    devices,
    cache: CACHE,
    nitroPkiDir: testbed.info.nitroPkiDir,
    instanceId: INSTANCE_ID,
    roleArn: ROLE_ARN,
    parentPorts: { [KMS_RELAY_PORT]: vsockPath(testbed.info.vsockDir, PARENT_CID, KMS_RELAY_PORT) },
  }
  await writeFile(join(dir, "settings.json"), JSON.stringify(settings))
  const command = join(dir, "nitro-cli")
  const main = join(CHECKOUT.root, "dist/test/vm/nitro-cli.js")
  const script = `#!/bin/sh\nTLSKEEP_VM_DIR='${dir}' exec '${process.execPath}' '${main}' "$@"\n`
  await writeFile(command, script)
  await chmod(command, 0o755)
  return {
    dir,
    enclave: {
      nitro_cli_path: command,
      address_pattern: `unix+vsock:${dir}/{cid}/vm.vsock:{port}`,
      boot_timeout_ms: 120_000,
      memory_mib: MEMORY_MIB,
    },
    nitroCli: async (...args) => JSON.parse((await execa(command, args)).stdout),
  }
}

/** The text of a machine's console so far. */
export async function consoleOf(host: VmHost, cid: number): Promise<string> {
  return readFile(join(host.dir, String(cid), "console.log"), "utf8")
}
