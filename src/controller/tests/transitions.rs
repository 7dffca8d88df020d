//! Transitions of specs, generated from the CRD's schema as Acto does: from a spec that works to one that differs in one
//! field, and back.
//!
//! The oracle is another RealtimeToken, created with the second spec: after the transition both have the same Secret and
//! say the same, and after the way back all is as it was. A transition costs one token if it changes what tokens are
//! minted from, and none if it doesn't.

mod generate;
mod outcome;

use std::collections::BTreeMap;

use self::generate::{Refused, Variants, admitted};
use self::outcome::{difference, patch};
use super::*;
use crate::token::secret::annotations::SPEC_HASH;

/// Fields that every provider has beside its block. `target.name` can't be changed.
const COMMON: [&str; 6] = [
    "credentials",
    "expirationSeconds",
    "renewal",
    "requests",
    "suspend",
    "target",
];

/// That of the example of `http`, which names its own.
const ENDPOINT: &str = "https://rest.fal.ai";
/// In seconds: an edit soon after another waits for ten.
const SETTLES_WITHIN: u64 = 45;

impl Fleet {
    fn create_spec(&self, name: &str, spec: &Value) {
        self.api.create(json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
            "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec,
        }));
    }
}

struct Provider {
    field: String,
    base: Value,
    secret: Value,
    variants: Variants,
}

/// A spec as the user writes it, with the key Secret of the tests.
fn with_credentials(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if spec.get("credentials").is_none() {
        spec["credentials"] = json!({"secretRef": {"name": "openai"}});
    }
    spec
}

/// Every provider with its block's fields; the first also with the fields that all have.
fn providers() -> Vec<Provider> {
    let files = testkit::conformance::all().unwrap();
    let providers = files.into_iter().map(|file| {
        let base = with_credentials(&file.example);
        let mut fields = vec![file.field.as_str()];
        if file.field == "openai" {
            fields.extend(COMMON);
        }
        let mut variants = Variants::of(&base, &fields);
        for (n, spec) in file.rules.accept.iter().enumerate() {
            variants.add_spec(&with_credentials(spec), &format!("rules.accept[{n}]"));
        }
        // The name of the target is part of what is compared, and can't be changed anyway.
        variants
            .admitted
            .retain(|variant| !variant.field.starts_with("target.name"));
        Provider {
            base: admitted(&base).unwrap(),
            field: file.field,
            secret: file.secret,
            variants,
        }
    });
    providers.collect()
}

/// All transitions of one provider at a time, in one fleet. What is wrong is added to `wrong`.
async fn run(provider: &Provider, wrong: &mut Vec<String>) {
    let (_ca, connection) = watch::channel(Some(Connection {
        url: "https://operator.operator.svc".to_owned(),
        ca_bundle: Some("ca".to_owned()),
    }));
    let mut fleet = Fleet::serving(3600, Some(connection));
    fleet.kill();
    fleet.endpoints = EndpointPolicy::parse([ENDPOINT]).unwrap();
    fleet.start();
    let keys = provider.secret.as_object().unwrap().iter();
    let keys: BTreeMap<_, _> = keys
        .map(|(key, value)| (key, base64(value.as_str().unwrap())))
        .collect();
    fleet.api.edit("secrets", NAMESPACE, "openai", &json!({"data": keys}));

    let variants = &provider.variants.admitted;
    fleet.create_spec("base", &provider.base);
    for n in 0..variants.len() {
        fleet.create_spec(&format!("edited-{n}"), &provider.base);
    }
    fleet.pass(SETTLES_WITHIN).await;
    let base = fleet.outcome("base");
    if base.secret.is_none() {
        return wrong.push(format!("{}: the example comes to {base:?}", provider.field));
    }
    let fingerprint = |name: &str| {
        let secret = fleet.secret(name);
        secret.and_then(|secret| annotation(&secret, SPEC_HASH).map(str::to_owned))
    };

    for (n, variant) in variants.iter().enumerate() {
        let change = patch(&provider.base, &variant.spec);
        fleet.edit(&format!("edited-{n}"), json!({"spec": change}));
        fleet.create_spec(&format!("fresh-{n}"), &variant.spec);
    }
    fleet.pass(SETTLES_WITHIN).await;
    for (n, variant) in variants.iter().enumerate() {
        let about = format!("{}: {} = {}", provider.field, variant.field, variant.value);
        let (edited, fresh) = (format!("edited-{n}"), format!("fresh-{n}"));
        let difference = difference(&fleet, variant, &edited, &fresh);
        wrong.extend(difference.map(|difference| format!("{about}: {difference}")));
        if let (Some(before), Some(after)) = (fingerprint("base"), fingerprint(&fresh)) {
            let (wanted, minted) = (1 + i64::from(before != after), fleet.status(&edited).revision);
            if minted != Some(wanted) {
                wrong.push(format!("{about}: {minted:?} tokens instead of {wanted}"));
            }
        }
    }

    for (n, variant) in variants.iter().enumerate() {
        let change = patch(&variant.spec, &provider.base);
        fleet.edit(&format!("edited-{n}"), json!({"spec": change}));
    }
    fleet.pass(SETTLES_WITHIN).await;
    for (n, variant) in variants.iter().enumerate() {
        let outcome = fleet.outcome(&format!("edited-{n}"));
        if outcome != base {
            let about = format!("{}: back from {} = {}", provider.field, variant.field, variant.value);
            wrong.push(format!("{about}: {outcome:?} instead of {base:?}"));
        }
    }
    let revisions = |prefix: &str| -> i64 {
        let names = (0..variants.len()).map(|n| format!("{prefix}-{n}"));
        names.filter_map(|name| fleet.status(&name).revision).sum()
    };
    let stored = revisions("edited") + revisions("fresh") + 1;
    let minted = fleet.provider.count() as i64;
    if minted != stored {
        wrong.push(format!(
            "{}: {minted} mints for {stored} tokens that were stored",
            provider.field
        ));
    }
}

#[allow(clippy::print_stdout, reason = "how many there are")]
#[tokio::test(start_paused = true)]
async fn a_changed_spec_comes_to_what_a_new_one_comes_to_and_back() {
    now(); // the clock begins with the test: what follows takes real time
    let providers = providers();
    let count = |of: fn(&Provider) -> usize| providers.iter().map(of).sum::<usize>();
    let (admitted, refused) = (
        count(|it| it.variants.admitted.len()),
        count(|it| it.variants.refused.len()),
    );
    assert!(admitted >= 360, "{admitted} transitions, {refused} refused");
    let mut wrong = Vec::new();
    for provider in &providers {
        run(provider, &mut wrong).await;
    }
    println!("{admitted} transitions, {refused} refused");
    assert!(wrong.is_empty(), "{} of {admitted}:\n{}", wrong.len(), wrong.join("\n"));
}

/// What the API server would refuse is refused in words that name the field or the one it is in.
#[test]
fn what_a_field_does_not_take_is_refused_with_its_name() {
    let mut wrong = Vec::new();
    let refused = providers().into_iter().flat_map(|provider| provider.variants.refused);
    for Refused { field, value, refusals } in refused {
        let says_nothing = refusals.iter().any(|refusal| refusal.message.is_empty());
        let mut said = refusals.iter().map(ToString::to_string);
        if says_nothing || !said.any(|text| field.split('.').any(|name| text.contains(name))) {
            wrong.push(format!("{field} = {value}: {refusals:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} refusals:\n{}", wrong.len(), wrong.join("\n"));
}
