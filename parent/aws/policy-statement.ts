/** IAM policy statements that advice gives, ready to paste into a policy. */

/** One statement that allows `action` on `resource`, as JSON in one line. */
export function policyStatement(action: string | readonly string[], resource: string): string {
  return JSON.stringify({ Effect: "Allow", Action: action, Resource: resource })
}
