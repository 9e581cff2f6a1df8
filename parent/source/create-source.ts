/** Makes the source that a token's configuration names. */
import type { Aws } from "../aws.js"
import type { SourceConfig } from "../config/config.js"
import { AcmSource } from "./acm-source.js"
import { FileDbSource } from "./file-db.js"
import { S3Source } from "./s3-source.js"
import type { Source } from "./source.js"

/** Nothing is asked before the first fetch, and nothing fails before it. */
export function createSource(config: SourceConfig, aws: Aws): Source {
  const acceptedKeyId = config.kms_key_id
  switch (config.kind) {
    case "Acm": {
      const { certificate_arn: certificateArn, bucket } = config
      return new AcmSource(aws, { certificateArn, bucket, acceptedKeyId })
    }
    case "S3":
      return new S3Source(aws.s3, config.uri, { acceptedKeyId, partition: aws.partition })
    case "FileDb": {
      const { path, id, certificate_path: certificatePath } = config
      return new FileDbSource({ path, id, certificatePath, acceptedKeyId })
    }
  }
}
