/** The command line of `tlskeep eif`; the commands themselves are loaded when they are run. */
import { type Command, Option } from "commander"
import type { EifBuildOptions, EifOutputOptions, EifPcrsOptions } from "./eif.js"

/** Adds `eif build|describe|pcrs`, which print what they return. */
export function addEifCommands(program: Command): void {
  const eif = program
    .command("eif")
    .description("build, describe and measure enclave image files, without nitro-cli")

  eif
    .command("build")
    .description("build an image from a kernel, a command line and ramdisks; prints its PCRs")
    .requiredOption("--kernel <file>", "the kernel")
    .requiredOption("--cmdline <text>", "the kernel's command line")
    .requiredOption("--ramdisk <file...>", "ramdisks, the first of which is measured into PCR1")
    .requiredOption("--output <file>", "where the image goes")
    .addOption(
      new Option("--arch <name>", "architecture")
        .choices(["x86_64", "aarch64"])
        .default(process.arch === "arm64" ? "aarch64" : "x86_64"),
    )
    .option("--name <text>", "the image's name", "tlskeep")
    .option("--image-version <text>", "the image's version", "1.0")
    .option("--operating-system <text>", "named in the metadata", "Linux")
    .option("--kernel-version <text>", "named in the metadata", "")
    .option("--metadata <file>", "JSON of your own for the metadata")
    .option("--private-key <file>", "sign the image: EC key on P-256, P-384 or P-521, PEM")
    .option("--signing-certificate <file>", "certificate of the key, PEM; measured into PCR8")
    .option("--json", "print JSON", false)
    .action(async (options: EifBuildOptions) => {
      const { eifBuildCommand } = await import("./eif.js")
      print(await eifBuildCommand(options))
    })

  eif
    .command("describe")
    .argument("<file>", "enclave image file")
    .description("show what an image is; fails if it is damaged or wrongly signed")
    .option("--json", "print JSON as nitro-cli describe-eif does", false)
    .action(async (file: string, options: EifOutputOptions) => {
      const { eifDescribeCommand } = await import("./eif.js")
      const { text, isGood } = await eifDescribeCommand(file, options)
      print(text)
      if (!isGood) process.exitCode = 1
    })

  eif
    .command("pcrs")
    .argument("<file>", "enclave image file")
    .description("print the PCRs that KMS will see of an image")
    .option("--require-signed", "fail if the image is not signed", false)
    .option("--json", "print JSON as nitro-cli build-enclave does", false)
    .action(async (file: string, options: EifPcrsOptions) => {
      const { eifPcrsCommand } = await import("./eif.js")
      print(await eifPcrsCommand(file, options))
    })
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
