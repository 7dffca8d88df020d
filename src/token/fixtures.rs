//! Values that the tests of this folder share.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::backoff::Failures;
use super::schedule;
use super::secret::{Issued, Stored, TargetState};
use super::{MintInputs, Minted, UnstoredToken};
use crate::api::{RealtimeToken, Reason, Renewal, TargetContent};

pub(crate) const UID: &str = "6f0c3a5e-9d51-4f4e-8f57-3b0d6a4f1c11";

/// So many seconds after the begin of the tests' time.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_334_400 + second).unwrap()
}

/// The RealtimeToken apps/voice in its fourth generation.
pub(crate) fn realtime_token() -> RealtimeToken {
    let token = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": "voice", "namespace": "apps", "generation": 4, "uid": UID, "resourceVersion": "10"},
        "spec": {"openai": {"model": "m"}, "credentials": {"secretRef": {"name": "key"}}},
    });
    serde_json::from_value(token).unwrap()
}

pub(crate) fn inputs(fingerprint: &str, credential_revision: &str, renew_request: Option<&str>) -> MintInputs {
    MintInputs {
        fingerprint: fingerprint.to_owned(),
        credential_revision: credential_revision.to_owned(),
        renew_request: renew_request.map(str::to_owned),
    }
}

pub(crate) fn minted(issued_at: Timestamp, life: i64) -> Minted {
    let end = issued_at + SignedDuration::from_secs(life);
    Minted {
        provider: "openai".into(),
        value: "ek_1".into(),
        issued_at,
        usable_until: end,
        expires_at: end,
        config: serde_json::Map::new(),
        outputs: std::collections::BTreeMap::new(),
    }
}

pub(crate) fn unstored(issued_at: Timestamp, life: i64, revision: Option<i64>) -> UnstoredToken {
    UnstoredToken {
        minted: minted(issued_at, life),
        inputs: inputs("spec", "key", None),
        revision,
        stored: revision.is_some(),
    }
}

pub(crate) fn issued(issued_at: Timestamp, life: i64) -> Issued {
    Issued {
        issued_at,
        usable_until: issued_at + SignedDuration::from_secs(life),
        expires_at: issued_at + SignedDuration::from_secs(life),
        revision: 1,
        inputs: inputs("spec", "key", None),
        content_hash: "content".into(),
    }
}

/// A Secret as it should be, with a token of this life.
pub(crate) fn stored(issued_at: Timestamp, life: i64) -> Stored {
    Stored {
        uid: "s".into(),
        resource_version: "1".into(),
        issued: Some(issued(issued_at, life)),
        content: TargetContent::Token,
        intact: true,
        metadata_hash: Some("desired".into()),
        renewal_time: Some(renewal(issued_at, life)),
        damage: None,
    }
}

pub(crate) fn ours(stored: Stored) -> TargetState {
    TargetState::Ours(Box::new(stored))
}

pub(crate) fn renewal(issued_at: Timestamp, life: i64) -> Timestamp {
    let end = issued_at + SignedDuration::from_secs(life);
    schedule::plan(&Renewal::default(), UID, issued_at, end).renewal_time
}

/// One failure at 0.
pub(crate) fn failures<I>(next: Timestamp, inputs: Option<I>) -> Failures<I> {
    Failures {
        failed: 1,
        last: at(0),
        next,
        inputs,
        reason: Reason::MintFailed,
        message: String::new(),
    }
}
