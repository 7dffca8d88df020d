//! What the policy of a ClusterRealtimeProvider lets a token be for.
//!
//! Every field that a tenant sets is looked up in the provider's [`Facts::fields`](crate::api::Facts::fields): models,
//! rooms and identities are held against their lists wherever they stand, and what the operator doesn't know to stay
//! within them is refused unless `allowedFields` lists it.

mod pattern;

use serde_json::Value;

use self::pattern::matches;
use crate::api::{FieldUse, Policy, Reason};
use crate::providers::{Block, Provider};
use crate::token::Blocked;

/// What is longer isn't repeated whole in a message.
const LONGEST: usize = 128;

/// Who a token is for, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named<'a> {
    /// As the spec says.
    BySpec,
    /// The subject of a request, which stands in the block too if that has a field for it.
    ByCaller(&'a str),
    /// Each request will say so: what the block has in its place is made up.
    Later,
}

/// Whether the policy allows this block, whose account side is the ClusterRealtimeProvider's, in this namespace.
pub(super) fn check(block: &Block, policy: &Policy, namespace: &str, named: Named<'_>) -> Result<(), Blocked> {
    let provider = block.provider();
    let check = Check {
        block,
        policy,
        namespace,
        named,
    };
    check.is_bound()?;
    if provider.leaves_all_open() {
        return Err(Blocked::new(
            Reason::FieldNotAllowed,
            format!(
                "such a token of {} leaves everything to its holder, so that no policy of the ClusterRealtimeProvider can be \
                 kept; set the model",
                provider.title()
            ),
        ));
    }
    if let Named::ByCaller(subject) = named
        && provider.uses_subject()
    {
        check.listed(List::Identities, "subject", subject)?;
    }
    for (name, value) in block.tenant_fields() {
        check.walk(&value, &mut vec![name.as_str()], false)?;
    }
    Ok(())
}

struct Check<'a> {
    block: &'a Block,
    policy: &'a Policy,
    namespace: &'a str,
    named: Named<'a>,
}

/// The lists of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Models,
    Rooms,
    Identities,
}

impl List {
    const fn name(self) -> &'static str {
        match self {
            Self::Models => "policy.allowedModels",
            Self::Rooms => "policy.allowedRooms",
            Self::Identities => "policy.allowedIdentities",
        }
    }

    /// What a token is bound to none of.
    const fn of(self) -> &'static str {
        match self {
            Self::Models => "model",
            Self::Rooms => "room",
            Self::Identities => "identity",
        }
    }

    const fn reason(self) -> Reason {
        match self {
            Self::Models => Reason::ModelNotAllowed,
            Self::Rooms | Self::Identities => Reason::FieldNotAllowed,
        }
    }
}

impl Check<'_> {
    /// A token that names no model opens every one, and so on: where there is a list, it must name one.
    fn is_bound(&self) -> Result<(), Blocked> {
        let provider = self.block.provider();
        let names_identity = match self.named {
            Named::Later => true,
            Named::ByCaller(_) if provider.uses_subject() => true,
            Named::BySpec | Named::ByCaller(_) => self.names_identity(),
        };
        for (list, is_bound) in [
            (List::Models, provider.bound_model().is_some()),
            (List::Rooms, provider.is_bound_to_room()),
            (List::Identities, names_identity),
        ] {
            if self.patterns(list).is_some() && !is_bound {
                return Err(unbound(provider, list));
            }
        }
        Ok(())
    }

    fn names_identity(&self) -> bool {
        self.block.names_identity() && !self.block.provider().is_for_anyone()
    }

    fn patterns(&self, list: List) -> Option<&[String]> {
        let policy = self.policy;
        match list {
            List::Models => policy.allowed_models.as_deref(),
            List::Rooms => policy.allowed_rooms.as_deref(),
            List::Identities => policy.allowed_identities.as_deref(),
        }
    }

    /// Looks at a value and at all that is below it. `is_free`: it needs no permission, only models, rooms and identities
    /// are held against their lists.
    fn walk<'v>(&self, value: &'v Value, path: &mut Vec<&'v str>, is_free: bool) -> Result<(), Blocked> {
        if value.is_null() {
            return Ok(());
        }
        let use_ = self.use_of(path);
        let mut is_free = is_free || self.is_allowed(path);
        match use_ {
            Some(FieldUse::Model | FieldUse::Room | FieldUse::Identity | FieldUse::Free) if is_scalar(value) => {
                return self.listed_at(use_, path, value);
            }
            Some(FieldUse::Only(texts, _)) if value.as_str().is_some_and(|text| texts.contains(&text)) => return Ok(()),
            Some(FieldUse::Guarded(_)) if *value == Value::Bool(false) => return Ok(()),
            Some(FieldUse::Guarded(why) | FieldUse::Only(_, why)) if !is_free && !self.is_allowed_below(path) => {
                return Err(self.refused(path, why));
            }
            Some(FieldUse::FreeBelow) => is_free = true,
            Some(_) => {}
            None if is_free || self.is_known_below(path) || self.is_allowed_below(path) => {}
            None => return Err(self.refused(path, "the operator doesn't know what it does")),
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    path.push(name);
                    self.walk(value, path, is_free)?;
                    path.pop();
                }
                Ok(())
            }
            // Its items have the path of the list.
            Value::Array(items) => items.iter().try_for_each(|item| self.walk(item, path, is_free)),
            _ if is_free => Ok(()),
            _ => Err(self.refused(path, "the operator doesn't know what it does")),
        }
    }

    fn listed_at(&self, use_: Option<FieldUse>, path: &[&str], value: &Value) -> Result<(), Blocked> {
        let list = match use_ {
            Some(FieldUse::Model) => List::Models,
            Some(FieldUse::Room) => List::Rooms,
            Some(FieldUse::Identity) if self.named != Named::Later => List::Identities,
            _ => return Ok(()),
        };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.listed(list, &self.shown(path), &text)
    }

    /// Whether a list, if there is one, has this text.
    fn listed(&self, list: List, place: &str, text: &str) -> Result<(), Blocked> {
        let Some(patterns) = self.patterns(list) else {
            return Ok(());
        };
        if patterns.iter().any(|pattern| matches(pattern, text, self.namespace)) {
            return Ok(());
        }
        // The subject of a request is personal data.
        let is_of_caller = list == List::Identities && matches!(self.named, Named::ByCaller(_));
        let what = if is_of_caller {
            "the subject of the request".to_owned()
        } else {
            cut(text)
        };
        Err(Blocked::new(
            list.reason(),
            format!(
                "{place}: {what} is not among the ClusterRealtimeProvider's {}: {}",
                list.name(),
                patterns.join(", ")
            ),
        ))
    }

    fn refused(&self, path: &[&str], why: &str) -> Blocked {
        let field = self.shown(path);
        Blocked::new(
            Reason::FieldNotAllowed,
            format!(
                "{field}: the ClusterRealtimeProvider's policy doesn't allow it: {why}. Remove it, or ask the platform \
                 team to list it in policy.allowedFields"
            ),
        )
    }

    fn use_of(&self, path: &[&str]) -> Option<FieldUse> {
        let mut uses = self.block.provider().facts().fields.iter().copied().flatten();
        let found = uses.find(|(known, _)| known.split('.').eq(path.iter().copied()));
        found.map(|(_, use_)| *use_)
    }

    /// Whether the operator knows fields below this one.
    fn is_known_below(&self, path: &[&str]) -> bool {
        let mut uses = self.block.provider().facts().fields.iter().copied().flatten();
        uses.any(|(known, _)| is_below(known.split('.'), path))
    }

    /// Whether `allowedFields` lists this field or one that it is below.
    fn is_allowed(&self, path: &[&str]) -> bool {
        let full: Vec<&str> = std::iter::once(self.block.field())
            .chain(path.iter().copied())
            .collect();
        let mut listed = self.policy.allowed_fields.iter();
        listed.any(|field| full.starts_with(&field.split('.').collect::<Vec<_>>()))
    }

    /// Whether `allowedFields` lists a field below this one.
    fn is_allowed_below(&self, path: &[&str]) -> bool {
        let full: Vec<&str> = std::iter::once(self.block.field())
            .chain(path.iter().copied())
            .collect();
        let mut listed = self.policy.allowed_fields.iter();
        listed.any(|field| is_below(field.split('.'), &full))
    }

    fn shown(&self, path: &[&str]) -> String {
        cut(&format!("{}.{}", self.block.field(), path.join(".")))
    }
}

/// A value, or a list of values, that has nothing below it.
fn is_scalar(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| !item.is_object() && !item.is_array()),
        Value::Object(fields) => fields.is_empty(),
        _ => true,
    }
}

/// Whether a path begins with another and goes on.
fn is_below<'a>(path: impl Iterator<Item = &'a str>, above: &[&str]) -> bool {
    let mut path = path;
    above.iter().all(|name| path.next() == Some(name)) && path.next().is_some()
}

/// A tenant's text as it may stand in a message; what reports the message escapes it.
fn cut(text: &str) -> String {
    let start: String = text.chars().take(LONGEST).collect();
    match text.chars().nth(LONGEST) {
        Some(_) => start + "…",
        None => start,
    }
}

fn unbound(provider: &dyn Provider, list: List) -> Blocked {
    let (title, of, name) = (provider.title(), list.of(), list.name());
    Blocked::new(
        list.reason(),
        format!(
            "such a token of {title} is bound to no {of}, so the ClusterRealtimeProvider's {name} can't be kept; bind it \
             to one, or ask the platform team for a ClusterRealtimeProvider without that list"
        ),
    )
}
