import { requestedRealtimeToken } from '@realtime-token/client'
import { realtimeToken } from '@tanstack/ai'
import { createServerFn } from '@tanstack/react-start'
import { answer } from './answer'
import { signedIn } from './signedIn'
import { subjectOf } from './subject'

/** A token for the user who is signed in, and for nobody else. */
export const getRealtimeToken = createServerFn({ method: 'POST' })
  .middleware([signedIn])
  .handler(({ context: { user } }) =>
    answer(() => realtimeToken({ adapter: requestedRealtimeToken({ subject: subjectOf(user) }) })),
  )
