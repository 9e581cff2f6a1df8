/** What stands for the private key in a web server's configuration. */
import type { OptionsConfig } from "../config/config.js"
import { AgentError } from "../errors.js"
import type { Capabilities, KeySyntax } from "./capabilities.js"
import { type PinReference, privateKeyUri } from "./pkcs11-uri.js"
import { uriPem } from "./uri-pem.js"

export interface KeyReference {
  /** Value of SSLCertificateKeyFile or ssl_certificate_key. */
  value: string
  /** A file that `value` names, to be written before it is used. */
  file?: { path: string; content: string }
  /** The PIN itself is in there: it goes into no log, and its file needs a mode. */
  holdsPin: boolean
}

/** libp11 0.4.12 reads a PIN from a `pin-source` file into 32 bytes, the last of them 0. */
export const MAX_ENGINE_PIN_FILE_BYTES = 31

/** What a reference depends on. */
export interface KeyReferenceRequest {
  service: OptionsConfig["service"]
  label: string
  /** CKA_ID of the certificate's key. */
  keyId: Uint8Array
  pin: string
  pinFile: string
  /** Where the URI goes if the server reads a provider's URI from a file only. */
  keyFile: string
  syntax: KeySyntax
  delivery: OptionsConfig["pin_delivery"]
  capabilities: Pick<Capabilities, "nginxStore">
}

/** @throws AgentError `pin-too-long` where a PIN cannot be delivered as configured */
export function keyReference(request: KeyReferenceRequest): KeyReference {
  const { service, label, keyId, syntax, capabilities, keyFile } = request
  const pin = pinReference(request)
  const holdsPin = "value" in pin
  const uri = privateKeyUri({ token: label, keyId, pin })
  if (service === "httpd") return { value: uri, holdsPin }
  if (syntax === "engine") return { value: `engine:pkcs11:${uri}`, holdsPin }
  if (capabilities.nginxStore) return { value: `store:${uri}`, holdsPin }
  return { value: keyFile, file: { path: keyFile, content: uriPem(uri) }, holdsPin }
}

function pinReference({ pin, pinFile, syntax, delivery }: KeyReferenceRequest): PinReference {
  const fits = syntax === "provider" || Buffer.byteLength(pin) <= MAX_ENGINE_PIN_FILE_BYTES
  if (delivery === "value" || (delivery === "auto" && !fits)) return { value: pin }
  if (fits) return { file: pinFile }
  throw new AgentError(
    "pin-too-long",
    `the PIN has more than ${MAX_ENGINE_PIN_FILE_BYTES} bytes, which the pkcs11 engine cuts when it reads them from a file`,
    { advice: "Leave the token's pin away, shorten it, or set options.pin_delivery to value." },
  )
}
