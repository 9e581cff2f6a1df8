/** The roots that vouch for KMS: the right ones, whole and in date. */
import { X509Certificate } from "node:crypto"
import { describe, expect, it } from "vitest"
import { AMAZON_ROOTS } from "../../enclave/kms/amazon-roots.js"

describe("Amazon's roots", () => {
  const certificates = AMAZON_ROOTS.map((pem) => new X509Certificate(pem))

  it("are those that Amazon Trust Services publishes", () => {
    expect(
      certificates.map(({ fingerprint256 }) => fingerprint256.replaceAll(":", "").toLowerCase()),
    ).toEqual([
      "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
      "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
      "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
      "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
      "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
    ])
  })

  it("are CAs that sign themselves and have not expired", () => {
    for (const certificate of certificates) {
      expect(certificate.ca).toBe(true)
      expect(certificate.verify(certificate.publicKey)).toBe(true)
      expect(certificate.subject).toBe(certificate.issuer)
      expect(Date.parse(certificate.validTo)).toBeGreaterThan(Date.now())
      expect(Date.parse(certificate.validFrom)).toBeLessThan(Date.now())
    }
  })
})
