// The strict server as a program, for tests of whole applications:   serve.ts
//
// Prints a line of JSON for itself, with the folders of a pod that may ask it, and one for each token. A line of its
// input is a fault, which the next request meets. Ends when its input does, with an error if there was something to
// complain about.

import { createInterface } from 'node:readline/promises'
import { Pod } from './pod.ts'
import { StrictServer } from './strict-server.ts'

const say = (event: string, more: object) => console.log(JSON.stringify({ event, ...more }))

const server = await StrictServer.start()
const pod = Pod.of(server)
server.onHanded = (handed) => say('handed', handed)
say('ready', pod.options)
for await (const line of createInterface({ input: process.stdin })) {
  server.faults.push(JSON.parse(line))
  say('fault', {})
}
await server.stop()
pod.remove()
if (server.complaints.length > 0) {
  console.error(server.complaints)
  process.exitCode = 1
}
