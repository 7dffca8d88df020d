//! Which fields below `spec` a caller may set: the fields that `spec.requests.overridable` names and all that is below
//! them, and of these only the life and the provider block without its account side. Whatever the list says, a caller
//! never chooses credentials, hosts or accounts.

use crate::admission::has_field;
use crate::api::{PROVIDER_FIELDS, RealtimeTokenSpec};
use crate::providers::Block;

/// The list of a spec, taken apart.
pub(super) struct Overridable<'a> {
    fields: Vec<Vec<&'a str>>,
    /// The provider block that the spec sets.
    block: Option<&'static str>,
}

impl<'a> Overridable<'a> {
    pub(super) fn of(spec: &'a RealtimeTokenSpec) -> Self {
        let listed = spec.requests.iter().flat_map(|requests| &requests.overridable);
        Self {
            fields: listed.map(|field| field.split('.').collect()).collect(),
            block: Block::only(&spec.blocks).map(|block| block.field()),
        }
    }

    /// Whether a caller may set the field at this path.
    pub(super) fn covers(&self, path: &[&str]) -> bool {
        let is_listed = self.fields.iter().any(|field| path.starts_with(field));
        is_listed && self.objection(path).is_none()
    }

    /// What is to be said against a field, whether it is listed or not.
    fn objection(&self, path: &[&str]) -> Option<&'static str> {
        match path {
            ["expirationSeconds"] => None,
            [block, ..] if !PROVIDER_FIELDS.contains(block) => {
                Some("only expirationSeconds and the fields of the provider block can be overridden")
            }
            [block, ..] if Some(*block) != self.block => Some("it is not the provider block that this spec sets"),
            // The whole block would be the account side, too.
            [_] => Some("name the fields of the block one by one"),
            [block, field, ..] if has_field("ClusterRealtimeProvider", ["spec", block, field]) => {
                Some("it belongs to the account, which a caller can't choose")
            }
            _ => None,
        }
    }
}

/// The first field of `spec.requests.overridable` that can't be overridden, since the schema has no such field or a caller
/// may not choose it: a whole sentence.
pub(crate) fn unknown_overridable(spec: &RealtimeTokenSpec) -> Option<String> {
    let all = Overridable::of(spec);
    all.fields.iter().find_map(|field| {
        let is_known = has_field("RealtimeToken", ["spec"].into_iter().chain(field.iter().copied()));
        let objection = match is_known {
            true => all.objection(field)?,
            false => "spec has no such field",
        };
        let field = field.join(".");
        Some(format!(
            "requests.overridable: {field}: {objection}; correct or remove it"
        ))
    })
}
