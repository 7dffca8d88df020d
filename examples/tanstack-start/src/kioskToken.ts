import { mountedRealtimeToken } from '@realtime-token/client'
import { realtimeToken } from '@tanstack/ai'
import { createServerFn } from '@tanstack/react-start'
import { answer } from './answer'
import { signedIn } from './signedIn'

/** The mounted token, the same for all who call: for a screen in a shop, say, that signs in as itself. */
export const getKioskToken = createServerFn({ method: 'POST' })
  .middleware([signedIn])
  .handler(() => answer(() => realtimeToken({ adapter: mountedRealtimeToken() })))
