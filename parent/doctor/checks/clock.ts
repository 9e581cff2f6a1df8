/** This host's clock against AWS's: requests signed by a wrong clock are refused. */
import { Reporter } from "../finding.js"
import { probeKmsEndpoint } from "../kms-endpoint.js"
import type { HostCheck } from "../run.js"

const report = new Reporter("clock")
/** KMS takes signatures of five minutes either way. */
const MAX_SKEW_MS = 5 * 60_000
const DRIFT_MS = 30_000

export const clock: HostCheck = {
  name: "clock",
  run: async (context) => {
    const probe = await context.once(probeKmsEndpoint)
    if (probe.kind !== "answers" || probe.theirs === undefined) {
      return [
        report.unknown(
          "clock-unknown",
          "there is nothing to hold the clock against",
          "KMS did not answer with a date.",
          "Correct what is said of kms, or compare by hand: chronyc tracking.",
        ),
      ]
    }
    // A Date header has whole seconds.
    const skew = probe.ours - probe.theirs
    const secs = Math.round(Math.abs(skew) / 1_000)
    const detail = `It is ${secs} s ${skew > 0 ? "ahead of" : "behind"} AWS's.`
    const advice = "Have chronyd keep it: on EC2, server 169.254.169.123 (the package's default)."
    if (Math.abs(skew) >= MAX_SKEW_MS) {
      const title = "the clock is wrong: AWS refuses what it signs"
      return [report.problem("clock-skewed", title, detail, advice)]
    }
    if (Math.abs(skew) >= DRIFT_MS) {
      return [report.warning("clock-drifting", "the clock is going wrong", detail, advice)]
    }
    return [report.ok(`the clock is right to ${Math.max(1, secs)} s`)]
  },
}
