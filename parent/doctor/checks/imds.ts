/** The instance metadata service: where role, region and credentials come from. */
import { reasonOf } from "../context.js"
import { Reporter } from "../finding.js"
import { metadata } from "../imds.js"
import type { HostCheck } from "../run.js"

const report = new Reporter("imds")

export const imds: HostCheck = {
  name: "imds",
  run: async (context) => {
    try {
      const { status, body } = await metadata(context, "iam/security-credentials/")
      const [role = ""] = body.trim().split("\n")
      if (status === 200 && role !== "") return [report.ok(`the instance has the role ${role}`)]
      return [
        report.warning(
          "instance-profile-missing",
          "the instance has no role",
          "The metadata service lists no credentials.",
          "Attach an instance profile: aws ec2 associate-iam-instance-profile.",
        ),
      ]
    } catch (error) {
      return [
        report.warning(
          "imds-unreachable",
          "the instance metadata service does not answer",
          `IMDSv2: ${reasonOf(error)}`,
          "On EC2: aws ec2 modify-instance-metadata-options --http-endpoint enabled, and no firewall rule against 169.254.169.254 for root. Elsewhere give aws.region, aws.role_arn and credentials.",
        ),
      ]
    }
  },
}
