// Files that the kubelet replaces while the program runs. They are read on each use: they lie in memory, and a copy
// would go stale.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { RealtimeTokenError } from './error.ts'

const DIRECTORY = '/var/run/realtime-token'
const CALLER_TOKEN_FILE = '/var/run/secrets/realtime-token.dev/token'

/** The folder where the Secret is mounted. The variable is for a program that also runs outside of a pod. */
export function mountedDirectory(option: string | undefined): string {
  return option ?? (process.env.REALTIME_TOKEN_DIRECTORY || DIRECTORY)
}

/** The file with the projected ServiceAccount token. */
export function callerTokenFile(option: string | undefined): string {
  return option ?? (process.env.REALTIME_TOKEN_CALLER_TOKEN_FILE || CALLER_TOKEN_FILE)
}

/** A key of the mounted Secret. */
export async function readKey(directory: string, key: string, advice: string): Promise<string> {
  const file = join(directory, key)
  const text = await readIfThere(file, 'NotMounted')
  if (text !== undefined) return text
  throw new RealtimeTokenError({ reason: 'NotMounted', message: `there is no ${file}: ${advice}` })
}

/** The text of a file, or undefined if there is no such file. */
export async function readIfThere(file: string, reason: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    const message = `${file} can't be read (${code}): look at the volume's defaultMode and the container's user`
    throw new RealtimeTokenError({ reason, message, cause })
  }
}
