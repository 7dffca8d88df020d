// Prints, as JSON, how many microseconds each of N calls of TanStack's realtimeToken() took, and how much processor time
// this process used for all of them.
//
//   node direct.mjs <origin in place of https://api.openai.com> <N>

import { Agent, request } from 'node:http'
import { realtimeToken } from '@tanstack/ai'
import { openaiRealtimeToken } from '@tanstack/ai-openai'

const [origin, count] = process.argv.slice(2)
const agent = new Agent({ keepAlive: true })

// The strict stand-in knows the headers of the adapter, and not those that Node's own fetch adds.
globalThis.fetch = (url, { method, headers, body }) =>
  new Promise((resolve, reject) => {
    const to = String(url).replace('https://api.openai.com', origin)
    const asked = request(to, { method, headers: { ...headers, 'content-length': Buffer.byteLength(body) }, agent })
    asked.on('error', reject)
    asked.on('response', async (answer) => {
      const text = (await answer.toArray()).join('')
      resolve(new Response(text, { status: answer.statusCode, headers: { 'content-type': 'application/json' } }))
    })
    asked.end(body)
  })

const took = []
const before = process.cpuUsage()
for (let n = 0; n < Number(count); n += 1) {
  const began = performance.now()
  const token = await realtimeToken({ adapter: openaiRealtimeToken({ model: 'gpt-realtime' }) })
  if (!token.token) throw new Error('no token')
  took.push(Math.round((performance.now() - began) * 1000))
}
const { user, system } = process.cpuUsage(before)
console.log(JSON.stringify({ took, cpu: user + system }))
