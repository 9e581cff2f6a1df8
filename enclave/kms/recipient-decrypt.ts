/**
 * KMS `Decrypt` with `Recipient`: the plaintext comes back encrypted to an RSA key that this enclave
 * made for the one request and named in an attestation document.
 *
 * @see AWS KMS API reference, Decrypt; AWS KMS developer guide, cryptographic attestation support
 */
import { generateKeyPair } from "node:crypto"
import { promisify } from "node:util"
import { DecryptCommand, type DecryptCommandOutput, KMSClient } from "@aws-sdk/client-kms"
import { NodeHttpHandler } from "@smithy/node-http-handler"
import { ControlError } from "../../shared/protocol/control.js"
import { exportSpki } from "../../shared/public-key.js"
import type { Nsm } from "../nsm/index.js"
import { openEnvelopedData } from "./cms.js"
import { kmsFailure } from "./failure.js"
import type { RelayAgent } from "./relay-agent.js"

export interface DecryptRequest {
  ciphertext: Uint8Array
  /** ARN of the KMS key; null accepts the key that the ciphertext names. */
  keyId: string | null
  region: string
  credentials: { accessKeyId: string; secretAccessKey: string; sessionToken: string | null }
  encryptionContext: Record<string, string> | null
}

export interface Decrypted {
  /** Wiped by the caller. */
  plaintext: Buffer
  /** ARN of the KMS key that decrypted. */
  keyId: string
}

/** Decrypts for this enclave only. The one capability that provisioning needs from KMS. */
export type RecipientDecrypt = (request: DecryptRequest) => Promise<Decrypted>

const makeKeyPair = promisify(generateKeyPair)
/** One attempt, from the connection to the last byte of the answer without a pause as long. */
const REQUEST_TIMEOUT_MS = 10_000
const MAX_ATTEMPTS = 3
/** All attempts together: less than the agent waits for the enclave's answer. */
const TOTAL_TIMEOUT_MS = 40_000

/**
 * Makes a {@link RecipientDecrypt} over the relay.
 *
 * It rejects with ControlError: `attestation-failed`, the `kms-*` codes, `kms-key-id-mismatch` when
 * KMS names another key than asked for, `kms-malformed-response` for a CMS that is not ours to open.
 */
export function recipientDecrypt(
  nsm: Nsm,
  agent: RelayAgent,
  { requestTimeoutMs = REQUEST_TIMEOUT_MS }: { requestTimeoutMs?: number } = {},
): RecipientDecrypt {
  return async (request) => {
    const { publicKey, privateKey } = await makeKeyPair("rsa", { modulusLength: 2048 })
    const spki = exportSpki(publicKey)
    const document = await attest(nsm, spki)
    const response = await send(request, document, agent, requestTimeoutMs)
    if (request.keyId !== null && response.KeyId !== request.keyId) {
      throw new ControlError("kms-key-id-mismatch", "KMS used another key than the one asked for", {
        detail: { keyId: response.KeyId ?? "" },
      })
    }
    if (response.KeyId === undefined || response.CiphertextForRecipient === undefined) {
      throw new ControlError("kms-malformed-response", "KMS's answer is not for a recipient")
    }
    try {
      const plaintext = openEnvelopedData(response.CiphertextForRecipient, privateKey, spki)
      return { plaintext, keyId: response.KeyId }
    } catch (cause) {
      throw new ControlError("kms-malformed-response", "KMS's answer cannot be opened", { cause })
    }
  }
}

async function attest(nsm: Nsm, publicKey: Uint8Array): Promise<Uint8Array> {
  try {
    return await nsm.attest({ publicKey })
  } catch (cause) {
    throw new ControlError("attestation-failed", "the NSM did not attest", { cause })
  }
}

async function send(
  request: DecryptRequest,
  attestationDocument: Uint8Array,
  agent: RelayAgent,
  timeoutMs: number,
): Promise<DecryptCommandOutput> {
  const { region, credentials, encryptionContext } = request
  const client = new KMSClient({
    region,
    endpoint: kmsEndpoint(region),
    credentials: {
      accessKeyId: credentials.accessKeyId,
      secretAccessKey: credentials.secretAccessKey,
      ...(credentials.sessionToken === null ? {} : { sessionToken: credentials.sessionToken }),
    },
    maxAttempts: MAX_ATTEMPTS,
    requestHandler: new NodeHttpHandler({
      httpsAgent: agent,
      connectionTimeout: timeoutMs,
      requestTimeout: timeoutMs,
      // Else the handler logs a warning and waits on.
      throwOnRequestTimeout: true,
      // Silence within the answer's body, which requestTimeout does not cover.
      socketTimeout: timeoutMs,
    }),
  })
  try {
    return await client.send(
      new DecryptCommand({
        CiphertextBlob: request.ciphertext,
        ...(request.keyId === null ? {} : { KeyId: request.keyId }),
        ...(encryptionContext === null ? {} : { EncryptionContext: encryptionContext }),
        Recipient: {
          KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
          AttestationDocument: attestationDocument,
        },
      }),
      { abortSignal: AbortSignal.timeout(TOTAL_TIMEOUT_MS) },
    )
  } catch (error) {
    throw kmsFailure(error)
  }
}

/** DNS suffixes of the partitions by their regions' names, as the AWS SDKs' partitions.json has them. */
const SUFFIXES: readonly (readonly [RegExp, string])[] = [
  [/^cn-/, "amazonaws.com.cn"],
  [/^eusc-/, "amazonaws.eu"],
  [/^us-iso-/, "c2s.ic.gov"],
  [/^us-isob-/, "sc2s.sgov.gov"],
]

/** KMS's regional endpoint; the suffix belongs to the region's partition. */
export function kmsEndpoint(region: string): string {
  const suffix = SUFFIXES.find(([regions]) => regions.test(region))?.[1] ?? "amazonaws.com"
  return `https://kms.${region}.${suffix}`
}
