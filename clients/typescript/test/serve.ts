// The strict server as a program, for tests of whole applications:   serve.ts
//
// Prints a line of JSON for itself, with the folders of a pod that may ask it, and one for each token. Ends when its
// input does, with an error if there was something to complain about.

import { Pod } from './pod.ts'
import { StrictServer } from './strict-server.ts'

const say = (event: string, more: object) => console.log(JSON.stringify({ event, ...more }))

const server = await StrictServer.start()
const pod = Pod.of(server)
server.onHanded = (handed) => say('handed', handed)
say('ready', pod.options)
for await (const _ of process.stdin);
await server.stop()
pod.remove()
if (server.complaints.length > 0) {
  console.error(server.complaints)
  process.exitCode = 1
}
