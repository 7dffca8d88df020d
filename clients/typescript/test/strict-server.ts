// Speaks the contract of the operator's requests, and complains about everything that a client does beside it.

import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeCertificate, type Certificate } from './certificates.ts'

export const PATH = '/v1alpha1/namespaces/shop/realtimetokens/voice/token'

/** What is answered in place of a token. `reset` breaks the connection, `hang` never answers. */
export type Fault = { status: number; headers?: Record<string, string>; body?: string } | 'reset' | 'half' | 'hang'

export interface Handed {
  token: string
  subject: string | undefined
  overrides: unknown
}

export class StrictServer {
  /** Asked for by tests: what went wrong, in the server's view. */
  readonly complaints: string[] = []
  /** Each token, with who got it. */
  readonly handed: Handed[] = []
  onHanded: (handed: Handed) => void = () => {}
  /** Taken one by one before a token is minted. */
  readonly faults: Fault[] = []
  /** ServiceAccount tokens that pass. */
  readonly callers = new Set<string>()
  /** Off where something stands between. */
  complainsAboutHost = true
  requests = 0
  onRequest: () => void = () => {}
  /** How long a token takes. */
  delayMs = 0
  connections = 0
  lifeMs = 600_000
  /** Where it listens, or did. */
  port = 0
  readonly #server: https.Server
  #certificate: Certificate

  private constructor(certificate: Certificate) {
    this.#certificate = certificate
    this.#server = https.createServer({ cert: certificate.cert, key: certificate.key }, (request, response) => {
      this.#serve(request, response).catch((error: unknown) => this.complaints.push(String(error)))
    })
    this.#server.on('secureConnection', () => this.connections++)
  }

  static async start(certificate = makeCertificate(), port = 0): Promise<StrictServer> {
    const strict = new StrictServer(certificate)
    await new Promise<void>((done) => strict.#server.listen(port, '127.0.0.1', done))
    strict.port = (strict.#server.address() as AddressInfo).port
    return strict
  }

  get ca(): string {
    return this.#certificate.ca
  }

  get certificate(): Certificate {
    return this.#certificate
  }

  get url(): string {
    return `https://localhost:${this.port}${PATH}`
  }

  /** A certificate of a new CA, for new connections; the old ones end. */
  renewCertificate(): void {
    this.#certificate = makeCertificate()
    this.#server.setSecureContext({ cert: this.#certificate.cert, key: this.#certificate.key })
    this.#server.closeAllConnections()
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return
    const closed = new Promise((done) => this.#server.close(done))
    this.#server.closeAllConnections()
    await closed
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++
    this.onRequest()
    const body = await readBody(request)
    const { subject, overrides } = this.#judge(request, body)
    const bearer = request.headers.authorization?.replace(/^Bearer /, '') ?? ''
    const fault = this.faults.shift()
    if (fault === 'hang') return
    if (fault === 'reset') return void request.socket.destroy()
    if (fault === 'half') {
      response.writeHead(201, { 'content-type': 'application/json', 'content-length': '500' })
      response.write('{"provider":"openai",')
      setTimeout(() => request.socket.destroy(), 10)
      return
    }
    if (fault) return void response.writeHead(fault.status, fault.headers).end(fault.body)
    if (!this.callers.has(bearer)) {
      return problem(response, 401, 'Unauthorized', 'the bearer token is not valid for the audience realtime-token.dev')
    }
    if (this.delayMs > 0) await sleep(this.delayMs)
    const token = `ek_${randomBytes(16).toString('hex')}`
    const handed = { token, subject, overrides }
    this.handed.push(handed)
    this.onHanded(handed)
    response.writeHead(201, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    const answer = {
      provider: 'openai',
      token,
      expiresAt: Date.now() + this.lifeMs,
      config: { model: 'gpt-realtime-2.1' },
    }
    response.end(JSON.stringify(answer))
  }

  #judge(request: IncomingMessage, body: string): { subject?: string; overrides?: unknown } {
    const { method, url, headers, httpVersion } = request
    const wrong = (what: string) => this.complaints.push(what)
    if (method !== 'POST' || url !== PATH) wrong(`${method} ${url}`)
    if (httpVersion !== '1.1') wrong(`HTTP/${httpVersion}`)
    if (headers['content-type'] !== 'application/json') wrong(`content-type ${headers['content-type']}`)
    if (headers['content-length'] !== String(Buffer.byteLength(body))) wrong('no content-length')
    if (!/^Bearer [\x21-\x7e]+$/.test(headers.authorization ?? '')) wrong('no bearer token')
    if (this.complainsAboutHost && headers.host !== `localhost:${this.port}`) wrong(`host ${headers.host}`)
    const unknown = Object.keys(headers).filter((name) => !KNOWN_HEADERS.includes(name))
    if (unknown.length > 0) wrong(`headers ${unknown}`)
    const value = JSON.parse(body)
    for (const key of Object.keys(value)) if (key !== 'subject' && key !== 'overrides') wrong(`a field ${key}`)
    return value
  }
}

const KNOWN_HEADERS = [
  'accept',
  'accept-encoding',
  'authorization',
  'connection',
  'content-length',
  'content-type',
  'host',
  'user-agent',
]

export function problem(response: ServerResponse, status: number, reason: string, detail: string): void {
  response.writeHead(status, { 'content-type': 'application/problem+json' })
  response.end(JSON.stringify({ type: 'about:blank', title: reason, status, detail, reason }))
}

/** What a kubelet would project: it looks like a JWT, and only this server takes it. */
export function callerToken(claims: Record<string, unknown> = {}): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const exp = Math.floor(Date.now() / 1000) + 600
  const payload = {
    aud: ['realtime-token.dev'],
    sub: 'system:serviceaccount:web:shop-app',
    exp,
    jti: randomBytes(8).toString('hex'),
    ...claims,
  }
  return `${part({ alg: 'RS256' })}.${part(payload)}.${createHash('sha256').update(randomBytes(8)).digest('base64url')}`
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}
