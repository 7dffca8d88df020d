import assert from 'node:assert/strict'
import { test } from 'node:test'
import { realtimeToken } from '@tanstack/ai'
import { mountedRealtimeToken } from '../src/index.ts'
import { failure, folder, printed } from './fixtures.ts'
import { tokenJson } from './pod.ts'

test('TanStack gets the mounted token, and the next one after the kubelet has replaced it', async (t) => {
  const pod = folder(t)
  const adapter = mountedRealtimeToken({ directory: pod.directory })
  for (const token of ['ek_1', 'ek_2']) {
    const written = tokenJson(600_000, token)
    pod.mount({ 'token.json': written, token })
    assert.deepEqual(await realtimeToken({ adapter }), JSON.parse(written))
  }
})

test('the variable says where the Secret is mounted', async (t) => {
  const pod = folder(t)
  pod.mount({ 'token.json': tokenJson(600_000, 'ek_variable') })
  process.env.REALTIME_TOKEN_DIRECTORY = pod.directory
  t.after(() => delete process.env.REALTIME_TOKEN_DIRECTORY)
  const adapter = mountedRealtimeToken()
  assert.equal((await adapter.generateToken()).token, 'ek_variable')
})

test('a token with which TanStack would ask without pause is refused', async (t) => {
  const pod = folder(t)
  pod.mount({ 'token.json': tokenJson(59_000) })
  const error = await failure(mountedRealtimeToken({ directory: pod.directory }).generateToken())
  assert.equal(error.reason, 'TokenExpired')
  assert.match(error.message, /ends at .* less than 60000 ms: .*kubectl describe rtt/)
  const lenient = mountedRealtimeToken({ directory: pod.directory, minRemainingMs: 0 })
  assert.equal((await lenient.generateToken()).token, 'ek_mounted')

  pod.mount({ 'token.json': tokenJson(-1) })
  assert.match((await failure(lenient.generateToken())).message, /expired at/)
})

test('a missing Secret, and one of content Connection, are explained', async (t) => {
  const pod = folder(t)
  const adapter = mountedRealtimeToken({ directory: pod.directory })
  const missing = await failure(adapter.generateToken())
  assert.equal(missing.reason, 'NotMounted')
  pod.mount({ 'request-url': 'https://localhost' })
  assert.match((await failure(adapter.generateToken())).message, /Connection .* use requestedRealtimeToken/)
})

test('what is no token.json is refused, and no part of it gets into the error', async (t) => {
  const pod = folder(t)
  const adapter = mountedRealtimeToken({ directory: pod.directory })
  const good = { provider: 'openai', token: 'ek_secret', expiresAt: Date.now() + 600_000, config: {} }
  const texts = [
    'ek_secret',
    '',
    '[]',
    'null',
    '{"token":"ek_secret"',
    ...WRONG.map((it) => JSON.stringify({ ...good, ...it })),
  ]
  for (const text of texts) {
    pod.mount({ 'token.json': text })
    const error = await failure(adapter.generateToken())
    assert.equal(error.reason, 'InvalidToken', text)
    assert.doesNotMatch(printed(error), /ek_secret/)
  }
  pod.mount({ 'token.json': JSON.stringify(good) })
  await adapter.generateToken()
})

const WRONG = [
  { provider: 7 },
  { token: '' },
  { expiresAt: '2026-11-29T00:00:00Z' },
  { expiresAt: 1e300 },
  { expiresAt: null },
  { config: [] },
  { config: undefined },
]
