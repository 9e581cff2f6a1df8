/** Key objects and certificates for tests, issued by an authority of the test's own. */
import { X509Certificate } from "node:crypto"
import type { KeyObject } from "../../parent/source/key-object.js"
import {
  type KeyType,
  WebAuthority,
  type WebCertificate,
} from "../../sim/testbed/web-certificates.js"

export interface TestKey {
  web: WebCertificate
  object: KeyObject
}

let authority: Promise<WebAuthority> | undefined

export function webAuthority(): Promise<WebAuthority> {
  authority ??= WebAuthority.create()
  return authority
}

/** A fresh key with its certificate, and the key object that a source would give for it. */
export async function makeKey(keyType: KeyType = "P-256"): Promise<TestKey> {
  const web = await (await webAuthority()).issue(keyType)
  const object: KeyObject = {
    certificates: [new X509Certificate(web.certificate), new X509Certificate(web.chain)],
    encryptedPrivateKey: Buffer.from(`ciphertext of ${web.certificate.slice(40, 60)}`),
    keyId: "arn:aws:kms:us-east-1:123456789012:key/k",
    encryptionContext: { purpose: "test" },
  }
  return { web, object }
}
