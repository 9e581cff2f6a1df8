/** The source that each kind of configuration names. */
import { expect, it, vi } from "vitest"
import { createAws } from "../../parent/aws.js"
import type { SourceConfig } from "../../parent/config/config.js"
import { AcmSource } from "../../parent/source/acm-source.js"
import { createSource } from "../../parent/source/create-source.js"
import { FileDbSource } from "../../parent/source/file-db.js"
import { S3Source } from "../../parent/source/s3-source.js"
import { refusalOf } from "./refusal.js"

const ACM = "arn:aws:acm:us-east-1:123456789012:certificate/1"
const KMS_KEY = "arn:aws:kms:us-east-1:123456789012:key/k"

it.each<[SourceConfig, object, string]>([
  [{ kind: "Acm", certificate_arn: ACM }, AcmSource, ACM],
  [{ kind: "S3", uri: "s3://keys/www.json" }, S3Source, "s3://keys/www.json"],
  [{ kind: "FileDb", path: "/keys.json", id: "1" }, FileDbSource, "/keys.json"],
])("%j", async (config, type, name) => {
  vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true")
  const aws = await createAws({ region: "us-east-1" })
  vi.unstubAllEnvs()
  const source = createSource(config, aws)
  expect(source).toBeInstanceOf(type)
  expect(source).toMatchObject({ name, acceptedKeyId: null })
  const bound = createSource({ ...config, kms_key_id: KMS_KEY }, aws)
  expect(bound.acceptedKeyId).toBe(KMS_KEY)
  expect((await refusalOf(source.fetch(AbortSignal.abort()))).code).toBe("fetch-aborted")
})
