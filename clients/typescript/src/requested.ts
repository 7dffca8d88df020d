import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readCaller } from './caller.ts'
import { RealtimeTokenError } from './error.ts'
import { callerTokenFile, mountedDirectory, readIfThere, readKey } from './files.ts'
import { mountedRealtimeToken } from './mounted.ts'
import { NotSentError, post, type Answer } from './post.ts'
import { refusal, type Asked } from './refusal.ts'
import { pauseBeforeRetry } from './retry.ts'
import { PROVIDER, checkLife, isObject, parseToken, type RealtimeToken, type RealtimeTokenAdapter } from './token.ts'

export interface RequestedOptions {
  /**
   * Who the token is for: 1 to 128 visible ASCII characters that always stand for the same user and reveal nothing
   * about them, such as a hash of the user's id with a salt of your application.
   */
  subject?: string
  /**
   * Fields below `spec` of the RealtimeToken, for this token only. Those listed in `spec.requests.overridable` are
   * allowed.
   */
  overrides?: Record<string, unknown>
  /**
   * Where the Secret is mounted that says where to ask (`request-url`, `request-ca.crt`). Default: the variable
   * `REALTIME_TOKEN_DIRECTORY`, else `/var/run/realtime-token`.
   */
  directory?: string
  /** The whole URL to POST to, in place of `request-url`. `http` is for loopback only. */
  url?: string
  /** The CAs to trust, as PEM, in place of `request-ca.crt`. */
  ca?: string
  /**
   * The projected ServiceAccount token. Default: the variable `REALTIME_TOKEN_CALLER_TOKEN_FILE`, else
   * `/var/run/secrets/realtime-token.dev/token`.
   */
  tokenFile?: string
  /** For everything, retries and waits included. Default: 10 seconds. */
  timeoutMs?: number
  signal?: AbortSignal
  /**
   * A token with less life is refused. Default: 0, and that of `mountedRealtimeToken` for a fallback. What the operator
   * hands out has at least `spec.requests.minRemainingSeconds`.
   */
  minRemainingMs?: number
  /**
   * `mounted`: while the operator can't answer, take the token of the mounted Secret, which is not the subject's own. It
   * is taken only if several users may share it, as `request-fallback` in the Secret says; else the error's reason is
   * `NotShared`. A refusal (4xx) stays one.
   */
  fallback?: 'none' | 'mounted'
  /** Called with the reason when the mounted token is taken. */
  onFallback?: (error: RealtimeTokenError) => void
}

const TIMEOUT_MS = 10_000
const FALLBACK_KEY = 'request-fallback'
/** What `AbortSignal.timeout` can wait for, about 24 days. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1

interface Settings {
  subject: string | undefined
  body: string
  directory: string
  url: string | undefined
  ca: string | undefined
  tokenFile: string
  timeoutMs: number
  signal: AbortSignal | undefined
  minRemainingMs: number | undefined
}

/** A token that the operator mints for this call, and hands to nobody else. Make an adapter for each user. */
export function requestedRealtimeToken(options: RequestedOptions = {}): RealtimeTokenAdapter {
  const settings = check(options)
  const { directory, minRemainingMs } = settings
  const mounted = mountedRealtimeToken({ directory, ...(minRemainingMs !== undefined && { minRemainingMs }) })
  const generateToken = async () => {
    try {
      return await request(settings)
    } catch (error) {
      if (options.fallback !== 'mounted' || !isOutage(error)) throw error
      // Both before and after: the kubelet may replace the token in between.
      const before = await readFallback(directory)
      const token = await mounted.generateToken().catch(() => {
        throw error
      })
      for (const allowed of [before, await readFallback(directory)]) {
        if (allowed !== 'mounted') throw notShared(error, directory, allowed)
      }
      options.onFallback?.(error)
      return token
    }
  }
  return { provider: PROVIDER, generateToken }
}

/** What the operator says of the token beside it: `mounted` or `none`. Undefined where it says nothing. */
async function readFallback(directory: string): Promise<string | undefined> {
  const text = await readIfThere(join(directory, FALLBACK_KEY), 'NotMounted').catch(() => undefined)
  return text?.trim()
}

/** An outage without a way out: status and time to wait are those of the outage, which is the cause. */
function notShared(outage: RealtimeTokenError, directory: string, said: string | undefined): RealtimeTokenError {
  const file = join(directory, FALLBACK_KEY)
  const why =
    said === undefined
      ? `there is no ${file}, which would say that users may share it: the operator writes it with the next token once ` +
        'spec.requests is set, from the version on that this package is of'
      : `${file} doesn't say mounted: such a token starts one session or stands for one user, and would go to two. ` +
        "Remove fallback: 'mounted', or choose a kind of token that can be shared"
  const { status, retryAfterMs } = outage
  const message = `${outage.message}. The mounted token is not taken in its place: ${why}`
  return new RealtimeTokenError({ reason: 'NotShared', status, message, retryAfterMs, cause: outage })
}

/** Mistakes of the program, found when the adapter is made. */
function check(options: RequestedOptions): Settings {
  const { subject, overrides, timeoutMs = TIMEOUT_MS, fallback = 'none' } = options
  // A user id that is missing by mistake must not become a token for anybody.
  if ('subject' in options && !(typeof subject === 'string' && /^[\x21-\x7e]{1,128}$/.test(subject))) {
    throw new TypeError('subject must be 1 to 128 visible ASCII characters: hash the id of your user')
  }
  if (overrides !== undefined && !isObject(overrides)) throw new TypeError('overrides must be an object, as spec is')
  if (!(timeoutMs > 0 && timeoutMs <= LONGEST_TIMEOUT_MS)) {
    throw new TypeError(`timeoutMs must be 1 to ${LONGEST_TIMEOUT_MS}`)
  }
  if (fallback !== 'none' && fallback !== 'mounted') throw new TypeError("fallback must be 'none' or 'mounted'")
  if (fallback === 'mounted' && overrides !== undefined) {
    throw new TypeError("fallback 'mounted' can't go with overrides: the mounted token is minted without them")
  }
  return {
    subject,
    body: JSON.stringify({ subject, overrides }),
    directory: mountedDirectory(options.directory),
    url: options.url,
    ca: options.ca,
    tokenFile: callerTokenFile(options.tokenFile),
    timeoutMs,
    signal: options.signal,
    minRemainingMs: options.minRemainingMs,
  }
}

/** No answer, or one that says that the operator or the provider is in trouble. */
function isOutage(error: unknown): error is RealtimeTokenError {
  if (!(error instanceof RealtimeTokenError)) return false
  const unanswered = ['ConnectionFailed', 'AnswerLost', 'TimedOut'].includes(error.reason)
  return unanswered || (error.status !== undefined && error.status >= 500)
}

async function request(settings: Settings): Promise<RealtimeToken> {
  const end = performance.now() + settings.timeoutMs
  const deadline = AbortSignal.timeout(Math.ceil(settings.timeoutMs))
  const signal = settings.signal ? AbortSignal.any([settings.signal, deadline]) : deadline
  let last: RealtimeTokenError | undefined
  for (let tries = 1; ; tries++) {
    try {
      settings.signal?.throwIfAborted()
      return await attempt(settings, signal)
    } catch (error) {
      settings.signal?.throwIfAborted()
      if (deadline.aborted) throw last ?? timedOut(settings.timeoutMs)
      if (!(error instanceof RealtimeTokenError)) throw error
      const pause = pauseBeforeRetry(error, tries, Math.random())
      if (pause === undefined || performance.now() + pause >= end) throw error
      last = error
      // An abort is seen at the head of the next try.
      await sleep(pause, undefined, { signal }).catch(() => {})
    }
  }
}

function timedOut(timeoutMs: number): RealtimeTokenError {
  const message =
    `no answer within ${timeoutMs} ms: the provider may be slow, or the operator not reachable; ` +
    'a token that was minted meanwhile is thrown away'
  return new RealtimeTokenError({ reason: 'TimedOut', message })
}

/** One try. Everything is read anew: the kubelet may have replaced any of it. */
async function attempt(settings: Settings, signal: AbortSignal): Promise<RealtimeToken> {
  const url = await readUrl(settings)
  const loopback = url.protocol === 'http:'
  // In the clear no credential is sent, not even to this machine: local mode asks for none.
  const caller = loopback ? undefined : await readCaller(settings.tokenFile)
  const ca = loopback ? undefined : await readCa(settings)
  const headers = {
    accept: 'application/json, application/problem+json',
    'content-type': 'application/json',
    ...(caller && { authorization: `Bearer ${caller.bearer}` }),
  }
  const asked = { url, caller, subject: settings.subject }
  const answer = await post({ url, ca, headers, body: settings.body, signal }).catch((error: Error) => {
    throw unanswered(error, url)
  })
  return accept(answer, asked, settings.minRemainingMs ?? 0)
}

function accept(answer: Answer, asked: Asked, minRemainingMs: number): RealtimeToken {
  const now = Date.now()
  if (answer.status !== 201) throw refusal(answer, asked, now)
  const token = parseToken(answer.body, `the answer of ${asked.url.origin}`)
  return checkLife(token, minRemainingMs, now, "look at this machine's clock and spec.requests.minRemainingSeconds")
}

async function readUrl({ url, directory }: Settings): Promise<URL> {
  const missing =
    'mount the Secret of a RealtimeToken with spec.requests there; ' +
    'if it is, this installation has no requests enabled (requests.enabled of the chart)'
  const text = url ?? (await readKey(directory, 'request-url', missing))
  const parsed = URL.canParse(text.trim()) ? new URL(text.trim()) : undefined
  const where = url === undefined ? `request-url in ${directory}` : 'url'
  if (!parsed || parsed.username || parsed.password) {
    throw new RealtimeTokenError({ reason: 'InvalidUrl', message: `${where} is not a URL to ask at` })
  }
  if (parsed.protocol === 'https:' || (parsed.protocol === 'http:' && isLoopback(parsed.hostname))) return parsed
  const message = `${where} must be https: a token would be readable on the way; http is for loopback only`
  throw new RealtimeTokenError({ reason: 'InvalidUrl', message })
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

/** Undefined where the system's CAs are the ones: a URL of your own, or an installation with a public certificate. */
async function readCa({ ca, url, directory }: Settings): Promise<string | undefined> {
  return ca ?? (url === undefined ? readIfThere(join(directory, 'request-ca.crt'), 'NotMounted') : undefined)
}

function unanswered(error: Error, url: URL): RealtimeTokenError {
  const from = url.host
  if (!(error instanceof NotSentError)) {
    const message =
      `the connection to ${from} ended before the answer (${error.message}): ask again; ` +
      'a token that was minted is thrown away'
    return new RealtimeTokenError({ reason: 'AnswerLost', message, cause: error })
  }
  if (isDistrust(error.message)) {
    const message =
      `the certificate of ${from} is not trusted (${error.message}): ` +
      'request-ca.crt must be of the installation that request-url names'
    return new RealtimeTokenError({ reason: 'CertificateNotTrusted', message, cause: error })
  }
  const message =
    `no connection to ${from} (${error.message}): is realtime-token-operator running with requests enabled, ` +
    'and does a NetworkPolicy let this pod reach it?'
  return new RealtimeTokenError({ reason: 'ConnectionFailed', message, cause: error })
}

/** OpenSSL's and Node's codes for a certificate that doesn't verify. */
function isDistrust(code: string): boolean {
  return /CERT|ISSUER|SELF_SIGNED|ALTNAME|CRL|SIGNATURE/.test(code)
}
