// The token as TanStack AI knows it. The types are written out here, so that the package needs no other one; a test
// holds them against @tanstack/ai.

import { RealtimeTokenError } from './error.ts'

/** What the operator puts into `config`, as far as TanStack AI has a name for it. */
export interface SessionConfig {
  model?: string
  voice?: string
  instructions?: string
  providerOptions?: Record<string, unknown>
}

/** TanStack AI's `RealtimeToken`. */
export interface RealtimeToken {
  provider: string
  token: string
  /** Milliseconds since 1970, by the provider's clock. */
  expiresAt: number
  config: SessionConfig
}

/** TanStack AI's `RealtimeTokenAdapter`, the argument of `realtimeToken({ adapter })`. */
export interface RealtimeTokenAdapter {
  /** `realtime-token` for all: which provider a token is for is known when there is one, and stands in the token. */
  provider: string
  generateToken: () => Promise<RealtimeToken>
}

export const PROVIDER = 'realtime-token'

/** Checks text that should be a `token.json`. No error repeats any of it. */
export function parseToken(text: string, from: string): RealtimeToken {
  const value = parseJson(text)
  if (!isToken(value)) {
    throw new RealtimeTokenError({
      reason: 'InvalidToken',
      message: `${from} is no token.json: a JSON object with provider, token, expiresAt and config`,
    })
  }
  return value
}

/** Refuses a token with less than `minRemainingMs` of life. */
export function checkLife(token: RealtimeToken, minRemainingMs: number, now: number, advice: string): RealtimeToken {
  const left = token.expiresAt - now
  if (left > minRemainingMs) return token
  const end = new Date(token.expiresAt).toISOString()
  const state = left <= 0 ? `expired at ${end}` : `ends at ${end}, in less than ${minRemainingMs} ms`
  throw new RealtimeTokenError({ reason: 'TokenExpired', message: `the token ${state}: ${advice}` })
}

/** The value, or undefined if the text is no JSON. The parser's own error would repeat a part of the text. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The last time that a `Date` can hold. */
const LAST_TIME = 8.64e15

function isToken(value: unknown): value is RealtimeToken {
  if (!isObject(value)) return false
  const { provider, token, expiresAt, config } = value
  const named = typeof provider === 'string' && provider !== '' && typeof token === 'string' && token !== ''
  const timed = typeof expiresAt === 'number' && expiresAt > 0 && expiresAt <= LAST_TIME
  return named && timed && isObject(config)
}
