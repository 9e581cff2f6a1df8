/** The container image as buildah builds it from Dockerfile.enclave: builds, and what is in them. */
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { execa } from "execa"
import { CHECKOUT } from "../../sim/testbed/checkout.js"

/** What scripts/container/prepare.sh filled; without it there is nothing to build with. */
export const CACHE = process.env.TLSKEEP_CONTAINERS ?? ""

export interface BuiltImage {
  tag: string
  /** The build's progress. */
  log: string
  /** SHA-256 of the uncompressed layers: everything that is in its files, names, rights and times. */
  layers: string[]
  environment: string[]
  command: string[]
}

const buildah = async (...args: string[]): Promise<string> =>
  (await execa("buildah", args)).stdout.trim()

/** Builds the image as `make image` does, under a tag of its own. */
export async function buildImage(): Promise<BuiltImage> {
  const tag = `localhost/tlskeep-test:${randomBytes(8).toString("hex")}`
  const { all: log } = await execa(join(CHECKOUT.root, "scripts/build-container.sh"), [tag], {
    env: { CONTAINER_TOOL: "buildah", CONTAINER_FLAGS: "--layers=false --network host" },
    all: true,
  })
  const { Docker } = JSON.parse(await buildah("inspect", "--type", "image", tag)) as Inspected
  const { Env: environment, Cmd: command } = Docker.config
  return { tag, log, layers: Docker.rootfs.diff_ids, environment, command }
}

interface Inspected {
  Docker: { rootfs: { diff_ids: string[] }; config: { Env: string[]; Cmd: string[] } }
}

/** An image's files below a folder, until `remove` is called. */
export async function unpack({ tag }: BuiltImage): Promise<{
  root: string
  remove(): Promise<void>
}> {
  const container = await buildah("from", tag)
  return {
    root: await buildah("mount", container),
    remove: async () => {
      await buildah("rm", container)
    },
  }
}

export async function removeImage({ tag }: BuiltImage): Promise<void> {
  await buildah("rmi", tag)
}
