//! The labels and annotations of the Secrets that this operator writes, by name. Decisions rest on them alone: the data
//! of a Secret is never read back.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Issued;
use crate::api::TargetContent;
use crate::token::{MintInputs, UnstoredToken};

/// Names this operator as the writer of a Secret.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`], and the field manager of nearly every write.
pub(crate) const MANAGER: &str = "realtime-token-operator";
/// The field manager that takes keys of the connection over from other writers, by applying them. Of its own, since the
/// next apply of a field manager removes what its last one had and this one has not: the keys of a token.
pub(crate) const CONNECTION_MANAGER: &str = "realtime-token-operator-connection";
/// The RealtimeToken that a Secret belongs to.
pub const NAME: &str = "realtime-token.dev/name";
/// When the token was asked for, RFC 3339, by the cluster's clock.
pub(crate) const ISSUED_AT: &str = "realtime-token.dev/issued-at";
/// The end of the token's usable life, RFC 3339, by the cluster's clock.
pub const USABLE_UNTIL: &str = "realtime-token.dev/usable-until";
/// The same as published in the data, by the provider's clock.
pub(crate) const EXPIRES_AT: &str = "realtime-token.dev/expires-at";
/// When the next token is due, RFC 3339.
pub const RENEWAL_TIME: &str = "realtime-token.dev/renewal-time";
/// Counts the tokens.
pub(crate) const REVISION: &str = "realtime-token.dev/revision";
/// Hash of the spec's fields that make the token.
pub(crate) const SPEC_HASH: &str = "realtime-token.dev/spec-hash";
/// Hash of the key.
pub(crate) const CREDENTIAL_REVISION: &str = "realtime-token.dev/credential-revision";
/// Hash of token.json, as in the operator's audit log.
pub(crate) const CONTENT_HASH: &str = "realtime-token.dev/content-hash";
/// Hash of labels, annotations and owner.
pub(crate) const METADATA_HASH: &str = "realtime-token.dev/metadata-hash";
/// The forced renewal that this token obeys.
pub(crate) const RENEW_REQUEST: &str = "realtime-token.dev/handled-renew-request";

/// The keys of the Secret that came with the token beside [`OWN_KEYS`], from the provider above all, separated by commas.
pub(crate) const FURTHER_KEYS: &str = "realtime-token.dev/further-keys";

/// What the Secret holds, if it is not a token.
pub(crate) const CONTENT: &str = "realtime-token.dev/content";
/// The value of [`CONTENT`] of a Secret that only says where to ask for tokens.
pub(crate) const CONNECTION: &str = "Connection";

/// The annotations that describe the token of a Secret.
pub(crate) const OF_TOKEN: [&str; 10] = [
    ISSUED_AT,
    USABLE_UNTIL,
    EXPIRES_AT,
    RENEWAL_TIME,
    REVISION,
    SPEC_HASH,
    CREDENTIAL_REVISION,
    CONTENT_HASH,
    RENEW_REQUEST,
    FURTHER_KEYS,
];

/// The annotations of a Secret that holds this token. Labels and annotations of the template are not among them.
pub(crate) fn of_token(
    token: &UnstoredToken,
    revision: i64,
    renewal_time: Timestamp,
    content_hash: &str,
) -> BTreeMap<String, String> {
    let (minted, inputs) = (&token.minted, &token.inputs);
    let further_keys: Vec<&str> = minted.outputs.keys().map(AsRef::as_ref).collect();
    let always = [
        (ISSUED_AT, minted.issued_at.to_string()),
        (USABLE_UNTIL, minted.usable_until.to_string()),
        (EXPIRES_AT, minted.expires_at.to_string()),
        (RENEWAL_TIME, renewal_time.to_string()),
        (REVISION, revision.to_string()),
        (SPEC_HASH, inputs.fingerprint.clone()),
        (CREDENTIAL_REVISION, inputs.credential_revision.clone()),
        (CONTENT_HASH, content_hash.to_owned()),
    ];
    let sometimes = [
        (!further_keys.is_empty()).then(|| (FURTHER_KEYS, further_keys.join(","))),
        inputs.renew_request.clone().map(|request| (RENEW_REQUEST, request)),
    ];
    let all = always.into_iter().chain(sometimes.into_iter().flatten());
    all.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The token that the annotations describe; `None` if one of them is missing or damaged.
pub(super) fn issued(annotations: &BTreeMap<String, String>) -> Option<Issued> {
    let text = |key: &str| annotations.get(key).cloned();
    Some(Issued {
        issued_at: time(annotations, ISSUED_AT)?,
        usable_until: time(annotations, USABLE_UNTIL)?,
        expires_at: time(annotations, EXPIRES_AT)?,
        revision: text(REVISION)?.parse().ok().filter(|revision| *revision > 0)?,
        inputs: MintInputs {
            fingerprint: text(SPEC_HASH)?,
            credential_revision: text(CREDENTIAL_REVISION)?,
            renew_request: text(RENEW_REQUEST),
        },
        content_hash: text(CONTENT_HASH).unwrap_or_default(),
    })
}

/// What the Secret was written to hold. The first of the two writes that bring a token back leaves [`CONTENT`].
pub(super) fn content(annotations: &BTreeMap<String, String>) -> TargetContent {
    match annotations.get(CONTENT).map(String::as_str) {
        Some(CONNECTION) if !annotations.contains_key(ISSUED_AT) => TargetContent::Connection,
        _ => TargetContent::Token,
    }
}

/// The annotation of the token that is missing or can't be read, or that of the metadata; `None` if all are there.
pub(super) fn damaged(annotations: &BTreeMap<String, String>) -> Option<&'static str> {
    let missing = |key: &&&str| !annotations.contains_key(**key);
    if content(annotations) == TargetContent::Connection {
        return Some(METADATA_HASH).filter(|key| !annotations.contains_key(*key));
    }
    let unreadable = |key: &&&str| time(annotations, key).is_none();
    let times = [ISSUED_AT, USABLE_UNTIL, EXPIRES_AT, RENEWAL_TIME];
    let texts = [SPEC_HASH, CREDENTIAL_REVISION, METADATA_HASH];
    let found = times.iter().find(unreadable).or_else(|| texts.iter().find(missing));
    let revision = || issued(annotations).is_none().then_some(REVISION);
    found.copied().or_else(revision)
}

pub(super) fn time(annotations: &BTreeMap<String, String>, key: &str) -> Option<Timestamp> {
    annotations.get(key)?.parse().ok()
}
