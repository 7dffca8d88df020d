import assert from 'node:assert/strict'
import { test } from 'node:test'
import { realtimeToken } from '@tanstack/ai'
import { requestedRealtimeToken } from '../src/index.ts'
import { failure, printed, world } from './fixtures.ts'
import { callerToken } from './strict-server.ts'

test('TanStack gets a token of its own at each call, with the subject and overrides that were asked for', async (t) => {
  const { server, pod } = await world(t)
  const overrides = { expirationSeconds: 60, openai: { session: { instructions: 'Sprich Deutsch – bitte.' } } }
  const ada = await realtimeToken({ adapter: requestedRealtimeToken({ ...pod.options, subject: 'u_ada', overrides }) })
  const bob = await realtimeToken({ adapter: requestedRealtimeToken({ ...pod.options, subject: 'u_bob' }) })
  const nobody = await realtimeToken({ adapter: requestedRealtimeToken(pod.options) })
  assert.deepEqual(server.handed, [
    { token: ada.token, subject: 'u_ada', overrides },
    { token: bob.token, subject: 'u_bob', overrides: undefined },
    { token: nobody.token, subject: undefined, overrides: undefined },
  ])
  assert.equal(new Set(server.handed.map((it) => it.token)).size, 3)
  assert.deepEqual(Object.keys(ada), ['provider', 'token', 'expiresAt', 'config'])
})

test('adapters share a connection, though each is for one user', async (t) => {
  const { server, pod } = await world(t)
  for (let user = 0; user < 20; user++)
    await requestedRealtimeToken({ ...pod.options, subject: `u_${user}` }).generateToken()
  assert.equal(server.connections, 1)
  const many = Array.from({ length: 200 }, () => requestedRealtimeToken(pod.options).generateToken())
  const tokens = (await Promise.all(many)).map((it) => it.token)
  assert.equal(new Set(tokens).size, 200)
  assert.ok(server.connections <= 100, `${server.connections} connections`)

  // Those that wait for a connection, and then for the provider, have not failed to connect.
  server.delayMs = 1800
  const slow = Array.from({ length: 150 }, () => requestedRealtimeToken(pod.options).generateToken())
  await Promise.all(slow)
  assert.equal(server.requests, 20 + 200 + 150)
})

test('a renewed CA and a renewed ServiceAccount token are used as soon as they are mounted', async (t) => {
  const { server, pod } = await world(t)
  const adapter = requestedRealtimeToken(pod.options)
  await adapter.generateToken()
  const old = server.ca
  server.renewCertificate()
  const distrust = await failure(adapter.generateToken())
  assert.equal(distrust.reason, 'CertificateNotTrusted')
  assert.match(distrust.message, /request-ca.crt/)
  // The new one comes beside the old one, so that a server with either is trusted.
  pod.mount({ 'request-url': server.url, 'request-ca.crt': `${old}\n${server.ca}` })
  await adapter.generateToken()

  server.callers.clear()
  assert.equal((await failure(adapter.generateToken())).status, 401)
  server.callers.add(pod.project())
  await adapter.generateToken()
})

test('a server that is not trusted sees no request', async (t) => {
  const { server, pod } = await world(t)
  const stranger = (await world(t)).server
  pod.mount({ 'request-url': stranger.url, 'request-ca.crt': server.ca })
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
  t.after(() => delete process.env.NODE_TLS_REJECT_UNAUTHORIZED)
  const error = await failure(requestedRealtimeToken(pod.options).generateToken())
  assert.equal(error.reason, 'CertificateNotTrusted')
  // Not the system's CAs either, where the Secret has none.
  pod.mount({ 'request-url': stranger.url })
  assert.equal((await failure(requestedRealtimeToken(pod.options).generateToken())).reason, 'CertificateNotTrusted')
  // Nor a name that the certificate doesn't have.
  pod.mount({ 'request-url': stranger.url.replace('localhost', '127.0.0.1'), 'request-ca.crt': stranger.ca })
  assert.equal((await failure(requestedRealtimeToken(pod.options).generateToken())).reason, 'CertificateNotTrusted')
  assert.equal(stranger.requests, 0)
})

test('only https, and http on this machine, are asked, and http without the ServiceAccount token', async (t) => {
  const { pod } = await world(t)
  for (const url of [
    'http://10.0.0.1/token',
    'http://localhost.example/token',
    'http://127.0.0.1.example/',
    'ftp://localhost/',
    'shop',
    'https://me:pw@localhost/',
  ]) {
    const error = await failure(requestedRealtimeToken({ ...pod.options, url }).generateToken())
    assert.equal(error.reason, 'InvalidUrl', url)
    assert.doesNotMatch(error.message, /pw/)
  }
  const { createServer } = await import('node:http')
  const seen: unknown[] = []
  const local = createServer((request, response) => {
    seen.push(request.headers.authorization)
    const token = { provider: 'openai', token: 'ek_local', expiresAt: Date.now() + 60_000, config: {} }
    response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(token))
  })
  await new Promise<void>((done) => local.listen(0, '127.0.0.1', done))
  t.after(() => local.close())
  const url = `http://127.0.0.1:${(local.address() as { port: number }).port}/token`
  const adapter = requestedRealtimeToken({ url, tokenFile: '/nonexistent' })
  assert.equal((await adapter.generateToken()).token, 'ek_local')
  assert.deepEqual(seen, [undefined])
})

test('mistakes of the program are found when the adapter is made', () => {
  const bad: object[] = [
    { subject: undefined },
    { subject: '' },
    { subject: 'a b' },
    { subject: 'ü' },
    { subject: 'x'.repeat(129) },
    { subject: 'a\r\nx-injected: 1' },
    { overrides: [] },
    { overrides: 'a' },
    { timeoutMs: 0 },
    { timeoutMs: Number.NaN },
    { timeoutMs: Infinity },
    { fallback: 'always' },
    { fallback: 'mounted', overrides: {} },
  ]
  for (const options of bad) assert.throws(() => requestedRealtimeToken(options), TypeError, JSON.stringify(options))
})

test('what is missing in the pod is said, with what to add', async (t) => {
  const { server, pod } = await world(t)
  const ask = () => failure(requestedRealtimeToken(pod.options).generateToken())
  pod.project('')
  assert.match(
    (await ask()).message,
    /holds no ServiceAccount token: mount a projected volume .* audience realtime-token.dev/,
  )
  pod.project('two words')
  assert.equal((await ask()).reason, 'NoCallerToken')
  const missing = requestedRealtimeToken({ ...pod.options, tokenFile: '/nonexistent/token' })
  assert.match((await failure(missing.generateToken())).message, /there is no \/nonexistent\/token/)
  pod.mount({ 'token.json': '{}' })
  assert.match((await ask()).message, /request-url: .*requests.enabled/)
  assert.equal(server.requests, 0)
})

test('an answer that is no token is an error that repeats none of it', async (t) => {
  const { server, pod } = await world(t)
  const json = { 'content-type': 'application/json' }
  const expired = JSON.stringify({ provider: 'openai', token: 'ek_secret', expiresAt: 1, config: {} })
  const far = JSON.stringify({
    provider: 'openai',
    token: 'ek_secret',
    expiresAt: Date.now() + 1e6,
    config: {},
    more: 'x'.repeat(300_000),
  })
  for (const [body, reason] of [
    ['{"token":"ek_secret"}', 'InvalidToken'],
    ['ek_secret', 'InvalidToken'],
    [expired, 'TokenExpired'],
    [far, 'AnswerLost'],
  ] as const) {
    server.faults.push({ status: 201, headers: json, body })
    const error = await failure(requestedRealtimeToken(pod.options).generateToken())
    assert.equal(error.reason, reason)
    assert.doesNotMatch(printed(error), /ek_secret/)
  }
  server.faults.push({ status: 307, headers: { location: 'https://stranger.example/' } })
  const error = await failure(requestedRealtimeToken(pod.options).generateToken())
  assert.deepEqual([error.status, error.reason], [307, 'Http307'])
})

test('no error holds the bearer token or the subject, even if the answer repeats them', async (t) => {
  const { server, pod } = await world(t)
  const bearer = pod.project(callerToken())
  const echo = JSON.stringify({ reason: 'Invalid', detail: `what is ${bearer} for u_secret?` })
  const reflected = { status: 422, headers: { 'content-type': 'application/problem+json' }, body: echo }
  server.faults.push(reflected, 'reset')
  for (let fault = 0; fault < 2; fault++) {
    const error = await failure(requestedRealtimeToken({ ...pod.options, subject: 'u_secret' }).generateToken())
    assert.doesNotMatch(printed(error), /u_secret/)
    assert.ok(!printed(error).includes(bearer))
  }
})
