//! What stands in the way of a token, as the answer that a caller gets.
//!
//! Whose fault it is decides the status: the caller's overrides 403 or 422; a limit 429; the provider 502 or 504; the
//! RealtimeToken, its key or the operator 503. The texts are those of the conditions, which hold nothing secret.

use http::StatusCode;
use jiff::Timestamp;

use super::problem::Problem;
use super::reviews::Unanswered;
use crate::api::Reason;
use crate::issuer::NotIssued;
use crate::resolve::customize::Refused;
use crate::token::{Blocked, MintError};

const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
const LIMITED: StatusCode = StatusCode::TOO_MANY_REQUESTS;
const BAD_GATEWAY: StatusCode = StatusCode::BAD_GATEWAY;

impl From<Unanswered> for Problem {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Away => Self::api_server_away(),
            Unanswered::TooManyInvalid(seconds) => Self::too_many_rejected(seconds),
            Unanswered::TooManyForbidden(seconds) => Self::too_many_forbidden(seconds),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotOverridable { field } => Self::not_overridable(&field),
            Refused::SubjectRequired => Self::subject_required(),
            Refused::Invalid { problem } => Self::invalid(&problem),
        }
    }
}

/// The RealtimeToken can't be resolved as it stands: people who own it see the same in its conditions.
pub(super) fn blocked(blocked: Blocked) -> Problem {
    Problem::of(UNAVAILABLE, blocked.reason, blocked.message)
}

/// It can't be resolved with what the caller asks for, and can without.
pub(super) fn blocked_by_caller(blocked: Blocked) -> Problem {
    Problem::of(StatusCode::UNPROCESSABLE_ENTITY, blocked.reason, blocked.message)
}

/// The limit of the RealtimeToken or of the subject is reached.
pub(super) fn limited(detail: &str, until: Timestamp, now: Timestamp) -> Problem {
    Problem::of(LIMITED, Reason::RateLimited, detail).retry_after(seconds_until(until, now))
}

pub(super) fn not_issued(problem: NotIssued, now: Timestamp) -> Problem {
    match problem {
        NotIssued::Limited { until, reason } => {
            let (status, what) = match reason {
                Reason::ProviderUnavailable => (UNAVAILABLE, "the provider is out of order"),
                Reason::QuotaExhausted => (LIMITED, "the provider's account has no credit or quota left"),
                _ => (
                    LIMITED,
                    "the provider, or the platform's rateLimit, limits the credential",
                ),
            };
            Problem::of(status, reason, what).retry_after(seconds_until(until, now))
        }
        NotIssued::Busy => {
            let what = "more tokens are being asked for with this credential than may be minted at a time";
            Problem::of(LIMITED, Reason::RateLimited, what).retry_after(1)
        }
        NotIssued::CredentialGone(gone) => blocked(gone),
        NotIssued::CredentialUnreadable => {
            let what = "the key can't be read now; see the operator's log";
            Problem::of(UNAVAILABLE, Reason::CredentialNotFound, what).retry_after(5)
        }
        NotIssued::Failed(error) => mint_failed(&error),
        NotIssued::TooSlow => Problem::too_slow(),
    }
}

fn mint_failed(error: &MintError) -> Problem {
    let status = match error {
        MintError::Rejected { credential: true, .. } | MintError::NoCredential { .. } | MintError::Internal { .. } => {
            UNAVAILABLE
        }
        MintError::Rejected { credential: false, .. } | MintError::Unavailable { .. } => BAD_GATEWAY,
        MintError::Throttled { .. } | MintError::QuotaExhausted { .. } => LIMITED,
    };
    let wait = match error {
        MintError::Unavailable { retry_after, .. } => *retry_after,
        other => other.limit(),
    };
    let problem = Problem::of(status, error.reason(), error.to_string());
    match wait {
        Some(wait) => problem.retry_after(wait.as_secs().unsigned_abs()),
        None => problem,
    }
}

/// The provider gave a token that ends too soon to be handed out.
pub(super) fn too_short(left: i64, wanted: i64) -> Problem {
    let what = format!(
        "the provider gave a token with {left} s of usable life, less than the RealtimeToken's \
         requests.minRemainingSeconds {wanted}: ask for a longer expirationSeconds or lower minRemainingSeconds"
    );
    Problem::of(BAD_GATEWAY, Reason::LifetimeTooShort, what)
}

/// The provider gave a token that serves one caller, and which another caller has.
pub(super) fn given_before() -> Problem {
    let what = "the provider gave a token that was handed out before, and each serves one caller only: it must mint a new \
                one for each request";
    Problem::of(BAD_GATEWAY, Reason::MintFailed, what)
}

fn seconds_until(until: Timestamp, now: Timestamp) -> u64 {
    // Up to the next whole second: a caller that comes a moment too early is refused again.
    let left = until.duration_since(now);
    let seconds = left.as_secs() + i64::from(left.subsec_nanos() > 0);
    seconds.max(1).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::token::fixtures::at;

    #[test]
    fn every_failure_of_a_mint_has_its_status_and_limits_say_how_long() {
        let message = || "m".to_owned();
        let wait = Some(SignedDuration::from_secs(17));
        for (error, expected) in [
            (MintError::wrong_key("m"), (503, "CredentialRejected", None)),
            (
                MintError::NoCredential { message: message() },
                (503, "CredentialNotFound", None),
            ),
            (MintError::internal("m"), (503, "MintFailed", None)),
            (
                MintError::Rejected {
                    credential: false,
                    message: message(),
                },
                (502, "MintFailed", None),
            ),
            (MintError::unavailable("m"), (502, "ProviderUnavailable", None)),
            (
                MintError::Unavailable {
                    retry_after: wait,
                    message: message(),
                },
                (502, "ProviderUnavailable", Some(17)),
            ),
            (
                MintError::Throttled {
                    retry_after: wait,
                    message: message(),
                },
                (429, "RateLimited", Some(17)),
            ),
            (
                MintError::Throttled {
                    retry_after: None,
                    message: message(),
                },
                (429, "RateLimited", Some(10)),
            ),
            (
                MintError::QuotaExhausted { message: message() },
                (429, "QuotaExhausted", Some(240)),
            ),
        ] {
            let problem = not_issued(NotIssued::Failed(error.clone()), at(0));
            let is = (problem.status.as_u16(), problem.reason, problem.retry_after);
            assert_eq!(is, expected, "{error:?}");
        }
    }

    #[test]
    fn a_wait_is_rounded_up() {
        let until = at(10) + SignedDuration::from_millis(1);
        assert_eq!(seconds_until(until, at(0)), 11);
        assert_eq!([seconds_until(at(10), at(0)), seconds_until(at(0), at(5))], [10, 1]);
    }
}
