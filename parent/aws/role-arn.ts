/**
 * Finds the ARN of the instance's role, which ACM's objects are named by: configured, in the
 * instance's tag, by IAM, or as a guess from the instance profile. What was found is kept.
 */
import { GetRoleCommand, type IAMClient } from "@aws-sdk/client-iam"
import type { Logger } from "pino"
import { z } from "zod"
import { AgentError } from "../errors.js"
import { abortable } from "./abortable.js"
import type { Imds } from "./imds.js"
import { policyStatement } from "./policy-statement.js"

/** The tag that AWS's own agent looks at. */
const ROLE_TAG = "InstanceRoleArn"
const ROLE_ARN = /^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]+$/
/** An instance can be given another role, or a tag, while the agent runs. */
const LOOK_AGAIN_MS = 600_000
/** A guess is likely to be followed by somebody who allows iam:GetRole. */
const GUESS_AGAIN_MS = 60_000

export interface RoleFinderDeps {
  configured: string | undefined
  imds: Imds
  iam: IAMClient
  log: Logger | undefined
}

interface Found {
  arn: string
  /** Guessed from names: wrong for a role with a path. */
  guessed: boolean
}

export class RoleFinder {
  readonly #deps: RoleFinderDeps
  #known: Found | undefined
  #lookAgainAt = 0
  #looking: Promise<Found> | undefined
  readonly #warned = new Set<string>()

  constructor(deps: RoleFinderDeps) {
    this.#deps = deps
  }

  /**
   * The role's ARN. A look-up takes seconds at most and is shared by all who ask meanwhile.
   *
   * @throws AgentError `role-unknown` while none has been found; or the signal's reason
   */
  async find(signal?: AbortSignal): Promise<string> {
    const { configured } = this.#deps
    if (configured !== undefined) return configured
    if (this.#known !== undefined && Date.now() < this.#lookAgainAt) return this.#known.arn
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return (await abortable(this.#looking, signal)).arn
  }

  async #look(): Promise<Found> {
    const known = this.#known
    const found = await this.#discover().catch((error: unknown) => {
      if (known === undefined) throw roleUnknown(error)
      return known
    })
    // IAM out of reach must not replace what it said before.
    const worse = found.guessed && known?.guessed === false && sameName(found, known)
    const kept = worse ? known : found
    this.#known = kept
    this.#lookAgainAt = Date.now() + (kept.guessed ? GUESS_AGAIN_MS : LOOK_AGAIN_MS)
    return kept
  }

  async #discover(): Promise<Found> {
    const { imds } = this.#deps
    const tag = await imds.read(`tags/instance/${ROLE_TAG}`)
    if (tag !== undefined && ROLE_ARN.test(tag)) return { arn: tag, guessed: false }
    if (tag !== undefined) this.#warn("tag", `the tag ${ROLE_TAG} holds no ARN of a role`, "")
    const name = (await imds.read("iam/security-credentials"))?.split("\n")[0]?.trim()
    if (name === undefined || name === "") {
      throw new AgentError("role-unknown", "no role is attached to the instance")
    }
    try {
      return { arn: await this.#askIam(name), guessed: false }
    } catch (error) {
      return { arn: await this.#guess(name, error), guessed: true }
    }
  }

  async #askIam(name: string): Promise<string> {
    const { Role } = await this.#deps.iam.send(new GetRoleCommand({ RoleName: name }))
    if (Role?.Arn !== undefined && ROLE_ARN.test(Role.Arn)) return Role.Arn
    throw new AgentError("role-unknown", "iam:GetRole named no role")
  }

  async #guess(name: string, refusal: unknown): Promise<string> {
    const profile = parseProfile(await this.#deps.imds.read("iam/info"))
    const [, partition, account] = /^arn:([^:]+):iam::(\d{12}):/.exec(profile) ?? []
    if (partition === undefined || account === undefined) {
      throw new AgentError("role-unknown", "the instance profile has no ARN", { cause: refusal })
    }
    const arn = `arn:${partition}:iam::${account}:role/${name}`
    const why = refusal instanceof Error ? refusal.name : "unknown"
    this.#warn(
      "guess",
      `the role is taken to be ${arn}, which is wrong for a role with a path: iam:GetRole failed (${why})`,
      `Set aws.role_arn or the instance's tag ${ROLE_TAG}, or allow the role ${policyStatement("iam:GetRole", arn)}`,
    )
    return arn
  }

  /** Each thing once: it holds for as long as nobody changes it. */
  #warn(topic: string, reason: string, advice: string): void {
    if (this.#warned.has(topic)) return
    this.#warned.add(topic)
    this.#deps.log?.warn({ reason, ...(advice === "" ? {} : { advice }) }, "role of the instance")
  }
}

const profileSchema = z.looseObject({ InstanceProfileArn: z.string() })

function parseProfile(text: string | undefined): string {
  try {
    return profileSchema.parse(JSON.parse(text ?? "")).InstanceProfileArn
  } catch {
    return ""
  }
}

function sameName(one: Found, other: Found): boolean {
  return one.arn.split("/").at(-1) === other.arn.split("/").at(-1)
}

function roleUnknown(error: unknown): AgentError {
  const reason = error instanceof AgentError ? error.message : "it could not be asked for"
  return new AgentError("role-unknown", `the instance's role is not known: ${reason}`, {
    advice: "Attach an instance profile with a role to the instance, or set aws.role_arn.",
    cause: error,
  })
}
