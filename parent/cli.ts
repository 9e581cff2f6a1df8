#!/usr/bin/env node
/** The `tlskeep` command. */
import { Command } from "commander"
import { isAddonError } from "../native/addon/addon-error.js"
import { CodedError } from "../shared/errors.js"
import { VERSION } from "../shared/version.js"
import type { AgentOptions } from "./commands/agent.js"
import type { ConfigCheckOptions } from "./commands/config.js"
import type { DoctorOptions } from "./commands/doctor.js"
import { addEifCommands } from "./commands/eif-options.js"
import type { ReplaceOptions } from "./commands/enclave.js"
import type { PolicyOptions } from "./commands/policy.js"
import type { SealOptions } from "./commands/seal.js"
import type { StatusOptions } from "./commands/status.js"
import { CONFIG_FILES, defaultConfigFile } from "./config/default-file.js"
import { AgentError } from "./errors.js"

// Not for an operator to act on: hosts run what their distribution ships.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true"

const CONFIG_HELP = `configuration file (default: ${CONFIG_FILES.join(", else ")})`

// Each command is loaded when it is asked for: sealing needs nothing native, and help no AWS SDK.
const program = new Command("tlskeep")
  .description("TLS private keys that exist in the clear only inside a Nitro Enclave")
  .version(VERSION)
  .showSuggestionAfterError()

program
  .command("agent")
  .description("run the enclave, provision its tokens and keep the web server up to date")
  .option("--config <file>", CONFIG_HELP)
  .option("--once", "bring every token in order once, then exit", false)
  .action(async (options: ConfigOption<AgentOptions>) => {
    const { agentCommand } = await import("./commands/agent.js")
    process.exitCode = await agentCommand(await withConfig(options))
  })

program
  .command("seal")
  .description("pack a private key and its certificate into a key object under a KMS key")
  .requiredOption("--key <file>", "private key, PEM")
  .requiredOption("--certificate <file>", "certificate, PEM; its chain may follow in the file")
  .option("--chain <file>", "chain, PEM")
  .requiredOption("--kms-key-id <arn>", "ARN of the KMS key to encrypt under")
  .requiredOption("--output <file|s3://bucket/key>", "where the key object goes")
  .option("--check", "look whether an enclave could open it", false)
  .option("--run-dir <dir>", "run directory of an agent on this host, for --check", "/run/tlskeep")
  .action(async (options: SealOptions) => {
    const { sealCommand } = await import("./commands/seal.js")
    process.stdout.write(`${await sealCommand(options, process.stderr)}\n`)
  })

program
  .command("status")
  .description("show the enclave and every token, and what is to be done about them")
  .option("--config <file>", CONFIG_HELP)
  .option("--json", "print JSON", false)
  .option("--watch", "print it anew each 2 s, until interrupted", false)
  .action(async (options: ConfigOption<StatusOptions>) => {
    const { statusCommand } = await import("./commands/status.js")
    await statusCommand(await withConfig(options), process.stdout)
  })

program
  .command("enclave")
  .description("act on the running enclave")
  .command("replace")
  .description("bring up another enclave beside the running one, and move everything there")
  .option("--config <file>", CONFIG_HELP)
  .option("--image <file>", "image to run instead of the configured one")
  .action(async (options: ConfigOption<ReplaceOptions>) => {
    const { replaceCommand } = await import("./commands/enclave.js")
    const step = (line: string) => process.stderr.write(`${line}\n`)
    process.stdout.write(`${await replaceCommand(await withConfig(options), step)}\n`)
  })

program
  .command("policy")
  .description("print the IAM role policy and the KMS key policy that an image, role and key need")
  .option("--pcr0 <hex>", "PCR0 of an image that may decrypt; may be repeated", collect, [])
  .option("--measurements <file>", "JSON that nitro-cli build-enclave or describe-eif printed")
  .option(
    "--pcr3",
    "also require the instance's role to be --role-arn, as the enclave attests it",
    false,
  )
  .option("--pcr8 <hex>", "also require PCR8, the image's signing certificate")
  .option("--signed", "require PCR8 of --measurements", false)
  .requiredOption("--role-arn <arn>", "role of the instance")
  .option("--kms-key-id <arn>", "ARN of your own KMS key")
  .option("--admin-arn <arn>", "who manages the key; may be repeated", collect, [])
  .option("--sealer-arn <arn>", "who may encrypt (tlskeep seal); may be repeated", collect, [])
  .option("--account-root", "let the account's IAM policies administer the key", false)
  .option("--s3-uri <uri>", "a key object, s3://bucket/key; may be repeated", collect, [])
  .option("--certificate-arn <arn>", "certificate of ACM")
  .option("--certificate-bucket <name>", "CertificateS3BucketName that its association returned")
  .option("--certificate-key <key>", "CertificateS3ObjectKey that its association returned")
  .option("--encryption-kms-key-id <arn>", "EncryptionKmsKeyId that its association returned")
  .option("--json", "print one JSON object with both policies", false)
  .action(async (options: PolicyOptions) => {
    const { policyCommand } = await import("./commands/policy.js")
    process.stdout.write(`${await policyCommand(options)}\n`)
  })

program
  .command("doctor")
  .description("look at everything that has to be right, and say what to do where it is not")
  .option("--config <file>", CONFIG_HELP)
  .option("--json", "print JSON", false)
  .addHelpText("after", "\nExit code: 0 no problem, 1 problems, 2 doctor could not run.")
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(async (options: ConfigOption<DoctorOptions>) => {
    try {
      const { doctorCommand } = await import("./commands/doctor.js")
      const { columns = 80, isTTY = false } = process.stdout
      const colour = isTTY && !process.env.NO_COLOR
      const result = await doctorCommand(await withConfig(options), { width: columns, colour })
      process.stdout.write(result.output)
      process.exitCode = result.exitCode
    } catch (error) {
      process.stderr.write(`${report(error)}\n`)
      process.exitCode = 2
    }
  })

program
  .command("config")
  .description("look at the configuration")
  .command("check")
  .description("say what a configuration file comes to, or what is wrong with it")
  .argument("[file]", CONFIG_HELP)
  .option("--json", "print JSON, with PINs hidden", false)
  .action(async (file: string | undefined, options: ConfigCheckOptions) => {
    const { configCheckCommand } = await import("./commands/config.js")
    process.stdout.write(`${await configCheckCommand(file, options)}\n`)
  })

addEifCommands(program)

try {
  await program.parseAsync()
} catch (error) {
  process.stderr.write(`${report(error)}\n`)
  process.exitCode = 1
}

/** The options of a command as commander has them: the configuration file may be left out. */
type ConfigOption<Options extends { config: string }> = Omit<Options, "config"> & {
  config?: string
}

async function withConfig<Options extends { config?: string }>(
  options: Options,
): Promise<Options & { config: string }> {
  return { ...options, config: options.config ?? (await defaultConfigFile()) }
}

/** For options that may be repeated. */
function collect(value: string, before: string[]): string[] {
  return [...before, value]
}

function report(error: unknown): string {
  // A stack is for what nobody foresaw.
  if (!(error instanceof CodedError || isAddonError(error)))
    return error instanceof Error ? String(error.stack) : `${error}`
  const advice = error instanceof AgentError && error.advice !== "" ? `\n${error.advice}` : ""
  return `tlskeep: ${error.code}: ${error.message}${advice}`
}
