/**
 * The list of private keys that the pack-key command of AWS's agent writes: each a KMS ciphertext
 * of the key's PEM with an id, a label and perhaps its certificate.
 */
import type { X509Certificate } from "node:crypto"
import { z } from "zod"
import { MAX_ENCRYPTED_KEY_BYTES } from "../../shared/protocol/limits.js"
import { AgentError } from "../errors.js"
import { certificatesOfPem, inOrder, type KeyObject } from "./key-object.js"

const entrySchema = z.looseObject({
  encrypted_pem_b64: z.base64().min(1),
  /** AWS's tool writes a number. */
  id: z.union([z.int(), z.string().min(1)]).transform(String),
  label: z.string(),
  /** The leaf, and its chain after it. */
  cert_pem: z.string().nullish(),
})
const listSchema = z.array(entrySchema)

export type PackKeyEntry = z.output<typeof entrySchema>

/**
 * Parses the list.
 *
 * @param name - what to call the file in messages
 * @throws AgentError `key-object-not-json`, `key-object-malformed` naming entry and field
 */
export function parsePackKey(text: string, name: string): PackKeyEntry[] {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new AgentError("key-object-not-json", `${name} is not JSON`, {
      advice: "Point the source at a file that tlskeep seal or AWS's pack-key wrote.",
      cause,
    })
  }
  const parsed = listSchema.safeParse(json)
  if (parsed.success) return parsed.data
  const places = parsed.error.issues.map(({ path: [index, field] }) =>
    index === undefined
      ? "the list"
      : `entry ${Number(index) + 1}${field ? ` ${String(field)}` : ""}`,
  )
  throw new AgentError(
    "key-object-malformed",
    `${name} is not a list of keys: missing or malformed: ${[...new Set(places)].join(", ")}`,
    { advice: "Each entry needs encrypted_pem_b64, id and label.", cause: parsed.error },
  )
}

/**
 * The entry of this id or label; without one, the only entry there is.
 *
 * @throws AgentError `key-file-entry-missing`, `key-file-entry-ambiguous` naming what there is
 */
export function pickEntry(
  entries: readonly PackKeyEntry[],
  wanted: string | undefined,
  name: string,
): PackKeyEntry {
  const byId = entries.filter(({ id }) => id === wanted)
  const byLabel = entries.filter(({ label }) => label === wanted)
  const found = wanted === undefined ? entries : byId.length > 0 ? byId : byLabel
  const [entry, another] = found
  if (entry !== undefined && another === undefined) return entry
  const those = found.length > 0 ? found : entries
  const listed = those.map(({ id, label }) => `${id} (${label})`).join(", ") || "none"
  const asked = wanted === undefined ? "" : ` '${wanted}'`
  if (entry === undefined) {
    throw new AgentError(
      "key-file-entry-missing",
      `${name} has no entry${asked}; it has ${listed}`,
      {
        advice: "Set the source's id to the id or label of an entry.",
      },
    )
  }
  throw new AgentError(
    "key-file-entry-ambiguous",
    `${name} has several entries${asked}: ${listed}`,
    {
      advice: "Set the source's id to the id or label of the one to serve.",
    },
  )
}

/**
 * The entry as a key object: AWS's list names neither KMS key nor encryption context.
 *
 * @param pem - the leaf, and its chain after it
 * @param pemName - what to call the certificates' file in messages
 * @param name - what to call the list in messages
 * @throws AgentError `key-object-malformed`
 */
export function entryObject(
  entry: PackKeyEntry,
  { pem, pemName }: { pem: string; pemName: string },
  name: string,
): KeyObject {
  const encryptedPrivateKey = Buffer.from(entry.encrypted_pem_b64, "base64")
  if (encryptedPrivateKey.length > MAX_ENCRYPTED_KEY_BYTES) {
    const limit = `encrypted_pem_b64 has more than ${MAX_ENCRYPTED_KEY_BYTES} bytes`
    throw new AgentError("key-object-malformed", `${name}: entry '${entry.label}': ${limit}`, {
      advice: "It is no ciphertext of KMS: pack the key again.",
    })
  }
  return {
    certificates: line(pem, pemName),
    encryptedPrivateKey,
    keyId: null,
    encryptionContext: null,
  }
}

function line(pem: string, pemName: string): X509Certificate[] {
  let found: X509Certificate[] = []
  let cause: unknown
  try {
    found = certificatesOfPem(pem)
  } catch (error) {
    cause = error
  }
  const [leaf, ...others] = found
  if (leaf !== undefined) return inOrder(leaf, others)
  throw new AgentError("key-object-malformed", `${pemName} holds no readable PEM certificate`, {
    advice: "It needs the certificate first and its chain after it.",
    cause,
  })
}
