// One POST over a connection that is kept for the next. It knows whether the request may have left this machine, which
// decides whether it may be repeated.

import http from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'

const MAX_ANSWER_BYTES = 256 * 1024
/** A Service leads to another replica at the next try, so it pays not to wait long for one that is gone. */
const CONNECT_TIMEOUT_MS = 3_000
/** Less than the operator's, which closes an idle connection after 60 s: a request must not meet a closing one. */
const IDLE_TIMEOUT_MS = 30_000
/** The operator takes 128 connections from one address. */
const MAX_CONNECTIONS = 100
/** A bundle changes about once a year; more than these are of other installations. */
const MAX_AGENTS = 4

export interface Answer {
  status: number
  headers: http.IncomingHttpHeaders
  body: string
}

/** No connection: nothing was sent, so no token was minted, and the request may be repeated. */
export class NotSentError extends Error {}

/** The connection ended after the request was sent: a token may have been minted. */
export class NotAnsweredError extends Error {}

export interface Post {
  url: URL
  /** Trusted in place of the system's CAs; undefined: those. */
  ca: string | undefined
  headers: Record<string, string>
  body: string
  signal: AbortSignal
}

export function post({ url, ca, headers, body, signal }: Post): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', headers: { ...headers, 'content-length': Buffer.byteLength(body) }, signal }
    const request =
      url.protocol === 'https:'
        ? https.request(url, { ...options, agent: agentFor(ca) })
        : http.request(url, { ...options, agent: LOOPBACK })

    let sent = false
    let timer: NodeJS.Timeout | undefined
    const connected = () => {
      sent = true
      clearTimeout(timer)
    }
    // Waiting for one of MAX_CONNECTIONS comes before this.
    request.once('socket', (socket) => {
      if (handshaken.has(socket)) return connected()
      timer = setTimeout(() => request.destroy(new Error('connecting took too long')), CONNECT_TIMEOUT_MS)
      // Node writes the request as soon as the handshake is done, and not before.
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        handshaken.add(socket)
        connected()
      })
    })
    request.once('error', (cause) => {
      clearTimeout(timer)
      reject(sent ? new NotAnsweredError(describe(cause), { cause }) : new NotSentError(describe(cause), { cause }))
    })
    request.once('response', (response) => {
      const fail = (cause: Error) => reject(new NotAnsweredError(describe(cause), { cause }))
      readBody(response).then(
        (text) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
        fail,
      )
    })
    request.end(body)
  })
}

/** The code of a network error: its message has addresses, and that of several at once is empty. */
function describe(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? error.message
}

async function readBody(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_ANSWER_BYTES) throw new Error('the answer is too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** `reusedSocket` of a request doesn't say it of those that waited for a connection. */
const handshaken = new WeakSet<Socket>()

const KEPT = { keepAlive: true, maxSockets: MAX_CONNECTIONS, maxFreeSockets: 16, timeout: IDLE_TIMEOUT_MS }
const LOOPBACK = new http.Agent(KEPT)
const agents = new Map<string, https.Agent>()

/** One agent for each bundle, for all adapters: an adapter lives for one request of a user, its connection for many. */
function agentFor(ca: string | undefined): https.Agent {
  const key = ca ?? ''
  const known = agents.get(key)
  if (known) return known
  // rejectUnauthorized, so that NODE_TLS_REJECT_UNAUTHORIZED can't send the ServiceAccount token to a stranger.
  const agent = new https.Agent({ ...KEPT, rejectUnauthorized: true, ...(ca !== undefined && { ca }) })
  agents.set(key, agent)
  for (const [oldest, retired] of agents) {
    if (agents.size <= MAX_AGENTS) break
    agents.delete(oldest)
    retire(retired)
  }
  return agent
}

/** Closes what is idle at once and the rest when it is done: `destroy` would break requests under way. */
function retire(agent: https.Agent): void {
  agent.maxFreeSockets = 0
  for (const idle of Object.values(agent.freeSockets)) for (const socket of idle ?? []) socket.destroy()
}
