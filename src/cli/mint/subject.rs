//! Who the token is for: `--subject`, as the caller of a request would name it.

use crate::api::{RealtimeTokenSpec, SubjectUse};
use crate::resolve;
use crate::resolve::subject::admit;

/// `--subject`, with what a request may name.
pub(super) fn parse(text: &str) -> Result<String, String> {
    admit(text).map(str::to_owned).map_err(str::to_owned)
}

/// The subject to mint for, and what to say about it.
pub(super) fn of<'a>(spec: &RealtimeTokenSpec, given: Option<&'a str>) -> (Option<&'a str>, Option<String>) {
    let provider = resolve::provider_of(spec);
    let without_place = provider.filter(|provider| provider.facts().subject.is_none());
    let uses = spec.requests.as_ref().map(|requests| requests.subject);
    let (subject, note) = match (given, uses) {
        (Some(_), Some(SubjectUse::Ignored)) => {
            (None, Some("requests.subject is Ignored: --subject is not used".into()))
        }
        (Some(given), None) => (
            Some(given),
            Some("without spec.requests nobody can ask for a token with a subject; minting one all the same".into()),
        ),
        (Some(given), Some(_)) => (
            Some(given),
            without_place.map(|it| {
                format!(
                    "{} has no place for a subject: it only counts for the limits",
                    it.title()
                )
            }),
        ),
        (None, Some(SubjectUse::Required)) => (
            None,
            Some("requests.subject is Required: this token is minted without; name one with --subject".into()),
        ),
        (None, _) => (None, None),
    };
    (subject, note)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(block: Value, requests: Value) -> RealtimeTokenSpec {
        let mut spec = json!({"credentials": {"secretRef": {"name": "key"}}, "requests": requests});
        spec.as_object_mut().unwrap().extend(block.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn what_becomes_of_a_subject_is_said() {
        let livekit = json!({"livekit": {}});
        let deepgram = json!({"deepgram": {}});
        for (block, requests, given, taken, said) in [
            (&livekit, json!({"subject": "Required"}), Some("u"), Some("u"), None),
            (&livekit, json!({"subject": "Optional"}), None, None, None),
            (&livekit, Value::Null, None, None, None),
            (&livekit, json!({}), None, None, Some("--subject")),
            (
                &livekit,
                Value::Null,
                Some("u"),
                Some("u"),
                Some("without spec.requests"),
            ),
            (
                &livekit,
                json!({"subject": "Ignored"}),
                Some("u"),
                None,
                Some("not used"),
            ),
            (
                &deepgram,
                json!({}),
                Some("u"),
                Some("u"),
                Some("Deepgram has no place"),
            ),
        ] {
            let (subject, note) = of(&spec(block.clone(), requests), given);
            assert_eq!(subject, taken, "{block}");
            match said {
                None => assert_eq!(note, None, "{block}"),
                Some(said) => assert!(note.as_ref().is_some_and(|note| note.contains(said)), "{note:?}"),
            }
        }
    }
}
