import { createMiddleware } from '@tanstack/react-start'
import { getRequestHeader, setResponseStatus } from '@tanstack/react-start/server'

/**
 * A token spends your money for whoever holds it: find out who is asking first. This example trusts a proxy that signs
 * users in, names them in this header, and removes it from what they send. Put your own sessions here.
 */
export const signedIn = createMiddleware({ type: 'function' }).server(({ next }) => {
  const user = getRequestHeader('x-forwarded-user') ?? (import.meta.env.DEV ? 'developer' : undefined)
  if (!user) {
    setResponseStatus(401)
    throw new Error('sign in first')
  }
  return next({ context: { user } })
})
