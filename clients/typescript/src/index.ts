export { RealtimeTokenError } from './error.ts'
export { mountedRealtimeToken, type MountedOptions } from './mounted.ts'
export { requestedRealtimeToken, type RequestedOptions } from './requested.ts'
export type { RealtimeToken, RealtimeTokenAdapter, SessionConfig } from './token.ts'
