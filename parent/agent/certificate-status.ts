/** A certificate as status shows it. */
import type { X509Certificate } from "node:crypto"
import { fingerprintOf } from "../../shared/public-key.js"
import type { KeyObject } from "../source/key-object.js"
import type { CertificateStatus } from "./agent-status.js"

/** The object's leaf. */
export function certificateStatus({
  certificates: [leaf],
}: KeyObject): CertificateStatus | undefined {
  if (leaf === undefined) return undefined
  return {
    subject: leaf.subject,
    names: subjectAltNames(leaf),
    serialNumber: leaf.serialNumber,
    notBefore: Date.parse(leaf.validFrom),
    notAfter: Date.parse(leaf.validTo),
    fingerprint: fingerprintOf(leaf.raw).toString("hex"),
  }
}

/** Node gives `DNS:www.example.com, IP Address:192.0.2.1`; what it had to quote holds no plain name. */
function subjectAltNames({ subjectAltName = "" }: X509Certificate): string[] {
  return [...subjectAltName.matchAll(/(?:^|, )(?:DNS|IP Address):([^",]+)/g)].map(
    ([, name = ""]) => name,
  )
}
