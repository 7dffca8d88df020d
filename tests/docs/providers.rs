//! One page for each provider and a table of all, generated from the types above a line, written by hand below it.
//!
//! With `UPDATE` set they are written (`make docs`), else compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use realtime_token_operator::api::{
    Lifetime, Limits, PROVIDER_FIELDS, PROVIDER_SUMMARIES, RealtimeTokenSpec, block_rules, crds, exchange_message,
};
use realtime_token_operator::mint::Endpoint;
use realtime_token_operator::resolve::{block_of, expiration};
use serde_json::{Value, json};
use testkit::conformance::{self, Conformance};

use crate::fields::{cell, names, rows, rules};
use crate::schemas::MODELINE;

const BY_HAND: &str = "<!-- Above: `make docs` writes it from the types. Below: by hand. -->";
const NO_SUBJECT: &str = "none: it only counts for the limit";
/// What every page must answer by hand.
const USING: &str = "## Using the token";

#[test]
fn every_provider_has_a_page_that_is_true() {
    let schemas = Schemas::load();
    for file in conformance::all().unwrap() {
        let page = format!("docs/providers/{}.md", file.field);
        let by_hand = same(&page, &schemas.page(&file));
        let (_, using) = by_hand.split_once(USING).unwrap_or_else(|| {
            panic!("{page}: below the line {BY_HAND} goes {USING:?}: what the client does with the token, as URL and header")
        });
        assert!(
            using.split_whitespace().count() >= 20,
            "{page}: {USING:?} says too little"
        );
    }
}

#[test]
fn the_table_of_all_is_true() {
    let mut table = String::from(
        "# Providers\n\n| Provider | Token | Made by | Life | Shared by many readers | Subject of a request | Keys of the key Secret |\n|---|---|---|---|---|---|---|\n",
    );
    let mut files: BTreeMap<_, _> = conformance::all()
        .unwrap()
        .into_iter()
        .map(|file| (file.field.clone(), file))
        .collect();
    for (field, summary) in PROVIDER_FIELDS.iter().zip(PROVIDER_SUMMARIES) {
        let file = files.remove(*field).unwrap();
        for (index, variant) in variants(&file).iter().enumerate() {
            let first = index == 0;
            let name = match first {
                true => format!("[{}](providers/{field}.md)", variant.title),
                false => String::new(),
            };
            let summary = if first { summary.trim_end_matches('.') } else { "" };
            let what = match &variant.label {
                Some(label) if first => format!("{summary}; {label}"),
                Some(label) => label.clone(),
                None => summary.to_owned(),
            };
            table += &format!(
                "| {name} | {} | {} | {} | {} | {} | {} |\n",
                cell(&what),
                variant.made,
                variant.life,
                if variant.single_use.is_some() { "no" } else { "yes" },
                if first {
                    variant.subject.unwrap_or(NO_SUBJECT)
                } else {
                    ""
                },
                variant.keys()
            );
        }
    }
    same("docs/providers.md", &table);
}

/// Compares what stands above the line, or writes it. Gives what stands below.
fn same(path: &str, generated: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = fs::read_to_string(&file)
        .unwrap_or_else(|_| panic!("{path} is missing: begin it with the line\n{BY_HAND}\nand run `make docs`"));
    let Some((above, below)) = text.split_once(BY_HAND) else {
        panic!("{path} has no line {BY_HAND}");
    };
    let generated = format!("{}\n\n", generated.trim_end());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, format!("{generated}{BY_HAND}{below}")).unwrap();
    } else {
        let differs = generated.lines().zip(above.lines()).find(|(new, old)| new != old);
        assert_eq!(differs, None, "{path}: run `make docs`");
        assert_eq!(generated, above, "{path}: run `make docs`");
    }
    below.to_owned()
}

/// What a spec of a provider makes.
#[derive(PartialEq)]
struct Variant {
    /// What sets it apart, unless all are alike.
    label: Option<String>,
    title: &'static str,
    made: String,
    life: String,
    single_use: Option<&'static str>,
    subject: Option<&'static str>,
    secret_fields: Vec<(&'static str, &'static str)>,
}

impl Variant {
    fn of(spec: &Value) -> Self {
        let mut spec = spec.clone();
        let sources = spec.pointer("/http/response/expiry").and_then(Value::as_array);
        let stated = sources.is_some_and(|sources| sources.iter().any(|source| source["from"] != "Ttl"));
        spec["credentials"] = json!({"secretRef": {"name": "key"}});
        let spec: RealtimeTokenSpec = serde_json::from_value(spec).unwrap();
        let block = block_of(&spec).unwrap();
        let provider = block.provider();
        let unasked = RealtimeTokenSpec {
            expiration_seconds: None,
            ..spec.clone()
        };
        let default = expiration(&unasked, &block, None)
            .map(|it| it.as_secs())
            .unwrap_or_default();
        let life = match provider.lifetime() {
            Lifetime::Chosen(Limits { min, max, .. }) => {
                format!("`expirationSeconds`, {min} to {max} s, by default {default}")
            }
            Lifetime::Offered(Limits { min, max, .. }) => {
                format!("`expirationSeconds`, {min} to {max} s; left out, the provider decides")
            }
            Lifetime::Fixed(seconds) if stated => format!("as the reply says; expected: {seconds} s"),
            Lifetime::Fixed(seconds) => format!("{seconds} s, always"),
            Lifetime::Stated | Lifetime::InBlock => "as the token says".into(),
        };
        let made = match provider.endpoint() {
            Endpoint::Local => "the operator, signed with the key".to_owned(),
            _ => "the provider, asked".to_owned(),
        };
        Self {
            label: None,
            title: provider.facts().title,
            made,
            life,
            single_use: provider.single_use(),
            subject: provider.facts().subject,
            secret_fields: provider
                .secret_fields()
                .iter()
                .map(|field| (field.key, field.env))
                .collect(),
        }
    }

    fn keys(&self) -> String {
        let keys: Vec<_> = self.secret_fields.iter().map(|(key, _)| format!("`{key}`")).collect();
        if keys.is_empty() {
            "none".into()
        } else {
            keys.join(", ")
        }
    }
}

/// The example, and what other specs of the file make beside it: kinds with another life, other keys.
fn variants(file: &Conformance) -> Vec<Variant> {
    let others = file
        .rules
        .accept
        .iter()
        .chain(file.requests.iter().map(|it| &it.spec))
        // Without its account side a spec makes nothing yet.
        .filter(|spec| spec.pointer("/credentials/providerRef").is_none());
    let default = default_kind(&file.field);
    let kind_of = |spec: &Value| {
        spec[&file.field]["kind"]
            .as_str()
            .map(str::to_owned)
            .or(default.clone())
    };
    let mut found: Vec<(&Value, Variant, Vec<String>)> = Vec::new();
    for spec in std::iter::once(&file.example).chain(others) {
        let variant = Variant::of(spec);
        let at = found.iter().position(|(_, known, _)| *known == variant);
        let at = at.unwrap_or_else(|| {
            found.push((spec, variant, Vec::new()));
            found.len() - 1
        });
        let kinds = &mut found[at].2;
        kinds.extend(kind_of(spec).filter(|kind| !kinds.contains(kind)));
    }
    let alone = found.len() == 1;
    // The kinds set the variants apart, unless one of them makes several.
    let mut every: Vec<String> = found.iter().flat_map(|(_, _, kinds)| kinds.clone()).collect();
    every.sort();
    let apart = !every.is_empty() && every.windows(2).all(|pair| pair[0] != pair[1]);
    let labelled = found.into_iter().map(|(spec, mut variant, kinds)| {
        let block = &spec[&file.field];
        variant.label = (!alone).then(|| match block["name"].as_str() {
            _ if apart => kinds
                .iter()
                .map(|kind| format!("`{kind}`"))
                .collect::<Vec<_>>()
                .join(", "),
            Some(name) => format!("`{name}`"),
            None => beside(block, &file.example[&file.field]).unwrap_or_else(|| "by default".to_owned()),
        });
        variant
    });
    labelled.collect()
}

/// What a block says that the example doesn't.
fn beside(block: &Value, example: &Value) -> Option<String> {
    let more = block.as_object()?.iter();
    let more = more.filter(|(name, _)| example.get(name.as_str()).is_none());
    let words: Vec<_> = more
        .map(|(name, value)| match value {
            Value::Object(_) | Value::Array(_) => format!("`{name}`"),
            value => format!("`{name}: {value}`"),
        })
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn default_kind(field: &str) -> Option<String> {
    let schema = Schemas::load();
    Some(
        schema.token[field]["properties"]["kind"]["default"]
            .as_str()?
            .to_owned(),
    )
}

/// The `spec.properties` of both kinds.
struct Schemas {
    token: Value,
    provider: Value,
}

impl Schemas {
    fn load() -> Self {
        let mut specs = crds().unwrap().into_iter().map(|crd| {
            let crd = serde_json::to_value(crd).unwrap();
            crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
        });
        let (token, provider) = (specs.next().unwrap(), specs.next().unwrap());
        Self {
            token: token["properties"].clone(),
            provider: provider["properties"].clone(),
        }
    }

    fn page(&self, file: &Conformance) -> String {
        let field = &file.field;
        let (block, account) = (&self.token[field], &self.provider[field]);
        let variants = variants(file);
        let title = variants[0].title;
        let about = block["description"].as_str().unwrap_or_default();
        let mut page = format!(
            "# {title}\n\n{}\n\nThe block `{field}` of a RealtimeToken. How it compares: [all providers](../providers.md).\n\n",
            cell(about).replace("\\|", "|")
        );

        page += "## The token\n\n| | Made by | Life | Shared by many readers |\n|---|---|---|---|\n";
        for variant in &variants {
            let shared = match variant.single_use {
                None => "yes".to_owned(),
                Some(why) => format!("no: {}", cell(why)),
            };
            let label = variant.label.clone().unwrap_or_default();
            page += &format!("| {label} | {} | {} | {shared} |\n", variant.made, variant.life);
        }

        page += &match variants[0].subject {
            Some(place) => format!("\nThe subject of a token on request goes into {place}.\n"),
            None => {
                format!("\n{title} has no place for the subject of a token on request: it only counts for the limit.\n")
            }
        };

        page += "\n## The key Secret\n\n";
        let mut secret_fields: Vec<_> = Vec::new();
        for field in variants.iter().flat_map(|variant| &variant.secret_fields) {
            if !secret_fields.contains(field) {
                secret_fields.push(*field);
            }
        }
        if secret_fields.is_empty() {
            page += "None.\n";
        } else {
            page += "| Key | Environment variable of `mint` |\n|---|---|\n";
            for (key, env) in &secret_fields {
                page += &format!("| `{key}` | `{env}` |\n");
            }
            page += "\n`credentials.secretRef.key` gives the first key another name.\n";
        }

        let example = example(field);
        let yaml = fs::read_to_string(root(&example)).unwrap();
        let yaml: Vec<_> = yaml.lines().filter(|line| !line.starts_with(MODELINE)).collect();
        page += &format!(
            "\n## Example\n\n[{example}](../../{example}):\n\n```yaml\n{}\n```\n",
            yaml.join("\n")
        );

        let theirs = names(account);
        page += &table("Fields", "", rows(block, &theirs));
        page += &table(
            "Fields of the account",
            "A ClusterRealtimeProvider has them; with `credentials.providerRef` a RealtimeToken has none of them.\n\n",
            rows(account, &[]),
        );

        let mut limits = rules(block);
        let about_it = block_rules().into_iter().filter(|it| it.field == *field);
        let all = about_it.flat_map(|it| it.rules.into_iter().chain(it.without_own_key));
        let messages = all.map(|(_, message)| message);
        limits.extend(messages.filter(|message| *message != exchange_message()));
        if !limits.is_empty() {
            page += "\n## What is refused\n\nThe API server says so when the manifest is applied:\n\n";
            for limit in limits {
                page += &format!("- {}\n", cell(&limit).replace("\\|", "|"));
            }
        }
        page
    }
}

fn table(title: &str, about: &str, rows: Vec<String>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let rows = rows.join("\n");
    format!("\n## {title}\n\n{about}| Field | Value | |\n|---|---|---|\n{rows}\n")
}

/// The example of a provider, from the root.
fn example(field: &str) -> String {
    let places = [
        format!("examples/providers/{field}.yaml"),
        format!("examples/{field}.yaml"),
    ];
    let found = places.iter().find(|place| root(place).exists());
    found.cloned().unwrap_or_else(|| panic!("write {}", places[0]))
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
