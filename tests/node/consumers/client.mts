// TanStack's RealtimeClient with its OpenAI adapter, as the example's page uses them, with each event as a line of JSON.
//
//   client.mts start <url> <function id>      the token comes from the running application's server function
//   client.mts stranger <url> <function id>   the same for somebody who is not signed in
//   client.mts file <token.json>              the token comes straight from a file
//
// Ends when its input does.

import { readFile } from 'node:fs/promises'
import type { RealtimeToken } from '@tanstack/ai'
import { RealtimeClient } from '@tanstack/ai-client'
import { openaiRealtime } from '@tanstack/ai-openai'
import { createServerFn } from '@tanstack/react-start'
import { createClientRpc } from '@tanstack/react-start/client-rpc'
import { runWithStartContext } from '@tanstack/start-storage-context'
import { playBrowser } from './edge.mts'

const [mode, where = '', id = ''] = process.argv.slice(2)
const say = (event: string, more: object = {}) => console.log(JSON.stringify({ event, ...more }))

/** What Start's compiler puts into the browser in place of the server function. */
function serverFunction(): () => Promise<RealtimeToken> {
  process.env.TSS_SERVER_FN_BASE = `${where}/_serverFn/`
  const call = createServerFn({ method: 'POST' }).handler(createClientRpc(id) as never)
  // The first is the browser's own header, the second one the example's sign-in proxy adds.
  const headers = new Headers({ 'sec-fetch-site': 'same-origin' })
  if (mode === 'start') headers.set('x-forwarded-user', 'ada')
  return () => call({ headers }) as Promise<RealtimeToken>
}

const source = mode === 'file' ? async () => JSON.parse(await readFile(where, 'utf8')) : serverFunction()

playBrowser((bearer) => say('session', { bearer }))
const client = new RealtimeClient({
  getToken: async () => {
    const token: RealtimeToken = await source()
    say('token', { token, left: token.expiresAt - Date.now() })
    return token
  },
  adapter: openaiRealtime(),
  onStatusChange: (status) => say('status', { status }),
  onError: (error) => say('error', { message: error.message }),
})

// Start's code takes Node for a server and looks for the context of a request there.
await runWithStartContext({ startOptions: {} } as never, () => client.connect().catch(() => {}))
for await (const _ of process.stdin);
await client.disconnect()
process.exit()
