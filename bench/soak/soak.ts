/** A site under steady load, renewed every minute: no handshake may fail, and nothing may grow. */

import { handshake, Load } from "../../sim/testbed/handshake.js"
import { memoryOf } from "../../sim/testbed/process-memory.js"
import { Site } from "../../sim/testbed/site.js"
import { Testbed } from "../../sim/testbed/testbed.js"
import { stopWhenInterrupted } from "../host/interrupt.js"
import { descriptorsOf } from "../measure/process-tree.js"
import type { Say } from "../profile.js"
import {
  type Allowance,
  DESCRIPTOR_ALLOWANCE,
  type Flatness,
  judgeFlatness,
  MEMORY_ALLOWANCE,
} from "./flatness.js"

export interface SoakReport {
  minutes: number
  renewals: number
  handshakes: number
  /** Why handshakes failed, and how many of them for that. */
  failures: Record<string, number>
  flatness: Flatness[]
}

const CLIENTS = 4
/** Between the handshakes of a client: a load that leaves the machine room, so that it stays even. */
const PAUSE_MS = 30
const SAMPLE_MS = 5_000
const RENEWAL_MS = 60_000
const PROTOCOLS = ["TLSv1.2", "TLSv1.3"] as const

/** Renewals change the type of key in turn, which is more than most sites ever do. */
const KEY_TYPES = ["RSA-2048", "P-256"] as const

export async function soak(minutes: number, say: Say): Promise<SoakReport> {
  const testbed = await Testbed.up()
  stopWhenInterrupted(testbed)
  try {
    const site = await Site.create(testbed, {
      ...{ name: "soak", service: "httpd", target: "Snippet" },
      directives: ["LogLevel warn"],
      tokens: [{ label: "web", keyType: KEY_TYPES[0] }],
      agent: { options: { sync_interval_secs: 2 } },
    })
    return await soakSite(site, minutes, say)
  } finally {
    await testbed.down()
  }
}

async function soakSite(site: Site, minutes: number, say: Say): Promise<SoakReport> {
  const load = steadyLoad(site)
  load.start(CLIENTS)
  const samples = new Samples(site)
  const endAt = performance.now() + minutes * 60_000
  let renewals = 0
  for (let renewAt = performance.now() + RENEWAL_MS / 2; performance.now() < endAt; ) {
    await samples.take()
    if (performance.now() >= renewAt) {
      renewAt += RENEWAL_MS
      await site.renew(site.token, KEY_TYPES[++renewals % KEY_TYPES.length])
      await site.presents()
      const { done, failures } = load
      say(`${renewals} renewals, ${done} handshakes, ${failures.length} failed; ${samples.latest}`)
    }
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS))
  }
  await load.stop()
  const failures: Record<string, number> = {}
  for (const reason of load.failures) failures[reason] = (failures[reason] ?? 0) + 1
  return { minutes, renewals, handshakes: load.done, failures, flatness: samples.judge() }
}

/** Both protocols in turn, each handshake verified. */
function steadyLoad(site: Site): Load {
  const { port } = site.server
  const ca = site.testbed.authority.rootPem
  let turn = 0
  return new Load(async () => {
    const protocol = PROTOCOLS[turn++ % PROTOCOLS.length] ?? "TLSv1.3"
    await handshake({ port, ca, protocol })
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  })
}

/** What the processes that stay over all renewals had, time after time. */
class Samples {
  readonly #site: Site
  readonly #series = new Map<string, { values: number[]; allowed: Allowance }>()

  constructor(site: Site) {
    this.#site = site
  }

  async take(): Promise<void> {
    const apache = await this.#site.server.pid()
    const [enclave] = this.#site.enclavePids
    for (const [name, pid] of [
      ["enclave", enclave],
      ["agent", this.#site.agent.pid],
      ["Apache's parent", apache],
    ] as const) {
      if (pid === undefined) continue
      this.#add(`${name}, RSS MiB`, memoryOf(pid).rssMib, MEMORY_ALLOWANCE)
      this.#add(`${name}, descriptors`, descriptorsOf(pid), DESCRIPTOR_ALLOWANCE)
    }
  }

  get latest(): string {
    const texts = [...this.#series].map(([what, { values }]) => `${what} ${values.at(-1)}`)
    return texts.join(", ")
  }

  judge(): Flatness[] {
    return [...this.#series].map(([what, { values, allowed }]) =>
      judgeFlatness(what, values, allowed),
    )
  }

  #add(what: string, value: number, allowed: Allowance): void {
    const series = this.#series.get(what) ?? { values: [], allowed }
    series.values.push(value)
    this.#series.set(what, series)
  }
}
