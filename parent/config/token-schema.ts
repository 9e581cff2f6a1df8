/**
 * One token of the configuration: where its key object comes from, and which file of the web server it
 * goes to. Sources and targets are written by their name, `S3: {…}`, and become unions told apart by `kind`.
 */
import { z } from "zod"
import { AWS_REGION, KMS_KEY_ARN, labelSchema, pinSchema } from "../../shared/protocol/control.js"
import { exactlyOne } from "./alternatives.js"
import type { SourceConfig, TargetConfig, TokenConfig } from "./config.js"
import { accountName, DAY_SECS, filePath, hostAndPort, hostName } from "./fields.js"

/** `arn:<partition>:acm:<region>:<account>:certificate/<id>` */
const CERTIFICATE_ARN =
  /^arn:aws[a-z-]*:acm:[a-z]{2,4}(?:-[a-z]+){1,3}-[0-9]{1,2}:[0-9]{12}:certificate\/[A-Za-z0-9-]{1,128}$/
const CERTIFICATE_ARN_SHAPE = "arn:aws:acm:<region>:<account>:certificate/<id>"

const kmsKeyId = z
  .string()
  .regex(KMS_KEY_ARN, "must be the ARN of a KMS key, arn:aws:kms:<region>:<account>:key/<id>")

const acmSchema = z.strictObject({
  certificate_arn: z
    .string()
    .superRefine((arn, context) => {
      if (CERTIFICATE_ARN.test(arn)) return
      const message =
        arn === ""
          ? `is empty: fill in the certificate's ARN, ${CERTIFICATE_ARN_SHAPE}`
          : `must be the ARN of a certificate, ${CERTIFICATE_ARN_SHAPE}`
      context.addIssue({ code: "custom", message })
    })
    .meta({ description: "Certificate of ACM that is associated with the instance's role" }),
  bucket: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{0,62}$/, "must be the end of a bucket's name")
    .exactOptional()
    .meta({ description: "End of the name of ACM's bucket; else `prod`" }),
  kms_key_id: kmsKeyId
    .exactOptional()
    .meta({ description: "ARN of the only KMS key accepted; else any that KMS opens it with" }),
})

const s3Schema = z.strictObject({
  uri: z
    .string()
    .regex(/^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\/.+$/, "must be s3://<bucket>/<key>")
    .meta({ description: "The key object, `s3://<bucket>/<key>`" }),
  kms_key_id: kmsKeyId
    .exactOptional()
    .meta({ description: "ARN of the only KMS key accepted; else the one the object names" }),
})

const fileDbSchema = z.strictObject({
  path: filePath.meta({
    description: "A file: key objects as in S3, or the list of AWS's pack-key",
  }),
  id: z
    .string()
    .min(1)
    .exactOptional()
    .meta({ description: "Which entry of a list, by its `id` or `label`; else the only one" }),
  certificate_path: filePath
    .exactOptional()
    .meta({ description: "Certificate and chain, PEM, of an entry without `cert_pem`" }),
  kms_key_id: kmsKeyId
    .exactOptional()
    .meta({ description: "ARN of the only KMS key accepted; else the one the object names" }),
})

const sourceSchema = z
  .strictObject({
    Acm: acmSchema.exactOptional(),
    S3: s3Schema.exactOptional(),
    FileDb: fileDbSchema.exactOptional(),
  })
  .transform((section, context): SourceConfig => {
    const kind = exactlyOne(section, ["Acm", "S3", "FileDb"], context)
    if (kind === "Acm" && section.Acm !== undefined) return { kind, ...section.Acm }
    if (kind === "S3" && section.S3 !== undefined) return { kind, ...section.S3 }
    if (kind === "FileDb" && section.FileDb !== undefined) return { kind, ...section.FileDb }
    return z.NEVER
  })

const listenerSchema = z.preprocess(
  // The short form.
  (value) => (typeof value === "string" ? { address: value } : value),
  z.strictObject({
    address: hostAndPort.meta({
      description:
        "`<host>:<port>` that must present the new certificate after a reload, or the files go back; `listener: <host>:<port>` for short",
    }),
    server_name: hostName
      .exactOptional()
      .meta({ description: "SNI to ask by; else the certificate's first DNS name" }),
  }),
)

function targetFields(description: string) {
  return z.strictObject({
    path: filePath.meta({ description }),
    user: accountName.default("root").meta({ description: "Owner of the files written" }),
    group: accountName.default("root").meta({ description: "Group of the files written" }),
    listener: listenerSchema.exactOptional(),
  })
}

const targetSchema = z
  .strictObject({
    Conf: targetFields(
      "httpd: existing file whose lines SSLCertificateFile and SSLCertificateKeyFile are rewritten in place; nginx: file to write with the stanza to include",
    ).exactOptional(),
    NginxStanza: targetFields("As that of `Conf`")
      .exactOptional()
      .meta({ description: "Other name of `Conf`, of the same keys" }),
    Snippet: targetFields(
      "File to write with the directives of certificate and key, to include; httpd or nginx",
    ).exactOptional(),
  })
  .transform((section, context): TargetConfig => {
    switch (exactlyOne(section, ["Conf", "NginxStanza", "Snippet"], context)) {
      case "Snippet":
        if (section.Snippet !== undefined) return { kind: "Snippet", ...section.Snippet }
        break
      case "Conf":
        if (section.Conf !== undefined) return { kind: "Conf", ...section.Conf }
        break
      case "NginxStanza":
        if (section.NginxStanza !== undefined) return { kind: "Conf", ...section.NginxStanza }
    }
    return z.NEVER
  })

export const tokenSchema = z.strictObject({
  label: labelSchema.meta({
    description: "Token label, `token=` of the PKCS #11 URI; a number is taken as it is spelt",
  }),
  pin: pinSchema.exactOptional().meta({
    description: "PIN of 4 to 64 characters, a number as it is spelt; made at random unless given",
  }),
  source: sourceSchema,
  target: targetSchema,
  refresh_interval_secs: z
    .int()
    .min(1)
    .refine(
      (seconds) => seconds <= DAY_SECS,
      `must be at most ${DAY_SECS}: a token ends 48 h after it was last attested, and an attempt may fail`,
    )
    .default(43_200)
    .meta({
      description: "How often the enclave attests again; a token ends 48 h after the last time",
      maximum: DAY_SECS,
    }),
}) satisfies z.ZodType<TokenConfig, unknown>

export const awsSchema = z.strictObject({
  region: z
    .string()
    .regex(AWS_REGION, "must be a region such as eu-west-1")
    .exactOptional()
    .meta({ description: "Region of S3 and KMS; else AWS_REGION, else the instance's" }),
  role_arn: z
    .string()
    .regex(
      /^arn:aws[a-z-]*:iam::[0-9]{12}:role\/[\w+=,.@/-]{1,512}$/,
      "must be the ARN of a role, arn:aws:iam::<account>:role/<name>",
    )
    .exactOptional()
    .meta({ description: "Role of the instance, for the source Acm; else it is found" }),
})
