/** The image file: there, of the approved measurement, and the one that runs. */
import { stat } from "node:fs/promises"
import { reasonOf } from "../context.js"
import { type Finding, Reporter } from "../finding.js"
import { imagePcr0, runningEnclave, short } from "../nitro.js"
import type { ConfiguredCheck } from "../run.js"

const report = new Reporter("image")
const MIB = 1_048_576
/** nitro-cli refuses to run an image (E26) in less than four times its size. */
const MEMORY_PER_IMAGE = 4

export const image: ConfiguredCheck = {
  name: "image",
  runConfigured: async (context, config) => {
    const { image_path, memory_mib, expected_pcr0 } = config.enclave
    let bytes: number
    try {
      bytes = (await stat(image_path)).size
    } catch (error) {
      return [
        report.problem(
          "image-missing",
          "the enclave image is not there",
          `${image_path}: ${reasonOf(error)}`,
          "Build it as docs/ec2.md says, and check enclave.image_path.",
        ),
      ]
    }
    const findings = sizeFindings(bytes, memory_mib)
    const measured = await imagePcr0(context, image_path)
    if ("failed" in measured) {
      const detail = `nitro-cli describe-eif: ${measured.failed}`
      const advice = "Run it by hand; build the image again if it is no EIF."
      const title = "the image cannot be measured"
      return [...findings, report.unknown("image-unmeasured", title, detail, advice)]
    }
    const running = (await runningEnclave(context, config))?.Measurements?.PCR0?.toLowerCase()
    findings.push(...expectedFindings(measured.value, expected_pcr0))
    findings.push(...runningFindings(measured.value, running))
    if (findings.length > 0) return findings
    const approved = expected_pcr0 === undefined ? "; no enclave.expected_pcr0 to hold it to" : ""
    return [report.ok(`PCR0 ${short(measured.value)}${approved}`, image_path)]
  },
}

function sizeFindings(bytes: number, memoryMib: number): Finding[] {
  const least = Math.ceil((bytes * MEMORY_PER_IMAGE) / MIB)
  if (memoryMib >= least) return []
  return [
    report.problem(
      "image-too-large",
      "the enclave has too little memory for the image",
      `The image has ${Math.ceil(bytes / MIB)} MiB and needs ${least} MiB, enclave.memory_mib is ${memoryMib}. nitro-cli calls this E26.`,
      `Set enclave.memory_mib to ${least} or more, and the allocator's memory_mib with it.`,
    ),
  ]
}

function expectedFindings(measured: string, expected: string | undefined): Finding[] {
  if (expected === undefined || expected.toLowerCase() === measured) return []
  return [
    report.problem(
      "image-pcr0-mismatch",
      "the image is not the approved one",
      `It measures PCR0 ${short(measured)}, enclave.expected_pcr0 is ${short(expected)}`,
      "Install the approved image, or approve this one in enclave.expected_pcr0 and in the key policy (tlskeep policy prints it).",
    ),
  ]
}

function runningFindings(measured: string, running: string | undefined): Finding[] {
  if (running === undefined || running === measured || /^0+$/.test(running)) return []
  return [
    report.warning(
      "image-not-the-running-one",
      "another image runs than the one in the file",
      `The file measures PCR0 ${short(measured)}, the running enclave ${short(running)}`,
      "Move over to it: tlskeep enclave replace. Let the key policy admit both while you do.",
    ),
  ]
}
