/** The instance metadata service: where role, region and credentials come from. */
import { AgentError } from "../../errors.js"
import { type Finding, Reporter } from "../finding.js"
import type { HostCheck } from "../run.js"

const report = new Reporter("imds")

export const imds: HostCheck = {
  name: "imds",
  run: async (context) => {
    try {
      const roles = await context.imds.read("iam/security-credentials")
      const [role = ""] = (roles ?? "").split("\n")
      return [role === "" ? withoutRole() : report.ok(`the instance has the role ${role}`)]
    } catch (error) {
      if (error instanceof AgentError) return [unreachable(error)]
      throw error
    }
  },
}

function withoutRole(): Finding {
  return report.warning(
    "instance-profile-missing",
    "the instance has no role",
    "The metadata service lists no credentials.",
    "Attach an instance profile: aws ec2 associate-iam-instance-profile.",
  )
}

function unreachable({ message }: AgentError): Finding {
  return report.warning(
    "imds-unreachable",
    "the instance metadata service does not answer",
    `${message}.`,
    "On EC2: aws ec2 modify-instance-metadata-options --http-endpoint enabled, and no firewall rule that keeps root from 169.254.169.254. Elsewhere give aws.region, aws.role_arn and credentials.",
  )
}
