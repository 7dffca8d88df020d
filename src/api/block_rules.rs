//! The CEL rules of `spec` that are about provider blocks.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::ValidationRule;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

use super::{PROVIDER_FIELDS, ProviderBlock, account_rules, block_rules, facts_by_field};

/// All that one block asks of `spec`.
#[derive(Clone, Debug)]
pub struct BlockRules {
    /// The block's field.
    pub field: &'static str,
    /// What must hold where it is set, each with its message.
    pub rules: Vec<(String, String)>,
}

impl BlockRules {
    pub(super) fn of_block<B: ProviderBlock, A: JsonSchema>(field: &'static str) -> Self {
        let lifetime = B::FACTS.lifetime.rule(B::FACTS.title).into_iter();
        let rules = lifetime.chain(owned(B::RULES)).chain(account::<A>(field));
        Self {
            field,
            rules: rules.collect(),
        }
    }

    pub(super) fn of_account<B: ProviderBlock>(field: &'static str) -> Self {
        Self {
            field,
            rules: owned(B::ACCOUNT_RULES).collect(),
        }
    }

    /// CEL that holds if all of the rules do.
    fn all_hold(&self) -> String {
        let rules = self.rules.iter();
        let rules: Vec<_> = rules.map(|(rule, _)| format!("({rule})")).collect();
        rules.join(" && ")
    }

    /// CEL for the message of the first rule that doesn't.
    fn message(&self) -> String {
        let mut rules = self.rules.iter().rev();
        let mut cel = rules.next().map(|(_, message)| text(message));
        for (rule, message) in rules {
            cel = cel.map(|rest| format!("!({rule}) ? {} : {rest}", text(message)));
        }
        cel.unwrap_or_default()
    }
}

/// The message about no provider block, or several.
#[must_use]
pub fn one_block_message() -> String {
    format!("set exactly one provider block: {}", listed(PROVIDER_FIELDS, "or"))
}

/// The rules of a RealtimeToken's spec about its provider blocks.
pub(super) fn of_token() -> Vec<ValidationRule> {
    vec![one_block(), by_block(&block_rules()), exchanges()]
}

/// The rules of a ClusterRealtimeProvider's spec about its accounts.
pub(super) fn of_provider() -> Vec<ValidationRule> {
    vec![one_block(), by_block(&account_rules()), exchanges()]
}

fn one_block() -> ValidationRule {
    let set: Vec<_> = PROVIDER_FIELDS
        .iter()
        .map(|field| format!("has(self.{field})"))
        .collect();
    ValidationRule {
        rule: format!("[{}].exists_one(x, x)", set.join(", ")),
        message: Some(one_block_message()),
        ..ValidationRule::default()
    }
}

/// Which blocks take the access tokens of which exchange.
fn exchanges() -> ValidationRule {
    let identity = "self.credentials.workloadIdentity";
    let taking = facts_by_field()
        .into_iter()
        .filter(|(_, facts)| !facts.exchanges.is_empty());
    let allowed: Vec<_> = taking
        .map(|(field, facts)| {
            let set = facts
                .exchanges
                .iter()
                .map(|exchange| format!("has({identity}.{exchange})"));
            format!("has(self.{field}) && ({})", set.collect::<Vec<_>>().join(" || "))
        })
        .collect();
    ValidationRule {
        rule: format!("!has({identity}) || {}", allowed.join(" || ")),
        message: Some(exchange_message()),
        ..ValidationRule::default()
    }
}

/// The message about a block that doesn't take the access tokens of an exchange.
#[must_use]
pub fn exchange_message() -> String {
    let mut by_exchanges = BTreeMap::<String, Vec<&str>>::new();
    for (field, facts) in facts_by_field() {
        if !facts.exchanges.is_empty() {
            let exchanges = listed(facts.exchanges, "or");
            by_exchanges.entry(exchanges).or_default().push(field);
        }
    }
    let pairs: Vec<_> = by_exchanges
        .iter()
        .map(|(exchanges, fields)| format!("{exchanges} with {}", listed(fields, "and")))
        .collect();
    format!(
        "credentials.workloadIdentity: {}; the other providers take a stored key only, so use secretRef",
        pairs.join(", ")
    )
}

/// One rule for all blocks. With one for each, CEL took a sixth of the API server's work for a rotation: every write of
/// a status brings every rule to look at `spec` again, and each look at one of its fields copies the schemas of all
/// (`Structural.Properties` in k8s.io/apiextensions-apiserver).
fn by_block(blocks: &[BlockRules]) -> ValidationRule {
    let choose = |what: fn(&BlockRules) -> String, otherwise: &str| {
        let mut cel = String::new();
        for block in blocks.iter().filter(|block| !block.rules.is_empty()) {
            cel += &format!("has(self.{}) ? ({}) : ", block.field, what(block));
        }
        cel + otherwise
    };
    ValidationRule {
        rule: choose(BlockRules::all_hold, "true"),
        message_expression: Some(choose(BlockRules::message, "\"\"")),
        ..ValidationRule::default()
    }
}

/// With a ClusterRealtimeProvider the account side is the platform team's.
fn account<A: JsonSchema>(field: &str) -> Option<(String, String)> {
    let schema = A::json_schema(&mut SchemaGenerator::default());
    let properties = schema.get("properties")?.as_object()?;
    let names: Vec<&str> = properties.keys().map(String::as_str).collect();
    let set: Vec<_> = names.iter().map(|name| format!("has(self.{field}.{name})")).collect();
    let come = if names.len() == 1 { "comes" } else { "come" };
    let them = if names.len() == 1 { "it" } else { "them" };
    Some((
        format!("!has(self.credentials.providerRef) || !({})", set.join(" || ")),
        format!(
            "{field}.{} {come} from the ClusterRealtimeProvider when credentials.providerRef is set; remove {them}",
            listed(&names, "and")
        ),
    ))
}

fn owned(texts: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    texts
        .iter()
        .map(|(rule, message)| ((*rule).to_owned(), (*message).to_owned()))
}

/// A text in CEL, whose escapes are JSON's.
fn text(text: &str) -> String {
    Value::from(text).to_string()
}

/// `a, b and c`.
fn listed(words: &[&str], last: &str) -> String {
    match words {
        [rest @ .., end] if !rest.is_empty() => format!("{} {last} {end}", rest.join(", ")),
        _ => words.concat(),
    }
}
