/** What an operator reads when the enclave refuses. */
import { describe, expect, it } from "vitest"
import { controlRefusal } from "../../parent/control-refusal.js"
import { CONTROL_CODES, type ControlCode } from "../../shared/protocol/control-codes.js"

const CODES = Object.keys(CONTROL_CODES) as ControlCode[]
/** Those that pass by themselves, or that are a mistake of tlskeep's own: nobody can act on them. */
const WITHOUT_ADVICE: ControlCode[] = [
  "hello-required",
  "unknown-token",
  "malformed-label",
  "malformed-pin",
  "attestation-failed",
  "kms-throttled",
  "kms-malformed-response",
  "kms-failed",
  "busy",
  "internal",
]

describe("controlRefusal", () => {
  it.each(CODES)("%s", (code) => {
    const error = controlRefusal(code, {})
    expect(error.code).toBe(code)
    expect(error.message).toBe(CONTROL_CODES[code])
    expect(error.message).toMatch(/^[A-Za-z].{8,}[^.]$/)
    if (WITHOUT_ADVICE.includes(code)) expect(error.advice).toBe("")
    else expect(error.advice).toMatch(/^[A-Z].{10,}\.$/)
  })

  it("adds what the enclave said", () => {
    const { message } = controlRefusal("kms-failed", { httpStatus: "500", type: "KMSInternal" })
    expect(message).toBe("KMS failed (httpStatus 500, type KMSInternal)")
  })
})
