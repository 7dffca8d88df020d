// The operator's refusals, application/problem+json, as errors that say what to do.

import { AUDIENCE, type Caller } from './caller.ts'
import { RealtimeTokenError } from './error.ts'
import type { Answer } from './post.ts'
import { parseRetryAfter } from './retry.ts'
import { isObject, parseJson } from './token.ts'

const LONGEST_DETAIL = 500
const SHORTEST_TELLING_SUBJECT = 6

export interface Asked {
  url: URL
  /** Undefined where none is sent, over loopback. */
  caller: Caller | undefined
  subject: string | undefined
}

/** An answer other than 201 as an error. */
export function refusal(answer: Answer, asked: Asked, now: number): RealtimeTokenError {
  const problem = readProblem(answer)
  const reason = text(problem.reason) ?? `Http${answer.status}`
  const detail = printable(text(problem.detail) ?? text(problem.title), asked)
  const advice = adviceFor(answer.status, reason, detail !== undefined, asked, now)
  const said = detail ?? `${asked.url.origin} answered with status ${answer.status}`
  return new RealtimeTokenError({
    status: answer.status,
    reason,
    message: advice === undefined ? said : `${said}: ${advice}`,
    retryAfterMs: parseRetryAfter(answer.headers['retry-after'], now),
  })
}

/** What the operator can't know, or, if something else answered, what it would have said. */
function adviceFor(status: number, reason: string, detailed: boolean, asked: Asked, now: number): string | undefined {
  if (status === 401) return aboutCaller(asked.caller, detailed, now)
  if (status === 403 && (reason === 'Forbidden' || !detailed)) return aboutGrant(asked)
  if (detailed) return undefined
  switch (status) {
    case 404:
      return `is there a RealtimeToken ${targetOf(asked.url)?.join('/') ?? 'of that name'}, with spec.requests?`
    case 429:
      return 'ask again later'
    case 503:
    case 504:
      return 'is realtime-token-operator running? See also the condition Serving in kubectl describe rtt'
    default:
      return 'is request-url the address of realtime-token-operator?'
  }
}

function aboutCaller(caller: Caller | undefined, detailed: boolean, now: number): string | undefined {
  if (caller === undefined) return 'over http no ServiceAccount token is sent: use the https URL in request-url'
  const { file } = caller
  const { audiences, expiresAt } = caller.claims
  if (audiences.length > 0 && !audiences.includes(AUDIENCE)) {
    return `the token in ${file} is not for it: set audience: ${AUDIENCE} in the projected volume`
  }
  if (expiresAt !== undefined && expiresAt <= now) return `the token in ${file} has expired: does the kubelet renew it?`
  if (detailed) return undefined
  return `project the token in ${file} with audience: ${AUDIENCE}; the pod and its ServiceAccount must still exist`
}

/** The Role and RoleBinding that are missing, to be applied as they are. */
function aboutGrant({ url, caller }: Asked): string {
  const target = targetOf(url)
  const [, , from, account] = caller?.claims.subject?.split(':') ?? []
  if (target === undefined || from === undefined || account === undefined) {
    return 'the caller needs create on realtimetokens/token in the API group realtime-token.dev'
  }
  const [namespace, name] = target
  return `if ${account} in ${from} should ask for these tokens, apply

apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: ${name}-token, namespace: ${namespace}}
rules:
  - {apiGroups: [realtime-token.dev], resources: [realtimetokens/token], resourceNames: [${name}], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: ${name}-token, namespace: ${namespace}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: ${name}-token}
subjects:
  - {kind: ServiceAccount, name: ${account}, namespace: ${from}}
`
}

/** Namespace and name of the RealtimeToken. */
function targetOf(url: URL): [string, string] | undefined {
  const path = /\/namespaces\/([a-z0-9.-]+)\/realtimetokens\/([a-z0-9.-]+)\/token$/.exec(url.pathname)
  return path?.[1] && path[2] ? [path[1], path[2]] : undefined
}

function readProblem(answer: Answer): Record<string, unknown> {
  const type = answer.headers['content-type'] ?? ''
  const value = /^application\/problem\+json\b/i.test(type) ? parseJson(answer.body) : undefined
  return isObject(value) ? value : {}
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Words of whoever answered, fit for a log: on one line, of bounded length, without what was sent. */
function printable(detail: string | undefined, { caller, subject }: Asked): string | undefined {
  if (detail === undefined) return undefined
  let words = detail
  if (caller) words = words.replaceAll(caller.bearer, '<token>')
  // A shorter one names nobody, and may be a part of any word.
  if (subject && subject.length >= SHORTEST_TELLING_SUBJECT) words = words.replaceAll(subject, '<subject>')
  return words
    .replace(/\p{C}+/gu, ' ')
    .slice(0, LONGEST_DETAIL)
    .replace(/[.:\s]+$/, '')
}
