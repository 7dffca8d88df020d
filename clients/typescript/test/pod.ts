// The folders of a pod: a mounted Secret, replaced as the kubelet does it, and a projected ServiceAccount token.

import { mkdirSync, mkdtempSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { callerToken, type StrictServer } from './strict-server.ts'

export class Pod {
  readonly folder = mkdtempSync(join(tmpdir(), 'pod-'))
  readonly directory = join(this.folder, 'realtime-token')
  readonly tokenFile = join(this.folder, 'caller-token')
  #version = 0

  /** A pod that may ask this server, and has its Secret mounted. */
  static of(server: StrictServer): Pod {
    const pod = new Pod()
    pod.mount({ 'request-url': server.url, 'request-ca.crt': server.ca })
    server.callers.add(pod.project())
    return pod
  }

  /** All keys of the Secret, by one rename of `..data`. */
  mount(keys: Record<string, string>): void {
    const version = `..${++this.#version}`
    mkdirSync(join(this.directory, version), { recursive: true })
    for (const [key, value] of Object.entries(keys)) writeFileSync(join(this.directory, version, key), value)
    const data = join(this.directory, '..data')
    const before = this.#version > 1 ? readlinkSync(data) : undefined
    symlinkSync(version, `${data}_tmp`)
    renameSync(`${data}_tmp`, data)
    for (const key of Object.keys(keys)) {
      rmSync(join(this.directory, key), { force: true })
      symlinkSync(join('..data', key), join(this.directory, key))
    }
    if (before) rmSync(join(this.directory, before), { recursive: true })
  }

  /** A new ServiceAccount token. */
  project(token = callerToken()): string {
    writeFileSync(this.tokenFile, `${token}\n`)
    return token
  }

  get options(): { directory: string; tokenFile: string } {
    return { directory: this.directory, tokenFile: this.tokenFile }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true })
  }
}

/** A token.json with this much life. */
export function tokenJson(leftMs: number, token = 'ek_mounted'): string {
  return JSON.stringify({
    provider: 'openai',
    token,
    expiresAt: Date.now() + leftMs,
    config: { model: 'gpt-realtime-2.1' },
  })
}
