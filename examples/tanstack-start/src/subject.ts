import { createHmac } from 'node:crypto'

/**
 * A name for a user that is always the same and says nothing about them: for the limit of each user, the operator's
 * log and the provider. Without a secret salt, whoever sees it could try all your users' ids.
 */
export function subjectOf(user: string): string {
  const salt = process.env.SUBJECT_SALT ?? (import.meta.env.DEV ? 'development' : undefined)
  if (!salt) throw new Error('set SUBJECT_SALT to a random text, the same for all replicas, from a Secret')
  return createHmac('sha256', salt).update(user).digest('base64url')
}
