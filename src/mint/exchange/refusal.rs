//! Exchanges that were refused: their class of error, and what to check.

use super::{SubjectToken, Wire};
use crate::api::SecretField;
use crate::mint::error_body::{ErrorBody, Format};
use crate::mint::refusal::{code, hint};
use crate::mint::reply::Reply;
use crate::mint::retry_after::{retry_after, retry_after_of_limit};
use crate::mint::{Class, Credential};
use crate::token::MintError;

/// Stands for the ServiceAccount's token where texts are searched for parts of it.
const SUBJECT: SecretField = SecretField::named("subject-token");

/// The error for a reply whose status is not 2xx. The cloud's own message is never repeated: it may quote claims of the
/// ServiceAccount's token. Its code is, from a built-in host.
pub(super) fn refusal(wire: &dyn Wire, nth: usize, subject: &SubjectToken, reply: &Reply) -> MintError {
    let status = reply.status.as_u16();
    let error_body = ErrorBody::read(&reply.body);
    let credential = Credential::access_token(&SUBJECT, subject.value.clone());
    let code = if reply.responder.built_in {
        code(&error_body, &credential)
    } else {
        String::new()
    };
    let answered = format!(
        "{} answered {status}{code} to the exchange of the ServiceAccount's token",
        reply.responder.name
    );
    let (delay, arrival) = (error_body.retry_delay.as_deref(), reply.clocks.arrival());
    match Class::usual(status) {
        Class::Throttled => MintError::Throttled {
            retry_after: retry_after_of_limit(&reply.headers, delay, arrival),
            message: format!("{answered}. It limits exchanges: they wait."),
        },
        Class::Unavailable => MintError::Unavailable {
            retry_after: retry_after(&reply.headers, delay, arrival),
            message: format!("{answered}. {}", hint(status, &credential)),
        },
        Class::Granted | Class::Rejected => {
            let of_the_api = matches!(error_body.format, Format::Json | Format::Empty);
            let credential = of_the_api && matches!(status, 400 | 401 | 403 | 404);
            let hint = if credential {
                wire.hint(nth, subject)
            } else {
                "That is not an answer of the exchange: check any proxy on the way.".to_owned()
            };
            MintError::Rejected {
                credential,
                message: format!("{answered}. {hint}"),
            }
        }
    }
}
