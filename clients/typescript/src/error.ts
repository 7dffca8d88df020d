interface Details {
  /** The status of the answer, if there was one. */
  status?: number | undefined
  reason: string
  message: string
  retryAfterMs?: number | undefined
  cause?: unknown
}

/** Why there is no token. No message, reason or cause holds a token, a bearer token or a subject. */
export class RealtimeTokenError extends Error {
  /** The HTTP status, if the operator answered. */
  readonly status: number | undefined
  /**
   * The operator's reason, such as `CredentialRejected`, or one of this package: `NotMounted`, `InvalidToken`,
   * `TokenExpired`, `NoCallerToken`, `InvalidUrl`, `ConnectionFailed`, `CertificateNotTrusted`, `AnswerLost`,
   * `InvalidAnswer`, `TimedOut`, `NotShared`.
   */
  readonly reason: string
  /** How long to wait before asking again, if the operator said so. */
  readonly retryAfterMs: number | undefined

  constructor({ status, reason, message, retryAfterMs, cause }: Details) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'RealtimeTokenError'
    this.status = status
    this.reason = reason
    this.retryAfterMs = retryAfterMs
  }
}
