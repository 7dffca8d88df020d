import { RealtimeTokenError } from '@realtime-token/client'
import type { RealtimeToken } from '@tanstack/ai'
import { setResponseHeader, setResponseStatus } from '@tanstack/react-start/server'

/** Hands out a token that nothing on the way may store. Why there is none is for the log, not for the browser. */
export async function answer(getToken: () => Promise<RealtimeToken>): Promise<RealtimeToken> {
  setResponseHeader('cache-control', 'no-store')
  try {
    return await getToken()
  } catch (error) {
    console.error('no realtime token:', error instanceof RealtimeTokenError ? error.message : error)
    setResponseStatus(error instanceof RealtimeTokenError && error.status === 429 ? 429 : 503)
    throw new Error('no realtime token at the moment, try again in a minute')
  }
}
