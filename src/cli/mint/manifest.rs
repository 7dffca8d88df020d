//! From the text of a manifest to a mint, as strict as the API server where it matters here: field
//! names, types, ranges and lengths from the CRD's own schema, and the CEL rules about the provider block.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::{CustomResourceExt, Resource};
use serde_json::Value;

use crate::api::{RealtimeToken, RealtimeTokenSpec};
use crate::mint::Ask;
use crate::resolve;

pub(super) fn parse(text: &str) -> Result<RealtimeTokenSpec, String> {
    let mut document = document(text)?;
    let Value::Object(top) = &mut document else {
        return Err("is not a Kubernetes object".into());
    };

    let is = |field: &str| top.get(field).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (RealtimeToken::api_version(&()), RealtimeToken::kind(&()));
    if is("kind") != kind || is("apiVersion") != version {
        let (its_kind, its_version) = (is("kind"), is("apiVersion"));
        return Err(format!(
            "is kind {its_kind:?} of {its_version:?}; give a {kind} of {version}"
        ));
    }
    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
    if let Some(unknown) = top.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("unknown field {unknown}"));
    }
    let mut spec = top.remove("spec").ok_or("has no spec")?;
    hold_against(&mut spec, &schema().ok_or("the CRD has no schema for spec")?, "spec")?;
    serde_json::from_value(spec).map_err(|problem| format!("spec: {problem}"))
}

/// What the spec asks for, without a cluster's ClusterRealtimeProviders and their policies.
pub(super) fn ask(spec: &RealtimeTokenSpec) -> Result<Ask, String> {
    let block = resolve::block_of(spec).map_err(|blocked| blocked.to_string())?;
    let credentials = &spec.credentials;
    let sources = [
        credentials.secret_ref.is_some(),
        credentials.provider_ref.is_some(),
        credentials.workload_identity.is_some(),
    ];
    if sources.into_iter().filter(|is_set| *is_set).count() != 1 {
        return Err(
            "set exactly one of credentials.secretRef, credentials.providerRef and credentials.workloadIdentity".into(),
        );
    }
    if block.has_account() && credentials.provider_ref.is_some() {
        return Err(
            "region, account and endpoint come from the ClusterRealtimeProvider when credentials.providerRef \
                    is set; remove them"
                .into(),
        );
    }
    let expiration = resolve::expiration(spec, &block, None).map_err(|blocked| blocked.to_string())?;
    let provider = block.provider();
    provider.lifetime().admit(expiration)?;
    provider.validate().map_err(|invalid| invalid.to_string())?;
    Ok(Ask { block, expiration })
}

/// The one document of a text. JSON is tried first: not all of it is YAML.
fn document(text: &str) -> Result<Value, String> {
    if let Ok(json) = serde_json::from_str(text) {
        return Ok(json);
    }
    let mut documents: Vec<Value> = serde_saphyr::from_multiple(text)
        .map_err(|problem| format!("is neither YAML nor JSON: {}", first_line(&problem)))?;
    // A manifest often has more in it: the pod that mounts the Secret, a ClusterRealtimeProvider.
    documents.retain(|document| !document.is_null());
    let several = documents.len() > 1;
    if several {
        let kind = Value::from(RealtimeToken::kind(&()));
        documents.retain(|document| document.get("kind") == Some(&kind));
    }
    match (documents.pop(), documents.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) if several => Err("holds no RealtimeToken".into()),
        (None, _) => Err("is empty; give one RealtimeToken".into()),
        (Some(_), others) => Err(format!("holds {} RealtimeTokens; give one", others + 1)),
    }
}

/// A parser's message without the picture of the text that follows it.
fn first_line(problem: &impl std::fmt::Display) -> String {
    let text = problem.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// The schema of `spec`, as the API server gets it.
fn schema() -> Option<JSONSchemaProps> {
    let version = RealtimeToken::crd().spec.versions.into_iter().next()?;
    version.schema?.open_api_v3_schema?.properties?.remove("spec")
}

/// Refuses what the schema doesn't know or allow, and drops nulls as the API server does. Types, enums and required
/// fields are left to serde, which knows them too.
fn hold_against(value: &mut Value, schema: &JSONSchemaProps, path: &str) -> Result<(), String> {
    if schema.x_kubernetes_preserve_unknown_fields == Some(true) {
        return Ok(());
    }
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            let outside = |count: i64| fields.len() as i64 > count;
            if schema.max_properties.is_some_and(outside) {
                return Err(format!(
                    "{path}: at most {} entries",
                    schema.max_properties.unwrap_or_default()
                ));
            }
            let any = match &schema.additional_properties {
                Some(JSONSchemaPropsOrBool::Schema(schema)) => Some(schema.as_ref()),
                _ => None,
            };
            for (key, value) in fields {
                let path = format!("{path}.{key}");
                let known = schema.properties.as_ref().and_then(|known| known.get(key));
                let Some(schema) = known.or(any) else {
                    let known: Vec<_> = schema
                        .properties
                        .iter()
                        .flat_map(|known| known.keys().cloned())
                        .collect();
                    return Err(format!("unknown field {path}; known here are {}", known.join(", ")));
                };
                hold_against(value, schema, &path)?;
            }
        }
        Value::Array(items) => {
            if let Some(JSONSchemaPropsOrArray::Schema(schema)) = &schema.items {
                for (index, item) in items.iter_mut().enumerate() {
                    hold_against(item, schema, &format!("{path}[{index}]"))?;
                }
            }
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            let (min, max) = (schema.minimum.unwrap_or(f64::MIN), schema.maximum.unwrap_or(f64::MAX));
            if !(min..=max).contains(&number) {
                return Err(format!("{path}: {number} is outside of {min} to {max}"));
            }
        }
        Value::String(text) => {
            let length = text.chars().count() as i64;
            let (min, max) = (schema.min_length.unwrap_or(0), schema.max_length.unwrap_or(i64::MAX));
            if !(min..=max).contains(&length) {
                return Err(format!("{path}: {length} characters, where {min} to {max} are allowed"));
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::providers::Block;

    const HEAD: &str = "apiVersion: realtime-token.dev/v1alpha1\nkind: RealtimeToken\nmetadata: {name: voice}\n";

    fn asked(spec: &str) -> Result<Ask, String> {
        ask(&parse(&format!(
            "{HEAD}spec:\n  credentials: {{secretRef: {{name: key}}}}\n{spec}"
        ))?)
    }

    fn refused(spec: &str) -> String {
        asked(spec).unwrap_err()
    }

    #[test]
    fn yaml_and_json_say_the_same() {
        let yaml = asked(
            "  expirationSeconds: 600\n  openai:\n    model: gpt-realtime-2.1\n    session:\n      instructions: |\n        Be \
             brief.\n      audio: {output: {voice: marin, speed: 1.25}}\n      tools: []\n",
        );
        let json = r#"{"apiVersion":"realtime-token.dev/v1alpha1","kind":"RealtimeToken","metadata":{"name":"voice"},
            "spec":{"credentials":{"secretRef":{"name":"key"}},"expirationSeconds":600,"openai":{"model":"gpt-realtime-2.1",
            "session":{"instructions":"Be brief.\n","audio":{"output":{"voice":"marin","speed":1.25}},"tools":[]}}}}"#;
        let json = ask(&parse(json).unwrap());
        let (yaml, json) = (yaml.unwrap(), json.unwrap());
        assert_eq!(yaml.expiration, SignedDuration::from_secs(600));
        assert_eq!(format!("{yaml:?}"), format!("{json:?}"));
    }

    #[test]
    fn defaults_and_nulls() {
        let ask = asked(
            "  openai: {model: m, kind: null, session: }\n  expirationSeconds:\n  elevenlabs: null\n  renewal:\n",
        )
        .unwrap();
        assert_eq!(ask.expiration, SignedDuration::from_secs(1800));
        let ask = asked("  elevenlabs: {agentId: agent_1}\n").unwrap();
        assert_eq!(ask.expiration, SignedDuration::from_secs(900));
    }

    #[test]
    fn a_session_is_passed_through_with_its_nulls_and_unknowns() {
        let ask = asked("  openai: {model: m, session: {audio: {input: {turn_detection: null}}, brandNew: {x: 1}}}\n");
        let Block::OpenAi(block) = ask.unwrap().block else {
            panic!()
        };
        let session = Value::Object(block.session.unwrap());
        assert_eq!(
            session.to_string(),
            r#"{"audio":{"input":{"turn_detection":null}},"brandNew":{"x":1}}"#
        );
    }

    #[test]
    fn one_realtime_token() {
        for (text, why) in [
            ("", "is empty"),
            ("---\n---\n", "is empty"),
            ("just text", "not a Kubernetes object"),
            ("[1, 2]", "not a Kubernetes object"),
            ("a: [", "neither YAML nor JSON"),
            ("apiVersion: v1\nkind: Secret\n", "is kind \"Secret\" of \"v1\""),
            (
                "apiVersion: realtime-token.dev/v1\nkind: RealtimeToken\n",
                "give a RealtimeToken of realtime-token.dev/v1alpha1",
            ),
            (
                "apiVersion: realtime-token.dev/v1alpha1\nkind: ClusterRealtimeProvider\n",
                "give a RealtimeToken",
            ),
            (HEAD, "has no spec"),
            (
                &format!("{HEAD}spec: {{}}\n---\n{HEAD}spec: {{}}\n"),
                "holds 2 RealtimeTokens",
            ),
            (
                "apiVersion: v1\nkind: Secret\n---\napiVersion: v1\nkind: Pod\n",
                "holds no RealtimeToken",
            ),
            (
                &format!("apiVersion: v1\nkind: Secret\n---\n{HEAD}specs: {{}}\n"),
                "unknown field specs",
            ),
            (&format!("{HEAD}specs: {{}}\n"), "unknown field specs"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn unknown_fields_are_named_with_their_path() {
        for (spec, path) in [
            ("  openai: {modle: m}\n", "spec.openai.modle"),
            (
                "  openai: {model: m}\n  expirationSecond: 60\n",
                "spec.expirationSecond",
            ),
            (
                "  openai: {model: m}\n  target: {template: {metadata: {label: {}}}}\n",
                "spec.target.template.metadata.label",
            ),
            (
                "  elevenlabs: {agentId: a, include_conversation_id: true}\n",
                "spec.elevenlabs.include_conversation_id",
            ),
        ] {
            let refused = refused(spec);
            assert!(refused.contains(&format!("unknown field {path};")), "{refused}");
        }
        assert!(refused("  openai: {modle: m}\n").contains("endpoint, kind, model, organization, project"));
        let labels = "  openai: {model: m}\n  target: {template: {metadata: {labels: {any: thing}}}}\n";
        assert!(asked(labels).is_ok());
    }

    #[test]
    fn what_the_api_server_refuses() {
        for (spec, why) in [
            ("", "exactly one provider block"),
            (
                "  openai: {model: m}\n  elevenlabs: {agentId: a}\n",
                "exactly one provider block",
            ),
            ("  openai: {}\n", "missing field `model`"),
            ("  openai: {model: ''}\n", "spec.openai.model: 0 characters"),
            ("  openai: {model: m, kind: Text}\n", "unknown variant `Text`"),
            ("  openai: {model: m}\n  expirationSeconds: 9\n", "10 to 7200"),
            ("  openai: {model: m}\n  expirationSeconds: 7201\n", "10 to 7200"),
            (
                "  openai: {model: m}\n  expirationSeconds: 0\n",
                "spec.expirationSeconds: 0 is outside of 1 to",
            ),
            ("  openai: {model: m}\n  expirationSeconds: '60'\n", "expected i64"),
            (
                "  openai: {model: m}\n  renewal: {renewBeforePercentage: 91}\n",
                "spec.renewal.renewBeforePercentage: 91",
            ),
            ("  openai: {model: m, session: {voice: marin}}\n", "audio.output.voice"),
            (
                "  elevenlabs: {agentId: a}\n  expirationSeconds: 900\n",
                "remove the field",
            ),
            (
                "  elevenlabs: {agentId: a, participantName: Bob}\n",
                "ConversationToken",
            ),
        ] {
            let refused = refused(spec);
            assert!(refused.contains(why), "{spec}: {refused}");
        }
    }

    #[test]
    fn credentials_are_one_of_three() {
        let with = |credentials: &str, openai: &str| {
            ask(&parse(&format!(
                "{HEAD}spec: {{credentials: {credentials}, openai: {openai}}}\n"
            ))
            .unwrap())
        };
        assert!(with("{providerRef: {name: p}}", "{model: m}").is_ok());
        let identity =
            "workloadIdentity: {serviceAccountName: v, openai: {identityProviderId: i, serviceAccountId: s}}";
        assert!(with(&format!("{{{identity}}}"), "{model: m}").is_ok());
        let two = format!("{{{identity}, secretRef: {{name: s}}}}");
        for neither_or_both in ["{}", "{providerRef: {name: p}, secretRef: {name: s}}", &two] {
            assert!(
                with(neither_or_both, "{model: m}")
                    .unwrap_err()
                    .contains("exactly one of credentials")
            );
        }
        let own_account = with("{providerRef: {name: p}}", "{model: m, region: EU}").unwrap_err();
        assert!(
            own_account.contains("come from the ClusterRealtimeProvider"),
            "{own_account}"
        );
    }
}
