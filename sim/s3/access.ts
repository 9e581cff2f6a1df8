/**
 * Who may do what with a bucket and its objects: the bucket's policy and the caller's own. A bucket
 * of another account, as ACM's are, demands that both allow, and gives no reason when it refuses.
 */
import { conditionContext } from "../iam/conditions.js"
import { evaluateAccess, refusalMessage } from "../iam/evaluate.js"
import type { Policy } from "../iam/policy-document.js"
import type { Principal } from "../iam/principals.js"
import { ACCOUNT_ID, PARTITION } from "../paths.js"
import { S3Error } from "./errors.js"

/** What decides about a bucket beside the caller's own policy. */
export interface BucketAccess {
  bucket: string
  /** Account id. */
  owner: string
  policy: Policy | undefined
}

/** What authorize is asked about: an action on the bucket, or on one object in it. */
export interface S3Action {
  action: `s3:${string}`
  key?: string
}

/** @throws S3Error `AccessDenied`, in the sentence that S3 uses within one account. */
export function authorize(
  principal: Principal,
  { action, key }: S3Action,
  { bucket, owner, policy }: BucketAccess,
): void {
  const resource = `arn:${PARTITION}:s3:::${bucket}${key === undefined ? "" : `/${key}`}`
  const request = { principal, action, resource, context: conditionContext([]) }
  const own = owner === ACCOUNT_ID
  const decision = evaluateAccess(request, policy, own ? "may-allow" : "must-allow-both")
  if (decision.allowed) return
  throw new S3Error("AccessDenied", own ? refusalMessage(request, decision) : "Access Denied")
}
