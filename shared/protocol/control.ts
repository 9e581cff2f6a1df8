/** Messages of the control service, as schemas: both sides check what they receive with them. */
import * as z from "zod"
import { type CborValue, cborInteger, decodeCbor, encodeCbor } from "../cbor.js"
import { CodedError } from "../errors.js"
import { type ControlCode, isControlCode } from "./control-codes.js"
import {
  CONTROL_SECRET_BYTES,
  MAX_CERTIFICATE_BYTES,
  MAX_ENCRYPTED_KEY_BYTES,
  MAX_LABEL_BYTES,
  MAX_PIN_LENGTH,
  MIN_PIN_LENGTH,
} from "./limits.js"

const bytes = (min: number, max: number): z.ZodType<Uint8Array> =>
  z
    .instanceof(Uint8Array)
    .refine((value) => value.length >= min && value.length <= max, `must be ${min} to ${max} bytes`)

/** Token label: 1 to 32 bytes of UTF-8 without control characters. */
export const labelSchema = z
  .string()
  .min(1)
  .refine(
    (label) => Buffer.byteLength(label) <= MAX_LABEL_BYTES,
    `at most ${MAX_LABEL_BYTES} bytes`,
  )
  .refine((label) => !/\p{Cc}/u.test(label), "must not hold control characters")

/** PIN: 4 to 64 characters, none of them a control character. */
export const pinSchema = z
  .string()
  .min(MIN_PIN_LENGTH)
  .max(MAX_PIN_LENGTH)
  .refine((pin) => !/\p{Cc}/u.test(pin), "must not hold control characters")

/** ARN of a KMS key; group 1 is the partition, group 2 the region. */
export const KMS_KEY_ARN =
  /^arn:(aws|aws-cn|aws-us-gov|aws-iso|aws-iso-b|aws-eusc):kms:([a-z]{2,4}(?:-[a-z]+){1,3}-[0-9]{1,2}):[0-9]{12}:key\/[A-Za-z0-9-]{1,128}$/
export const AWS_REGION = /^[a-z]{2,4}(?:-[a-z]+){1,3}-[0-9]{1,2}$/

/** Credentials the enclave signs its KMS requests with: the parent's, temporary as a rule. */
export const credentialsSchema = z.strictObject({
  accessKeyId: z.string().min(16).max(128),
  secretAccessKey: z.string().min(1).max(256),
  sessionToken: z.string().max(8_192).nullable(),
})
export type ControlCredentials = z.infer<typeof credentialsSchema>

export const helloSchema = z.strictObject({
  version: z.int().min(1),
  secret: bytes(CONTROL_SECRET_BYTES, CONTROL_SECRET_BYTES),
})

export const provisionSchema = z.strictObject({
  label: labelSchema,
  pin: pinSchema,
  /** DER, the leaf first. */
  certificates: z.array(bytes(1, MAX_CERTIFICATE_BYTES)).min(1).max(10),
  /** KMS ciphertext of the private key's PEM. */
  encryptedPrivateKey: bytes(1, MAX_ENCRYPTED_KEY_BYTES),
  /** ARN of the KMS key, null where the object's publisher does not say (ACM). */
  keyId: z.string().regex(KMS_KEY_ARN).nullable(),
  region: z.string().regex(AWS_REGION),
  credentials: credentialsSchema,
  encryptionContext: z.record(z.string().max(256), z.string().max(1_024)).nullable(),
  /** Leave the token's current key in place until `activate`. */
  stage: z.boolean().default(false),
})
export type ProvisionRequest = z.infer<typeof provisionSchema>

export const refreshSchema = z.strictObject({ label: labelSchema, credentials: credentialsSchema })
/** `offset` is the number of tokens to leave out: a description takes as many as fit a frame. */
export const describeSchema = z.strictObject({ offset: z.int().min(0).optional() })
export const removeSchema = z.strictObject({ label: labelSchema })
/** Makes the staged key the current one. */
export const activateSchema = z.strictObject({ label: labelSchema, fingerprint: bytes(32, 32) })
/** Destroys a retiring key before its hour is over, or a staged one: no server process uses it. */
export const retireSchema = z.strictObject({ label: labelSchema, fingerprint: bytes(32, 32) })

const timestamp = z.number().int().nonnegative()

/** A token as the control service describes it; times are in ms since the epoch. */
export const tokenDescriptionSchema = z.object({
  label: z.string(),
  /** SHA-256 of the current key's SubjectPublicKeyInfo, hex. */
  fingerprint: z.string(),
  /** SHA-256 of the leaf's DER, hex. */
  certificateFingerprint: z.string(),
  keyType: z.string(),
  /** KMS key that decrypted it. */
  keyId: z.string(),
  attestedAt: timestamp,
  expiresAt: timestamp,
  /** Of the key that is staged, hex. */
  nextFingerprint: z.string().nullable(),
  /** Of the keys that renewals replaced and that sign still, hex. */
  retiringFingerprints: z.array(z.string()),
  /** Signatures made, by mechanism. */
  signatures: z.record(z.string(), z.number().int()),
  /** Decryptions made, by mechanism; none under the policy `tls-server`. */
  decryptions: z.record(z.string(), z.number().int()).optional(),
  /** Requests refused: by the policy, the PIN, or the key. */
  refusals: z.number().int(),
  /** Requests that failed inside the enclave. */
  failures: z.number().int(),
})
export type TokenDescription = z.infer<typeof tokenDescriptionSchema>

/** A cumulative histogram: `counts[i]` answers took at most `bounds[i]` µs, `count` took any time. */
export const latencySchema = z.object({
  bounds: z.array(z.number().int()),
  counts: z.array(z.number().int()),
  count: z.number().int(),
  /** µs */
  sum: z.number().int(),
})
export type LatencyHistogram = z.infer<typeof latencySchema>

export const enclaveDescriptionSchema = z.object({
  version: z.string(),
  moduleId: z.string(),
  /** Locked PCRs, index → hex. */
  pcrs: z.record(z.string(), z.string()),
  debug: z.boolean(),
  phase: z.enum(["unclaimed", "claimed"]),
  policy: z.string(),
  bootedAt: timestamp,
  now: timestamp,
  generation: z.number().int(),
  /** Connections of the signing service: open now, and accepted since boot. */
  connections: z.object({ open: z.number().int(), accepted: z.number().int() }),
  /** Time from a sign request's arrival to its answer, for all tokens. */
  latency: latencySchema,
  /** It takes no new signing connections, and closes those that are idle. */
  draining: z.boolean(),
  /** In the order of their labels' bytes; none are left once this is empty. */
  tokens: z.array(tokenDescriptionSchema),
})
export type EnclaveDescription = z.infer<typeof enclaveDescriptionSchema>

export const CONTROL_OPS = [
  "hello",
  "describe",
  "provision",
  "refresh",
  "remove",
  "activate",
  "retire",
  "drain",
] as const
export type ControlOp = (typeof CONTROL_OPS)[number]

/** A refusal of the control service; `detail` holds texts that are no secrets. */
export class ControlError extends CodedError<ControlCode> {
  readonly detail: Readonly<Record<string, string>>
  /** Id of the refused request, where it was readable. */
  readonly requestId: number

  constructor(
    code: ControlCode,
    message: string,
    options: { detail?: Record<string, string>; requestId?: number; cause?: unknown } = {},
  ) {
    super(code, message, { cause: options.cause })
    this.detail = options.detail ?? {}
    this.requestId = options.requestId ?? 0
  }
}

export interface ControlRequest {
  id: number
  op: ControlOp
  /** Not yet checked against the operation's schema. */
  fields: unknown
}

const requestSchema = z.union([
  z.tuple([z.int().min(0).max(0xffff_ffff), z.string()]),
  z.tuple([z.int().min(0).max(0xffff_ffff), z.string(), z.record(z.string(), z.unknown())]),
])

/**
 * Decodes one request down to its operation.
 *
 * @throws CodedError `malformed-cbor`; {@link ControlError} `malformed-request`, `unknown-op`
 */
export function decodeControlRequest(payload: Uint8Array): ControlRequest {
  const parsed = requestSchema.safeParse(decodeCbor(payload))
  if (!parsed.success) throw new ControlError("malformed-request", "not a control request")
  const [id, op, fields = {}] = parsed.data
  const known = CONTROL_OPS.find((name) => name === op)
  if (known === undefined) {
    throw new ControlError("unknown-op", "no such operation", { requestId: id })
  }
  return { id, op: known, fields }
}

export function encodeControlRequest(id: number, op: ControlOp, fields?: CborValue): Buffer {
  return encodeCbor(fields === undefined ? [id, op] : [id, op, fields])
}

export function encodeControlResult(id: number, result: unknown): Buffer {
  return encodeCbor([id, 0, toCbor(result)])
}

export function encodeControlError(error: ControlError): Buffer {
  return encodeCbor([error.requestId, error.code, error.detail])
}

const answerSchema = z.union([
  z.tuple([z.int().nonnegative(), z.literal(0), z.unknown()]),
  z.tuple([z.int().nonnegative(), z.string(), z.record(z.string(), z.string())]),
])

export type ControlAnswer =
  | { id: number; result: unknown }
  | { id: number; code: ControlCode; detail: Record<string, string> }

/**
 * Decodes one answer. A code that this version does not know becomes `internal`.
 *
 * @throws CodedError `malformed-cbor`, `malformed-request`
 */
export function decodeControlAnswer(payload: Uint8Array): ControlAnswer {
  const parsed = answerSchema.safeParse(decodeCbor(payload))
  if (!parsed.success) throw new ControlError("malformed-request", "not a control answer")
  const answer = parsed.data
  if (answer[1] === 0) return { id: answer[0], result: answer[2] }
  return {
    id: answer[0],
    code: isControlCode(answer[1]) ? answer[1] : "internal",
    detail: answer[2] as Record<string, string>,
  }
}

/** Plain data to CBOR; integers beyond 32 bits in the form that the subset has. */
function toCbor(value: unknown): CborValue {
  if (typeof value === "number") return cborInteger(value)
  if (Array.isArray(value)) return value.map(toCbor)
  if (value instanceof Uint8Array || typeof value !== "object" || value === null) {
    return (value ?? null) as CborValue
  }
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, toCbor(entry)]))
}
