import { readFile } from 'node:fs/promises'
import type { RealtimeToken } from '@tanstack/ai'
import { createServerFn } from '@tanstack/react-start'
import { setResponseHeader, setResponseStatus } from '@tanstack/react-start/server'
import { signedIn } from './signedIn'

// TanStack's client asks again 60 s before a token's end, at once if less is left. The operator keeps 90 s; should it
// ever fall below that, an error is better than every browser asking in a tight loop.
const LEAST_LIFE_MS = 60_000

/** The mounted token, for a user who is signed in. */
export const getRealtimeToken = createServerFn({ method: 'POST' })
  .middleware([signedIn])
  .handler(async (): Promise<RealtimeToken> => {
    setResponseHeader('cache-control', 'no-store')
    const file = process.env.REALTIME_TOKEN_FILE ?? '/var/run/realtime-token/token.json'
    try {
      // Read anew on each call: the kubelet replaces the file when the operator has renewed the token.
      const token: RealtimeToken = JSON.parse(await readFile(file, 'utf8'))
      if (token.expiresAt - Date.now() > LEAST_LIFE_MS) return token
      console.error(`the token in ${file} ends at ${new Date(token.expiresAt).toISOString()}: is it being renewed?`)
    } catch (error) {
      console.error(`no token in ${file}:`, error)
    }
    setResponseStatus(503)
    throw new Error('no realtime token at the moment, try again in a minute')
  })
