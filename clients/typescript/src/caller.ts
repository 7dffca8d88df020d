// The projected ServiceAccount token with which a pod asks.

import { RealtimeTokenError } from './error.ts'
import { readIfThere } from './files.ts'
import { isObject, parseJson } from './token.ts'

export const AUDIENCE = 'realtime-token.dev'

/** What the token says of itself, for messages only: the operator has the API server check it. */
export interface Claims {
  /** `system:serviceaccount:<namespace>:<name>` */
  subject: string | undefined
  audiences: string[]
  expiresAt: number | undefined
}

export interface Caller {
  bearer: string
  file: string
  claims: Claims
}

/** Reads the token anew, since the kubelet replaces it before it ends. */
export async function readCaller(file: string): Promise<Caller> {
  const bearer = (await readIfThere(file, 'NoCallerToken'))?.trim()
  if (bearer && /^[\x21-\x7e]+$/.test(bearer)) return { bearer, file, claims: readClaims(bearer) }
  const state = bearer === undefined ? `there is no ${file}` : `${file} holds no ServiceAccount token`
  throw new RealtimeTokenError({
    reason: 'NoCallerToken',
    message: `${state}: mount a projected volume with a serviceAccountToken of audience ${AUDIENCE}`,
  })
}

export function readClaims(bearer: string): Claims {
  const payload = parseJson(Buffer.from(bearer.split('.')[1] ?? '', 'base64url').toString('utf8'))
  const { sub, aud, exp } = isObject(payload) ? payload : {}
  const account = typeof sub === 'string' && /^system:serviceaccount:[a-z0-9.-]+:[a-z0-9.-]+$/.test(sub)
  const audiences = (Array.isArray(aud) ? aud : [aud]).filter((it) => typeof it === 'string')
  return {
    subject: account ? sub : undefined,
    audiences,
    expiresAt: typeof exp === 'number' ? exp * 1000 : undefined,
  }
}
