import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { RealtimeTokenError } from '../src/index.ts'
import { Pod } from './pod.ts'
import { StrictServer } from './strict-server.ts'

/** A server and a pod that may ask it. At the end the server must have had nothing to complain about. */
export async function world(test: TestContext): Promise<{ server: StrictServer; pod: Pod }> {
  const server = await StrictServer.start()
  const pod = Pod.of(server)
  test.after(async () => {
    await server.stop()
    pod.remove()
    assert.deepEqual(server.complaints, [])
  })
  return { server, pod }
}

export function folder(test: TestContext): Pod {
  const pod = new Pod()
  test.after(() => pod.remove())
  return pod
}

/** The error of an attempt that must fail. */
export async function failure(attempt: Promise<unknown>): Promise<RealtimeTokenError> {
  try {
    await attempt
  } catch (error) {
    assert.ok(error instanceof RealtimeTokenError, String(error))
    return error
  }
  assert.fail('there is a token')
}

/** Everything that a logger would print of an error. */
export function printed(error: Error): string {
  const cause = error.cause instanceof Error ? printed(error.cause) : ''
  return `${error.stack} ${JSON.stringify(error)} ${cause}`
}
