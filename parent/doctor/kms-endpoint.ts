/** Whether KMS's endpoint answers, and by which clock. */
import { type DoctorContext, reasonOf } from "./context.js"
import { kmsUrl, regionOf } from "./region.js"

export type EndpointProbe =
  | { kind: "answers"; url: string; theirs: number | undefined; ours: number }
  | { kind: "silent"; url: string; reason: string }
  | { kind: "no-region" }

/** One unsigned request: it is refused, and the refusal has a Date. */
export async function probeKmsEndpoint(context: DoctorContext): Promise<EndpointProbe> {
  const region = await context.once(regionOf)
  if (region === undefined) return { kind: "no-region" }
  const url = kmsUrl(context, region)
  try {
    const { headers } = await context.request({ url, method: "HEAD" })
    const theirs = Date.parse(String(headers.date))
    const ours = context.now()
    return { kind: "answers", url, theirs: Number.isNaN(theirs) ? undefined : theirs, ours }
  } catch (error) {
    return { kind: "silent", url, reason: reasonOf(error) }
  }
}
