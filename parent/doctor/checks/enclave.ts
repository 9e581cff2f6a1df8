/** The enclave: running, of the approved image, and not in debug mode. */
import { type Finding, Reporter } from "../finding.js"
import { type ListedEnclave, listEnclaves, named, nitroCliCommand, short } from "../nitro.js"
import type { ConfiguredCheck } from "../run.js"

const report = new Reporter("enclave")
const ZERO_PCR = /^0+$/

export const enclave: ConfiguredCheck = {
  name: "enclave",
  runConfigured: async (context, { enclave: { name, expected_pcr0 } }) => {
    const listed = await context.once(listEnclaves)
    if ("failed" in listed) {
      return [
        report.unknown(
          "enclave-unlisted",
          "the running enclaves cannot be listed",
          `${nitroCliCommand(context)} describe-enclaves: ${listed.failed}`,
          "Correct what is said of nitro-cli and the instance first.",
        ),
      ]
    }
    const running = named(listed.value, name)
    if (running === undefined) return [notRunning(name, listed.value)]
    const findings = [...debugFindings(running), ...measurementFindings(running, expected_pcr0)]
    if (findings.length > 0) return findings
    const pcr0 = running.Measurements?.PCR0
    const image = pcr0 === undefined ? "" : `, PCR0 ${short(pcr0)}`
    return [report.ok(`${name} runs${image}`, `${running.EnclaveID}.`)]
  },
}

function notRunning(name: string, others: readonly ListedEnclave[]): Finding {
  const names = others.map(({ EnclaveName = "?", State }) => `${EnclaveName} (${State})`)
  return report.problem(
    "enclave-not-running",
    `no enclave named ${name} runs`,
    names.length === 0 ? "No other runs either." : `Others: ${names.join(", ")}.`,
    "Start the agent: systemctl start tlskeep. Its log says why an enclave does not start.",
  )
}

function debugFindings({ Flags, Measurements }: ListedEnclave): Finding[] {
  const zero = ZERO_PCR.test(Measurements?.PCR0 ?? "")
  if (Flags !== "DEBUG_MODE" && !zero) return []
  return [
    report.problem(
      "enclave-debug-mode",
      "the enclave runs in debug mode",
      "Its PCR0, 1 and 2 are zero, so KMS releases no key to it, and the instance can read its console.",
      "Terminate it (nitro-cli terminate-enclave) and let the agent start it, which never asks for debug mode. Never put zeros into a key policy.",
    ),
  ]
}

function measurementFindings({ Measurements }: ListedEnclave, expected?: string): Finding[] {
  const pcr0 = Measurements?.PCR0?.toLowerCase()
  if (expected === undefined || pcr0 === undefined || pcr0 === expected.toLowerCase()) return []
  // Said already, as debug mode.
  if (ZERO_PCR.test(pcr0)) return []
  return [
    report.problem(
      "enclave-pcr0-mismatch",
      "the running enclave is not of the approved image",
      `It measures PCR0 ${short(pcr0)}, enclave.expected_pcr0 is ${short(expected)}`,
      "Run the approved image, or approve this one in enclave.expected_pcr0 and in the key policy.",
    ),
  ]
}
