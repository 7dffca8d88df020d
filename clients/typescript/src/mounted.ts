import { mountedDirectory, readKey } from './files.ts'
import { PROVIDER, checkLife, parseToken, type RealtimeToken, type RealtimeTokenAdapter } from './token.ts'

export interface MountedOptions {
  /** Where the Secret is mounted. Default: the variable `REALTIME_TOKEN_DIRECTORY`, else `/var/run/realtime-token`. */
  directory?: string
  /**
   * A token with less life is refused. Default: a minute, since TanStack's client asks again a minute before a token's
   * end, and without pause if less is left. The operator keeps 90 s by default, so that this only shows when renewal
   * has failed for long.
   */
  minRemainingMs?: number
}

const TANSTACK_REFRESH_MS = 60_000

/**
 * The token that the operator keeps in a mounted Secret. All who read it share it: for workers, kiosks and bots. Where
 * each end user needs a token, or a token starts one session only, use `requestedRealtimeToken`.
 */
export function mountedRealtimeToken(options: MountedOptions = {}): RealtimeTokenAdapter {
  const directory = mountedDirectory(options.directory)
  const minRemainingMs = options.minRemainingMs ?? TANSTACK_REFRESH_MS
  return { provider: PROVIDER, generateToken: () => readMounted(directory, minRemainingMs) }
}

/** Reads one file, so that token and expiry belong together whenever the kubelet replaces the folder. */
async function readMounted(directory: string, minRemainingMs: number): Promise<RealtimeToken> {
  const missing =
    'mount the whole Secret of a RealtimeToken there, without subPath; ' +
    'with target.content Connection it holds no token: use requestedRealtimeToken'
  const text = await readKey(directory, 'token.json', missing)
  const token = parseToken(text, `token.json in ${directory}`)
  return checkLife(token, minRemainingMs, Date.now(), 'it is not being renewed, see kubectl describe rtt')
}
