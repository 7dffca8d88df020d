// Compiled, not run: the package's own types are TanStack's.

import type { RealtimeToken, RealtimeTokenAdapter } from '@tanstack/ai'
import { mountedRealtimeToken, requestedRealtimeToken } from '../src/index.ts'

export const mounted: RealtimeTokenAdapter = mountedRealtimeToken({ directory: '/var/run/realtime-token' })
export const requested: RealtimeTokenAdapter = requestedRealtimeToken({ subject: 'u_1', timeoutMs: 5000 })
export const token: () => Promise<RealtimeToken> = requestedRealtimeToken().generateToken

// @ts-expect-error: a user id that may be missing is no subject
requestedRealtimeToken({ subject: process.env.USER })
// @ts-expect-error
requestedRealtimeToken({ fallback: true })
// @ts-expect-error
mountedRealtimeToken('/var/run/realtime-token')
