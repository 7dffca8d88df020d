// What a browser has and Node lacks, played as far as TanStack's OpenAI adapter goes: a microphone, WebRTC, and the one
// request that leaves the browser. Everything above that edge is TanStack's own code.

const CALLS = 'https://api.openai.com/v1/realtime/calls'

class Channel {
  onopen?: () => void
  onmessage?: (event: { data: string }) => void
  readyState = 'open'
  send() {}
  close() {}
}

class PeerConnection {
  channel = new Channel()
  createDataChannel() {
    return this.channel
  }
  addTrack() {}
  async createOffer() {
    return { type: 'offer', sdp: 'v=0 offer' }
  }
  async setLocalDescription() {}
  async setRemoteDescription(answer: { sdp: string }) {
    if (answer.sdp !== 'v=0 answer') throw new Error(`not the answer: ${answer.sdp}`)
    setTimeout(() => this.channel.onopen?.())
  }
  close() {}
}

/** Draws levels for the page; it hears nothing here. */
class Audio {
  state = 'running'
  createAnalyser() {
    return {}
  }
  createMediaStreamSource() {
    return { connect() {} }
  }
  async close() {}
}

/** Puts the browser's part in place; `opened` sees the bearer of each session that is asked for. */
export function playBrowser(opened: (bearer: string) => void): void {
  const microphone = { getAudioTracks: () => [], getTracks: () => [] }
  Object.defineProperty(navigator, 'mediaDevices', { value: { getUserMedia: async () => microphone } })
  Object.assign(globalThis, { RTCPeerConnection: PeerConnection, AudioContext: Audio })
  const network = globalThis.fetch
  globalThis.fetch = async (input, init) => {
    if (input !== CALLS) return network(input, init)
    const headers = new Headers(init?.headers)
    if (init?.method !== 'POST' || headers.get('content-type') !== 'application/sdp' || init.body !== 'v=0 offer') {
      return new Response('an SDP offer must be posted', { status: 400 })
    }
    opened(headers.get('authorization')?.replace(/^Bearer /, '') ?? '')
    return new Response('v=0 answer', { status: 201 })
  }
}
