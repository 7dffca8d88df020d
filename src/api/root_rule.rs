//! The rule of a RealtimeToken that looks at several fields of its spec.
//!
//! The API server evaluates every rule of an object at each write of its status, though that can't change the spec, and
//! each look at a field of `spec` copies the schemas of all its fields. So one rule has it all, and leaves after a look
//! at the status: that differs from the old one only in a write of the status, since Kubernetes keeps the old status in
//! all other writes. It stands on the object because a rule on `spec` doesn't see the status.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, ValidationRule};

use super::block_rules::{self, Check};
use super::target::reserved_in_cel;
use super::{RESERVED, Target};

const KEY_SECRET: &str =
    "the token can't go into the Secret that holds the key: set target.name, or name the RealtimeToken otherwise";

/// Every rotation counts its token.
const IS_ROTATION: &str = "self.?status.?revision != oldSelf.?status.?revision";

/// Lets labels and finalizers be changed where an older version's rules let the spec pass. The API server does so by
/// itself for rules that don't look at the old object.
const SPEC_UNCHANGED: &str = "oldSelf.hasValue() && self.spec == oldSelf.value().spec";

const NOT_KEY_SECRET: &str = "self.spec.credentials.?secretRef.?name.orValue('') != \
    (has(self.spec.target.name) ? self.spec.target.name : self.metadata.name)";

/// A name that is set, or was, is the name that stands for one left out.
const KEEPS_TARGET: &str = "!oldSelf.hasValue() || has(self.spec.target.name) == has(oldSelf.value().spec.target.name) || \
    (has(self.spec.target.name) ? self.spec.target.name : oldSelf.value().spec.target.name) == self.metadata.name";

/// The rule for a spec of this schema. It says the first thing that is wrong, as about `spec`.
pub(super) fn of_token(spec: &JSONSchemaProps) -> ValidationRule {
    let reserved = reserved_in_cel();
    let may_have_name = format!("!self.metadata.name.matches('^({reserved})') || has(self.spec.target.name)");
    let mut checks = Vec::from(block_rules::of_token(spec));
    checks.push(Check::new(may_have_name, RESERVED));
    checks.push(Check::new(NOT_KEY_SECRET.to_owned(), KEY_SECRET));
    let rules: Vec<_> = checks.iter().map(|check| format!("({})", check.rule)).collect();
    // A message can't look at the old object: the API server gives it another oldSelf than the rule.
    let last = format!("{:?}", Target::IMMUTABLE);
    let messages = checks.into_iter().map(|check| check.message).chain([last]);
    let messages: Vec<_> = messages.collect();
    ValidationRule {
        rule: format!(
            "{IS_ROTATION} || ({} && ({KEEPS_TARGET})) || {SPEC_UNCHANGED}",
            rules.join(" && ")
        ),
        message_expression: Some(format!("[{}].filter(text, text != \"\")[0]", messages.join(", "))),
        optional_old_self: Some(true),
        field_path: Some(".spec".to_owned()),
        ..ValidationRule::default()
    }
}
