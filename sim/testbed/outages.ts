/** Puts a link that can be cut before each service of the simulator, as its instance reaches it. */
import { type SimInfo, simEnvironment, writeSimInfo } from "../info.js"
import { KMS_HOST, simPaths } from "../paths.js"
import { Link } from "./link.js"

export class Outages {
  readonly s3: Link
  readonly imds: Link
  /** As enclaves reach it, through the vsock-proxy. */
  readonly kms: Link
  readonly #info: SimInfo

  private constructor(info: SimInfo, links: { s3: Link; imds: Link; kms: Link }) {
    this.#info = info
    this.s3 = links.s3
    this.imds = links.imds
    this.kms = links.kms
  }

  /** All links stand; the administrator's way to the services is not theirs. */
  static async prepare(info: SimInfo): Promise<Outages> {
    const { urls, hosts, dir } = info
    const linkTo = (url: string) => Link.to(Number(new URL(url).port))
    const [s3, imds, kms] = await Promise.all([
      linkTo(urls.s3),
      linkTo(urls.imds),
      linkTo(urls.kms),
    ])
    const relayed = { ...hosts, [`${KMS_HOST}:443`]: { host: "127.0.0.1", port: kms.port } }
    writeSimInfo(simPaths(dir), { ...info, hosts: relayed })
    return new Outages(info, { s3, imds, kms })
  }

  /** The environment of the instance's programs. */
  get env(): Record<string, string> {
    const urls = {
      ...this.#info.urls,
      s3: `https://127.0.0.1:${this.s3.port}`,
      imds: `http://127.0.0.1:${this.imds.port}`,
    }
    return simEnvironment({ ...this.#info, urls })
  }

  async stop(): Promise<void> {
    await Promise.all([this.s3.stop(), this.imds.stop(), this.kms.stop()])
  }
}
