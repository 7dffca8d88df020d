//! The CEL rules of `spec` that are about provider blocks.
//!
//! The API server evaluates every rule of an object at each write of its status, whatever has changed, and each look at
//! a field of `spec` copies the schemas of all its fields (`Structural.Properties` in k8s.io/apiextensions-apiserver):
//! the looks at `spec` are the price of a rule. So the rules look at as few fields as they can, each once.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, ValidationRule};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

use super::{
    DEFAULT_EXPIRATION, Facts, Lifetime, Limits, PROVIDER_FIELDS, ProviderBlock, account_rules, block_rules,
    facts_by_field, request_rules,
};

/// All that one block asks of `spec`.
#[derive(Clone, Debug)]
pub struct BlockRules {
    /// The block's field.
    pub field: &'static str,
    /// What must hold where it is set, each with its message.
    pub rules: Vec<(String, String)>,
    /// What must also hold unless the key is in a Secret that the object names: evaluated only where it isn't.
    pub without_own_key: Vec<(String, String)>,
}

impl BlockRules {
    pub(super) fn of_block<B: ProviderBlock, A: JsonSchema>(field: &'static str) -> Self {
        let lifetime = B::FACTS.lifetime.rule(B::FACTS.title).into_iter();
        Self {
            field,
            rules: lifetime.chain(owned(B::RULES)).collect(),
            without_own_key: account::<A>(field).into_iter().chain([exchange(B::FACTS)]).collect(),
        }
    }

    pub(super) fn of_account<B: ProviderBlock>(field: &'static str) -> Self {
        Self {
            field,
            rules: owned(B::ACCOUNT_RULES).collect(),
            without_own_key: vec![exchange(B::FACTS)],
        }
    }

    /// What a block asks of `spec.requests`, where that is set.
    pub(super) fn of_requests<B: ProviderBlock, A: JsonSchema>(field: &'static str) -> Self {
        let lifetime = B::FACTS.lifetime;
        let rules = [
            life_is_chosen(lifetime, B::FACTS.title),
            Some(is_overridable(field, &account_fields::<A>())),
            Some(leaves_life(lifetime)),
        ];
        Self {
            field,
            rules: rules.into_iter().flatten().collect(),
            without_own_key: Vec::new(),
        }
    }

    /// The same for a rule that doesn't stand on `spec` but on the object.
    pub(super) fn at_root(mut self) -> Self {
        for (rule, _) in self.rules.iter_mut().chain(&mut self.without_own_key) {
            *rule = rule.replace("self.", "self.spec.");
        }
        self
    }

    /// CEL that holds if all of the rules do.
    fn all_hold(&self, spec: &str) -> String {
        let all = |rules: &[(String, String)]| {
            let rules: Vec<_> = rules.iter().map(|(rule, _)| format!("({rule})")).collect();
            rules.join(" && ")
        };
        let own_key = format!("has({spec}.credentials.secretRef)");
        match (self.rules.as_slice(), self.without_own_key.as_slice()) {
            (rules, []) => all(rules),
            ([], others) => format!("{own_key} || {}", all(others)),
            (rules, others) => format!("{} && ({own_key} || {})", all(rules), all(others)),
        }
    }

    /// CEL for the message of the first rule that doesn't, and for no text if all do.
    fn message(&self) -> String {
        let rules = self.rules.iter().chain(&self.without_own_key);
        let cel: String = rules
            .map(|(rule, message)| format!("!({rule}) ? {} : ", text(message)))
            .collect();
        cel + NO_MESSAGE
    }
}

/// The message about no provider block, or several.
#[must_use]
pub fn one_block_message() -> String {
    format!("set exactly one provider block: {}", listed(PROVIDER_FIELDS, "or"))
}

/// What a RealtimeToken's spec must be as far as its provider blocks go, for a rule on the object.
pub(super) fn of_token(spec: &JSONSchemaProps) -> [Check; 2] {
    let at_root = |rules: Vec<BlockRules>| rules.into_iter().map(BlockRules::at_root).collect::<Vec<_>>();
    let own = blocks(spec, "self.spec", &at_root(block_rules()));
    [own, requests("self.spec", &at_root(request_rules()))]
}

/// The rule of a ClusterRealtimeProvider's spec about its accounts.
pub(super) fn of_provider(spec: &JSONSchemaProps) -> ValidationRule {
    let Check { rule, message } = blocks(spec, "self", &account_rules());
    ValidationRule {
        rule,
        message_expression: Some(message),
        ..ValidationRule::default()
    }
}

/// CEL that must hold, and CEL for what is said if it doesn't: no text if it does.
pub(super) struct Check {
    pub(super) rule: String,
    pub(super) message: String,
}

/// In CEL.
const NO_MESSAGE: &str = "\"\"";

impl Check {
    pub(super) fn new(rule: String, message: &str) -> Self {
        let message = format!("!({rule}) ? {} : {NO_MESSAGE}", text(message));
        Self { rule, message }
    }
}

/// Exactly one block, and what it asks. `at` is the spec in CEL.
fn blocks(spec: &JSONSchemaProps, at: &str, rules: &[BlockRules]) -> Check {
    let one = one_block(spec, at);
    let asked = by_block(at, rules);
    Check {
        rule: format!("{one} && ({})", asked.rule),
        message: format!("!({one}) ? {} : {}", text(&one_block_message()), asked.message),
    }
}

/// Counts fields, which costs no look at any: those that are always there, required or by default, those that may be
/// there beside a block, and one.
fn one_block(spec: &JSONSchemaProps, at: &str) -> String {
    let required = spec.required.as_deref().unwrap_or_default();
    let beside = spec.properties.iter().flatten();
    let beside = beside.filter(|(name, _)| !PROVIDER_FIELDS.contains(&name.as_str()));
    let (always, sometimes): (Vec<_>, Vec<_>) =
        beside.partition(|(name, schema)| required.contains(name) || schema.default.is_some());
    let sometimes: String = sometimes
        .iter()
        .map(|(name, _)| format!(" + (has({at}.{name}) ? 1 : 0)"))
        .collect();
    format!("size(dyn({at})) == {}{sometimes}", always.len() + 1)
}

/// Which access tokens a block takes in place of a stored key.
fn exchange(facts: &Facts) -> (String, String) {
    let identity = "self.credentials.workloadIdentity";
    let taken = facts
        .exchanges
        .iter()
        .map(|exchange| format!(" || has({identity}.{exchange})"));
    (
        format!("!has({identity}){}", taken.collect::<String>()),
        exchange_message(),
    )
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

/// One rule for all blocks, which stops at the one that is set.
fn by_block(spec: &str, blocks: &[BlockRules]) -> Check {
    let choose = |what: &dyn Fn(&BlockRules) -> String, otherwise: &str| {
        let mut cel = String::new();
        let asking = |block: &&BlockRules| !block.rules.is_empty() || !block.without_own_key.is_empty();
        for block in blocks.iter().filter(asking) {
            cel += &format!("has({spec}.{}) ? ({}) : ", block.field, what(block));
        }
        cel + otherwise
    };
    Check {
        rule: choose(&|block| block.all_hold(spec), "true"),
        message: choose(&BlockRules::message, NO_MESSAGE),
    }
}

/// What is asked about tokens on request: a spec without them is done with after a look at two of its fields.
fn requests(spec: &str, rules: &[BlockRules]) -> Check {
    let asked = by_block(spec, rules);
    let mints = format!("{spec}.target.content != 'Connection'"); // both have defaults
    let mints = Check::new(
        mints,
        "target.content: with Connection tokens are handed out on request only; set spec.requests, or content to Token",
    );
    let choose = |with: &str, without: &str| format!("has({spec}.requests) ? ({with}) : ({without})");
    Check {
        rule: choose(&asked.rule, &mints.rule),
        message: choose(&asked.message, &mints.message),
    }
}

const OVERRIDABLE: &str = "!has(self.requests.overridable) || self.requests.overridable.all(f, ";

/// Only a life that can be asked for can be overridden.
fn life_is_chosen(lifetime: Lifetime, title: &str) -> Option<(String, String)> {
    matches!(lifetime, Lifetime::Fixed(_) | Lifetime::Stated).then(|| {
        (
            format!("{OVERRIDABLE}f != 'expirationSeconds')"),
            format!(
                "requests.overridable: {title} fixes the lifetime of its tokens, so that expirationSeconds can't be \
                 overridden; remove it"
            ),
        )
    })
}

/// A caller may change what the token is for, never where the key is sent or whose account pays.
fn is_overridable(field: &str, account: &[String]) -> (String, String) {
    let account: Vec<&str> = account.iter().map(String::as_str).collect();
    let is_account = match account.as_slice() {
        [] => String::new(),
        names => format!(" && !f.matches('^{field}[.]({})([.]|$)')", names.join("|")),
    };
    let never = match account.as_slice() {
        [] => String::new(),
        names => format!("; never {field}.{}: the account side", listed(names, "or")),
    };
    (
        format!("{OVERRIDABLE}f == 'expirationSeconds' || (f.startsWith('{field}.'){is_account}))"),
        format!(
            "requests.overridable: expirationSeconds or a field of {field}, the provider block that is set, such as \
             {field}.NAME{never}"
        ),
    )
}

/// A token that lives no longer than it must when it is handed out could never be.
fn leaves_life(lifetime: Lifetime) -> (String, String) {
    let least = "self.requests.minRemainingSeconds";
    let asked = format!("!has(self.expirationSeconds) || {least} < self.expirationSeconds");
    let rule = match lifetime {
        Lifetime::Chosen(Limits { min, max, .. }) => {
            let default = DEFAULT_EXPIRATION.min(max).max(min);
            format!("{least} < (has(self.expirationSeconds) ? self.expirationSeconds : {default})")
        }
        Lifetime::Fixed(seconds) => format!("{least} < {seconds}"),
        Lifetime::Offered(_) | Lifetime::InBlock => asked,
        Lifetime::Stated => "true".to_owned(),
    };
    (
        rule,
        "requests.minRemainingSeconds must be less than the life of a token, expirationSeconds: no token could be handed \
         out otherwise"
            .to_owned(),
    )
}

/// With a ClusterRealtimeProvider the account side is the platform team's.
fn account<A: JsonSchema>(field: &str) -> Option<(String, String)> {
    let fields = account_fields::<A>();
    let names: Vec<&str> = fields.iter().map(String::as_str).collect();
    if names.is_empty() {
        return None;
    }
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

/// The fields of an account.
fn account_fields<A: JsonSchema>() -> Vec<String> {
    let schema = A::json_schema(&mut SchemaGenerator::default());
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .map(|fields| fields.keys().cloned().collect())
        .unwrap_or_default()
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
