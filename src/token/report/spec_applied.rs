//! The condition SpecApplied: whether an edit has come to effect, for those who wait for it.

use super::{Findings, Issued, Verdict, find, stuck};
use crate::api::{ConditionType, Reason};
use crate::token::decide::has_desired_metadata;

/// True if Ready is, and what the Secret holds is made from the latest spec. Else it says what Ready says, or what keeps
/// the spec from coming to effect.
pub(super) fn spec_applied(findings: &Findings<'_>, issued: Option<&Issued>, ready: &Verdict) -> Verdict {
    let name = findings.seen.token.target_name();
    match ready {
        ("True", ..) if is_applied(findings, issued) => (
            "True",
            Reason::Applied,
            format!("Secret {name} is made from the latest spec"),
        ),
        ("True", ..) => {
            let (reason, message) = stuck(findings.situation)
                .unwrap_or_else(|| (Reason::Pending, "what the latest spec asks for is due".to_owned()));
            let held = format!("Secret {name} is still made from an earlier spec");
            ("False", reason, format!("{held}: {message}"))
        }
        (_, reason, message) => ("False", *reason, message.clone()),
    }
}

fn is_applied(findings: &Findings<'_>, issued: Option<&Issued>) -> bool {
    let seen = findings.seen;
    let Ok(inputs) = &seen.inputs else {
        // What the spec asks for is not known while its key is missing, say. It came to effect if it had before.
        let before = find(&seen.prior.conditions, ConditionType::SpecApplied);
        return before.is_some_and(|before| {
            before.status == "True" && before.observed_generation == seen.token.metadata.generation
        });
    };
    let is_of_spec = match issued {
        Some(issued) => issued.inputs.fingerprint == inputs.fingerprint,
        None => seen.holds_connection(),
    };
    is_of_spec && has_desired_metadata(seen)
}
