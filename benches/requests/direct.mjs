// Prints, as a JSON array, how many microseconds each of N calls of TanStack's realtimeToken() took.
//
//   node direct.mjs <origin in place of https://api.openai.com> <N>

import { realtimeToken } from '@tanstack/ai'
import { openaiRealtimeToken } from '@tanstack/ai-openai'

const [origin, count] = process.argv.slice(2)
const real = globalThis.fetch
globalThis.fetch = (url, options) => real(String(url).replace('https://api.openai.com', origin), options)

const took = []
for (let n = 0; n < Number(count); n += 1) {
  const began = performance.now()
  const token = await realtimeToken({ adapter: openaiRealtimeToken({ model: 'gpt-realtime' }) })
  if (!token.token) throw new Error('no token')
  took.push(Math.round((performance.now() - began) * 1000))
}
console.log(JSON.stringify(took))
