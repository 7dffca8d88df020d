//! What a cluster would say of the token in the conditions SingleReader and FreshnessGuaranteed, were the manifest
//! applied.

use jiff::{SignedDuration, Timestamp};

use crate::api::{ConditionType, RealtimeToken, Reason};
use crate::mint::Ask;
use crate::resolve::token_kind;
use crate::token::Minted;
use crate::token::report::{Verdict, freshness, single_reader};
use crate::token::schedule::plan;

/// Of a token that was minted.
pub(super) fn of_token(token: &RealtimeToken, ask: &Ask, minted: &Minted) -> Vec<String> {
    let life = minted.usable_until.duration_since(minted.issued_at);
    of_life(token, ask, Some(life))
}

/// Of a token that would be asked for, as far as its life is known.
pub(super) fn of_ask(token: &RealtimeToken, ask: &Ask) -> Vec<String> {
    of_life(token, ask, Some(ask.expiration).filter(|life| life.is_positive()))
}

fn of_life(token: &RealtimeToken, ask: &Ask, life: Option<SignedDuration>) -> Vec<String> {
    let provider = ask.block.provider();
    let spec = &token.spec;
    let issued_at = Timestamp::UNIX_EPOCH;
    let end = life.and_then(|life| issued_at.checked_add(life).ok());
    // The jitter, which the uid decides, has no part in the verdict.
    let schedule = end.map(|end| plan(&spec.renewal, "", issued_at, end));
    let kind = token_kind(Some(provider), Some(ask));
    let stale = Some(freshness(spec, &kind, schedule)).filter(|(status, reason, _)| {
        *status == "False" && *reason != Reason::SingleUseToken // of which SingleReader tells
    });
    let stale = stale.map(|verdict| (ConditionType::FreshnessGuaranteed, verdict));
    let shared = single_reader(spec, &kind).map(|verdict| (ConditionType::SingleReader, verdict));
    let would_be = |(type_, (status, reason, message)): (ConditionType, Verdict)| {
        let (type_, reason) = (type_.as_str(), reason.as_str());
        format!("in a cluster {type_} would be {status} ({reason}): {message}")
    };
    [shared, stale].into_iter().flatten().map(would_be).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::manifest;
    use super::*;

    fn warnings(spec: &Value) -> Vec<String> {
        let mut object = json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": "voice"},
            "spec": {"credentials": {"secretRef": {"name": "key"}}},
        });
        for (field, value) in spec.as_object().unwrap() {
            object["spec"][field] = value.clone();
        }
        let token = manifest::parse(&object.to_string(), None).unwrap();
        of_ask(&token, &manifest::ask(&token, None).unwrap())
    }

    #[test]
    fn a_life_that_keeps_the_floor_is_no_reason_to_warn() {
        assert_eq!(
            warnings(&json!({"openai": {"model": "m", "reuse": "Multiple"}})),
            [""; 0]
        );
        let stated = json!({"azureOpenAI": {"deployment": "d", "resource": "r"}});
        assert_eq!(warnings(&stated), [""; 0]);
    }

    #[test]
    fn what_a_cluster_would_say() {
        let short = warnings(&json!({"openai": {"model": "m", "reuse": "Multiple"}, "expirationSeconds": 60}));
        assert!(
            short[0].starts_with(
                "in a cluster FreshnessGuaranteed would be False (LifetimeTooShort): a life of 60 s can't keep 90 s"
            ),
            "{short:?}"
        );
        let single = warnings(&json!({"soniox": {"singleUse": true}}));
        assert!(
            single[0]
                .starts_with("in a cluster SingleReader would be True (SingleUseToken): such a key opens one stream"),
            "{single:?}"
        );
        let shared = warnings(&json!({"livekit": {"identity": "u", "video": {"roomJoin": true, "room": "r"}}}));
        assert!(
            shared[0].starts_with("in a cluster SingleReader would be True (SharedIdentity): livekit.identity"),
            "{shared:?}"
        );
        assert_eq!((single.len(), shared.len()), (1, 1));
    }
}
