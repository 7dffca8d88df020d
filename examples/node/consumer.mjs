// Opens an OpenAI Realtime session for each line of input, says the line to the model, and prints its answer.
// Node.js 22 or newer, no packages:   echo 'What is a token?' | node consumer.mjs

import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { setTimeout as sleep } from 'node:timers/promises'

const FILE = process.env.REALTIME_TOKEN_FILE ?? '/var/run/realtime-token/token.json'
const BASE = process.env.OPENAI_REALTIME_URL ?? 'wss://api.openai.com/v1/realtime'

/** The token as it is now. Call it for each session and keep no copy: the file changes when the token is renewed. */
async function realtimeToken(patience = 60_000) {
  const givenUp = Date.now() + patience
  for (;;) {
    const text = await readFile(FILE, 'utf8').catch((error) => {
      if (error.code !== 'ENOENT') throw error // not there yet: the first token is still being issued
    })
    const token = text && JSON.parse(text)
    if (token?.expiresAt > Date.now()) return token
    const trouble = token ? `the token in ${FILE} has expired` : `no token in ${FILE} yet`
    if (Date.now() > givenUp) throw new Error(`${trouble}: see kubectl describe rtt`)
    console.error(trouble)
    await sleep(1000)
  }
}

/** One session: the token opens it, and may run out while it lasts. */
async function ask(text) {
  const { token, config } = await realtimeToken()
  const socket = new WebSocket(`${BASE}?model=${config.model}`, { headers: { authorization: `Bearer ${token}` } })
  const send = (event) => socket.send(JSON.stringify(event))
  const answer = await new Promise((resolve, reject) => {
    socket.onerror = () => reject(new Error(`no session at ${BASE}`))
    socket.onclose = () => reject(new Error('the session ended early'))
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data)
      if (event.type === 'error') reject(new Error(event.error.message))
      if (event.type === 'response.output_text.done') resolve(event.text)
    }
    socket.onopen = () => {
      const item = { type: 'message', role: 'user', content: [{ type: 'input_text', text }] }
      send({ type: 'conversation.item.create', item })
      send({ type: 'response.create', response: { output_modalities: ['text'] } })
    }
  })
  socket.close()
  return answer
}

for await (const line of createInterface({ input: process.stdin })) console.log(await ask(line))
