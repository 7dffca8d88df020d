import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readClaims } from '../src/caller.ts'
import type { RealtimeTokenError } from '../src/index.ts'
import { refusal, type Asked } from '../src/refusal.ts'
import { parseRetryAfter, pauseBeforeRetry } from '../src/retry.ts'
import { callerToken } from './strict-server.ts'

const NOW = Date.parse('2026-11-29T12:00:00Z')

function refused(
  status: number,
  problem?: object,
  more: { claims?: object; retryAfter?: string } = {},
): RealtimeTokenError {
  const bearer = callerToken({ exp: NOW / 1000 + 600, ...more.claims })
  const asked: Asked = {
    url: new URL('https://rto.operators.svc/v1alpha1/namespaces/shop/realtimetokens/voice/token'),
    caller: { bearer, file: '/var/run/token', claims: readClaims(bearer) },
    subject: undefined,
  }
  const type = problem ? 'application/problem+json' : 'text/html'
  const headers = { 'content-type': type, ...(more.retryAfter && { 'retry-after': more.retryAfter }) }
  const body = problem ? JSON.stringify(problem) : '<h1>no</h1>'
  return refusal({ status, headers, body }, asked, NOW)
}

test('a 401 says which audience the token has, or that it has expired', () => {
  const foreign = refused(401, undefined, { claims: { aud: ['https://kubernetes.default.svc'] } })
  assert.match(foreign.message, /\/var\/run\/token is not for it: set audience: realtime-token.dev/)
  assert.match(refused(401, undefined, { claims: { exp: NOW / 1000 - 1 } }).message, /has expired/)
  assert.match(refused(401).message, /project the token .* with audience: realtime-token.dev/)
})

test('a 403 has the Role and RoleBinding to apply, unless it is about something else', () => {
  const said = refused(403, { reason: 'Forbidden', detail: 'not allowed.' }).message
  assert.match(said, /^not allowed: if shop-app in web should ask/)
  assert.match(
    said,
    /metadata: \{name: voice-token, namespace: shop\}\nrules:\n.*realtimetokens\/token.*\[voice\].*create/,
  )
  assert.match(said, /\{kind: ServiceAccount, name: shop-app, namespace: web\}/)
  const field = refused(403, { reason: 'NotOverridable', detail: 'openai.model is not in spec.requests.overridable' })
  assert.equal(field.message, 'openai.model is not in spec.requests.overridable')
  assert.equal(field.reason, 'NotOverridable')
  const user = refused(403, undefined, { claims: { sub: 'system:serviceaccount:web:x\nevil: yes' } })
  assert.doesNotMatch(user.message, /evil/)
})

test('the other refusals name what to look at', () => {
  assert.match(refused(404).message, /RealtimeToken shop\/voice, with spec.requests/)
  assert.match(refused(503).message, /running/)
  for (const status of [401, 404, 409, 422, 429, 503]) {
    const said = refused(status, { reason: 'Suspended', detail: 'the operator says what to do.' })
    assert.deepEqual([said.message, said.reason], ['the operator says what to do', 'Suspended'], String(status))
  }
  const foreign = refused(502)
  assert.deepEqual([foreign.status, foreign.reason], [502, 'Http502'])
  assert.match(foreign.message, /^https:\/\/rto.operators.svc answered with status 502: is request-url/)
})

test('the words of an answer can neither fill a log nor break its lines', () => {
  const long = refused(422, { detail: `a\r\nb\u202e\u001b[31m${'x'.repeat(10_000)}` })
  assert.ok(long.message.length < 1000)
  assert.match(long.message, /^a b \[31mx/)
  for (const detail of [7, {}, '', null]) assert.match(refused(422, { detail, reason: detail }).message, /status 422/)
})

test('Retry-After is a number of seconds or a date', () => {
  assert.equal(refused(429, undefined, { retryAfter: '3' }).retryAfterMs, 3000)
  assert.equal(parseRetryAfter('Sun, 29 Nov 2026 12:00:05 GMT', NOW), 5000)
  assert.equal(parseRetryAfter('Sun, 29 Nov 2026 11:00:00 GMT', NOW), 0)
  for (const header of [undefined, '', 'soon', '-', '99999999999999'])
    assert.equal(parseRetryAfter(header, NOW), undefined, header)
})

test('only what can have minted nothing is repeated', () => {
  const pause = (status: number, retryAfter?: string) =>
    pauseBeforeRetry(refused(status, undefined, retryAfter === undefined ? {} : { retryAfter }), 1, 1)
  assert.equal(pause(429, '2'), 2100)
  assert.equal(pause(503, '1'), 1100)
  for (const status of [429, 503]) assert.equal(pause(status), undefined)
  for (const status of [301, 401, 403, 404, 409, 422, 500, 502, 504])
    assert.equal(pause(status, '0'), undefined, String(status))
})
