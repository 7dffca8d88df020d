// A page of the example in Chromium, with each event as a line of JSON:   page.mts <url> <user>
//
// A second page is the provider's end of the WebRTC connection. Only the request that would leave this machine is
// answered here. Starts to talk at the first line of its input, and ends with it.

import { createInterface } from 'node:readline/promises'
import puppeteer from 'puppeteer-core'

const CALLS = 'https://api.openai.com/v1/realtime/calls'
const [url = '', user = ''] = process.argv.slice(2)
const say = (event: string, more: object = {}) => console.log(JSON.stringify({ event, ...more }))

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  timeout: 120_000,
  pipe: true, // and so it ends with this program, even a killed one
  // Root needs the first, a container the second; the others put a tone where the microphone is, and give it to who asks.
  args: [
    '--no-sandbox',
    '--disable-dev-shm-usage',
    '--use-fake-device-for-media-stream',
    '--use-fake-ui-for-media-stream',
  ],
})
const provider = await browser.newPage()

/** Takes the call, and says hello as soon as the channel is open. */
const takeCall = (sdp: string) =>
  provider.evaluate(async (sdp) => {
    const connection = new RTCPeerConnection()
    connection.ondatachannel = ({ channel }) => {
      const message = { type: 'message', id: 'item_1', content: [{ type: 'output_audio', transcript: 'hello' }] }
      channel.onopen = () => {
        channel.send(JSON.stringify({ type: 'response.output_item.added', item: message }))
        channel.send(JSON.stringify({ type: 'response.done', response: { output: [message] } }))
      }
    }
    await connection.setRemoteDescription({ type: 'offer', sdp })
    await connection.setLocalDescription()
    await new Promise<void>((done) => {
      connection.onicegatheringstatechange = () => connection.iceGatheringState === 'complete' && done()
    })
    return connection.localDescription?.sdp ?? ''
  }, sdp)

const page = await browser.newPage()
page.setDefaultTimeout(120_000)
page.on('pageerror', (error) => say('error', { message: String(error) }))
await page.setRequestInterception(true)
page.on('request', async (request) => {
  if (request.url() === CALLS) {
    const cors = { 'access-control-allow-origin': '*', 'access-control-allow-headers': '*, authorization' }
    if (request.method() === 'OPTIONS') return request.respond({ status: 204, headers: cors })
    say('session', { bearer: request.headers()['authorization']?.replace(/^Bearer /, '') })
    const answer = await takeCall((await request.fetchPostData()) ?? '')
    return request.respond({ status: 201, headers: cors, contentType: 'application/sdp', body: answer })
  }
  if (!request.url().startsWith(new URL(url).origin)) return request.abort()
  // What the example's sign-in proxy adds.
  return request.continue({ headers: { ...request.headers(), 'x-forwarded-user': user } })
})
page.on('response', async (response) => {
  if (response.url().includes('/_serverFn/')) say('token', { status: response.status(), body: await response.text() })
})

await page.goto(url, { waitUntil: 'networkidle0' })
// Told by a line, so that the token's life isn't spent on starting a browser.
say('ready')
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
await input.next()
await page.locator('button::-p-text(Talk)').click()
await page.waitForFunction(() => document.body.innerText.includes('assistant: hello'))
say('heard')
await input.next()
say('page', { text: await page.evaluate(() => document.body.innerText) })
await browser.close()
process.exit()
