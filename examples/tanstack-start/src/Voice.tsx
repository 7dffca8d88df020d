import type { RealtimeToken } from '@tanstack/ai'
import { openaiRealtime } from '@tanstack/ai-openai'
import { useRealtimeChat } from '@tanstack/ai-react'

export function Voice({ getToken }: { getToken: () => Promise<RealtimeToken> }) {
  // The client calls getToken to connect, and again a minute before the token's end.
  const { status, mode, messages, error, connect, disconnect } = useRealtimeChat({ getToken, adapter: openaiRealtime() })
  const idle = status === 'idle' || status === 'error'

  return (
    <main>
      {/* A failed connect is shown below. */}
      <button onClick={() => (idle ? connect().catch(() => {}) : disconnect())}>{idle ? 'Talk' : 'Stop'}</button>
      <p>
        {status}, {mode}
      </p>
      {error && <p role="alert">{error.message}</p>}
      <ul>
        {messages.map((message) => (
          <li key={message.id}>
            {message.role}: {message.parts.map((part) => ('transcript' in part ? part.transcript : '')).join(' ')}
          </li>
        ))}
      </ul>
    </main>
  )
}
