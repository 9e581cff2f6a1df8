/** `main.js acm associate`: a certificate from files, associated with a role of the simulator. */
import { readFileSync } from "node:fs"
import { Command, type OptionValues } from "commander"
import { ensurePrincipals, instanceRole } from "../iam/principals.js"
import { ACCOUNT_ID, simPaths } from "../paths.js"
import { ensureIdentities } from "../server-identity.js"
import type { AssociationAnswer } from "./associate.js"

/** The `acm` command with its one subcommand; prints what the AWS CLI does, and the ARNs used. */
export function acmCommand(): Command {
  const acm = new Command("acm").description("certificates as ACM publishes them for enclaves")
  acm
    .command("associate")
    .description("publish a certificate for a role, as associate-enclave-certificate-iam-role does")
    .requiredOption("--dir <dir>", "the simulator's directory")
    .requiredOption("--certificate <file>", "PEM of the leaf")
    .requiredOption("--private-key <file>", "PEM of the private key")
    .option("--chain <file>", "PEM of the chain")
    .option("--certificate-arn <arn>", "default: a new one")
    .option("--role-arn <arn>", "default: the instance's role")
    .option("--pcr0 <hex>", "the one image that the key's policy admits; default: any")
    .action(async (flags) => {
      process.stdout.write(`${JSON.stringify(await associate(flags), null, 4)}\n`)
    })
  return acm
}

async function associate(flags: OptionValues): Promise<AssociationAnswer & Names> {
  const { associateCertificate, certificateArn } = await import("./associate.js")
  const paths = simPaths(flags.dir)
  await ensureIdentities(paths)
  ensurePrincipals(paths)
  const names = {
    CertificateArn: flags.certificateArn ?? certificateArn(ACCOUNT_ID),
    RoleArn: flags.roleArn ?? instanceRole(paths).arn,
  }
  const answer = associateCertificate(paths, {
    certificateArn: names.CertificateArn,
    roleArn: names.RoleArn,
    certificate: readFileSync(flags.certificate, "utf8"),
    certificateChain: flags.chain === undefined ? "" : readFileSync(flags.chain, "utf8"),
    privateKey: readFileSync(flags.privateKey),
    pcr0: flags.pcr0,
  })
  return { ...names, ...answer }
}

interface Names {
  CertificateArn: string
  RoleArn: string
}
