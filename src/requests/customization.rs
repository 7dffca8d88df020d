//! Stand-in until `resolve::customize` is merged.

use serde_json::{Map, Value};

use crate::api::RealtimeToken;

pub(super) struct Customization {
    pub(super) subject: Option<String>,
    pub(super) overrides: Option<Map<String, Value>>,
}

pub(super) enum Refused {
    NotOverridable { field: String },
    SubjectRequired,
    Invalid { problem: String },
}

pub(super) fn customized(token: &RealtimeToken, asked: &Customization) -> Result<RealtimeToken, Refused> {
    let mut token = token.clone();
    for (field, value) in asked.overrides.iter().flatten() {
        let overridable = token
            .spec
            .requests
            .as_ref()
            .is_some_and(|r| r.overridable.contains(field));
        if !overridable {
            return Err(Refused::NotOverridable { field: field.clone() });
        }
        token.spec.expiration_seconds = value.as_i64();
    }
    Ok(token)
}
