// What may be repeated, by RFC 9110, 9.2.2: a POST is not idempotent, so it is sent again only where no token can have
// been minted for it.

import type { RealtimeTokenError } from './error.ts'

const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 1_000

/**
 * How long to wait before the next try, or undefined if there must be none:
 *
 * - no connection: the request never left this machine.
 * - 429, and 503 with `Retry-After`: the operator refused before it asked the provider, and says when to come back.
 *
 * Everything else is the caller's to decide. After 502, 504 or a connection that broke, the provider may have minted a
 * token that nobody has: asking again costs another one.
 */
export function pauseBeforeRetry(failure: RealtimeTokenError, tries: number, random: number): number | undefined {
  const backoff = Math.min(FIRST_PAUSE_MS * 2 ** (tries - 1), LONGEST_PAUSE_MS) * (0.5 + random / 2)
  if (failure.reason === 'ConnectionFailed') return backoff
  const refused = failure.status === 429 || failure.status === 503
  if (!refused || failure.retryAfterMs === undefined) return undefined
  return failure.retryAfterMs + backoff
}

/** `Retry-After` in milliseconds: a number of seconds or a date. */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000
  const date = Date.parse(header)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
