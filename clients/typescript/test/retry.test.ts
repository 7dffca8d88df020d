import assert from 'node:assert/strict'
import { connect, createServer } from 'node:net'
import { test } from 'node:test'
import { RealtimeTokenError, requestedRealtimeToken } from '../src/index.ts'
import { failure, printed, world } from './fixtures.ts'
import { tokenJson } from './pod.ts'
import { StrictServer } from './strict-server.ts'

test('a refusal with Retry-After is waited out, within the time-out', async (t) => {
  const { server, pod } = await world(t)
  const limited = (seconds: string) => ({ status: 429, headers: { 'retry-after': seconds } })
  server.faults.push(limited('0'), { status: 503, headers: { 'retry-after': '1' } })
  const started = performance.now()
  await requestedRealtimeToken(pod.options).generateToken()
  assert.equal(server.requests, 3)
  assert.ok(performance.now() - started >= 1000)

  server.faults.push(limited('60'))
  const error = await failure(requestedRealtimeToken({ ...pod.options, timeoutMs: 5000 }).generateToken())
  assert.deepEqual([error.status, error.retryAfterMs, server.requests], [429, 60_000, 4])
})

test('what may have minted a token is not repeated', async (t) => {
  const { server, pod } = await world(t)
  const retry = { 'retry-after': '0' }
  server.faults.push(
    { status: 500, headers: retry },
    { status: 502, headers: retry },
    { status: 504, headers: retry },
    'reset',
    'half',
  )
  const reasons = []
  for (let requests = 1; requests <= 5; requests++) {
    reasons.push((await failure(requestedRealtimeToken(pod.options).generateToken())).reason)
    assert.equal(server.requests, requests)
  }
  assert.deepEqual(reasons, ['Http500', 'Http502', 'Http504', 'AnswerLost', 'AnswerLost'])
})

test('a server that is away is tried again until it is there', async (t) => {
  const { server, pod } = await world(t)
  await server.stop()
  const away = requestedRealtimeToken({ ...pod.options, timeoutMs: 1500 })
  const error = await failure(away.generateToken())
  assert.equal(error.reason, 'ConnectionFailed')
  assert.match(error.message, /^no connection to localhost:\d+ \(ECONNREFUSED\): .*NetworkPolicy/)

  const token = requestedRealtimeToken(pod.options).generateToken()
  const back = await StrictServer.start(server.certificate, server.port)
  t.after(() => back.stop())
  for (const caller of server.callers) back.callers.add(caller)
  await token
  assert.equal(back.requests, 1)
})

test('a connection that breaks before the request is sent is made again', async (t) => {
  const { server, pod } = await world(t)
  let broken = 0
  const gate = createServer((socket) => {
    if (broken++ < 2) return void socket.destroy()
    socket.pipe(connect(server.port, '127.0.0.1')).pipe(socket)
  })
  await new Promise<void>((done) => gate.listen(0, '127.0.0.1', done))
  t.after(() => gate.close())
  const port = (gate.address() as { port: number }).port
  // The strict server wants its own name and port in `host`.
  server.complainsAboutHost = false
  await requestedRealtimeToken({
    ...pod.options,
    url: server.url.replace(String(server.port), String(port)),
    ca: server.ca,
  }).generateToken()
  assert.deepEqual([broken, server.requests], [3, 1])
})

test('the time-out is for all of it, and an abort ends it at once', async (t) => {
  const { server, pod } = await world(t)
  server.faults.push('hang')
  const error = await failure(requestedRealtimeToken({ ...pod.options, timeoutMs: 200 }).generateToken())
  assert.equal(error.reason, 'TimedOut')
  assert.match(error.message, /within 200 ms/)
  const before = server.requests

  const controller = new AbortController()
  const attempt = requestedRealtimeToken({
    ...pod.options,
    signal: controller.signal,
    fallback: 'mounted',
  }).generateToken()
  const reason = new Error('the user has left')
  server.faults[0] = 'hang'
  server.onRequest = () => controller.abort(reason)
  await assert.rejects(attempt, (thrown) => thrown === reason)
  const late = requestedRealtimeToken({ ...pod.options, signal: controller.signal })
  await assert.rejects(late.generateToken(), (thrown) => thrown === reason)
  assert.equal(server.requests, before + 1)
})

test('the mounted token is taken only if it is said to be shared, and only in an outage', async (t) => {
  const { server, pod } = await world(t)
  const keys = { 'request-url': server.url, 'request-ca.crt': server.ca, 'request-fallback': 'mounted\n' }
  pod.mount({ ...keys, 'token.json': tokenJson(600_000) })
  const outages = [{ status: 502 }, { status: 503 }, { status: 504 }, 'reset'] as const
  server.faults.push(...outages)
  for (const _ of outages) await failure(requestedRealtimeToken(pod.options).generateToken())

  const reasons: RealtimeTokenError[] = []
  const shared = requestedRealtimeToken({
    ...pod.options,
    fallback: 'mounted',
    onFallback: (error) => reasons.push(error),
  })
  server.faults.push(...outages)
  for (const _ of outages) assert.equal((await shared.generateToken()).token, 'ek_mounted')
  assert.equal(reasons.length, outages.length)

  // A refusal is the operator's decision, which the file must not get around.
  for (const status of [401, 403, 404, 409, 422, 429]) {
    server.faults.push({ status })
    assert.equal((await failure(shared.generateToken())).status, status)
  }
  pod.mount({ ...keys, 'token.json': tokenJson(-1) })
  server.faults.push({ status: 503 })
  const expired = await failure(shared.generateToken())
  assert.equal(expired.status, 503, 'the cause, not what came of it')
  assert.notEqual(expired.reason, 'NotShared')
  assert.notEqual((await shared.generateToken()).token, 'ek_mounted')
})

test('no two users get one token that is for one session or one user, whatever the program says', async (t) => {
  const { server, pod } = await world(t)
  const keys = { 'request-url': server.url, 'request-ca.crt': server.ca, 'token.json': tokenJson(600_000) }
  const taken: RealtimeTokenError[] = []
  const adapter = requestedRealtimeToken({
    ...pod.options,
    fallback: 'mounted',
    onFallback: (error) => taken.push(error),
  })
  for (const [said, advice] of [
    ['none', /request-fallback doesn't say mounted.*Remove fallback: 'mounted'/],
    ['', /doesn't say mounted/],
    ['Mounted', /doesn't say mounted/],
    [undefined, /there is no .*request-fallback.*the operator writes it with the next token/],
  ] as const) {
    pod.mount({ ...keys, ...(said !== undefined && { 'request-fallback': said }) })
    server.faults.push({ status: 503, headers: { 'retry-after': '3600' } })
    const error = await failure(adapter.generateToken())
    assert.deepEqual([error.reason, error.status, error.retryAfterMs], ['NotShared', 503, 3_600_000])
    assert.match(error.message, advice)
    assert.equal((error.cause as RealtimeTokenError).status, 503)
    assert.doesNotMatch(printed(error), /ek_mounted/)
  }
  // The operator answers again: nothing of it matters.
  assert.notEqual((await adapter.generateToken()).token, 'ek_mounted')
  assert.equal(taken.length, 0)
})
