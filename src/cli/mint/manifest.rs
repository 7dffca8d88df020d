//! From the text of a manifest to a mint, as strict as the API server and then the operator are with it.

use kube::Resource;
use serde_json::Value;

use crate::admission::{Refusal, admit};
use crate::api::RealtimeToken;
use crate::mint::Ask;
use crate::resolve;
use crate::token::secret::template;

/// The RealtimeToken of a text, with defaults filled in; of several the one of this name.
pub(crate) fn parse(text: &str, name: Option<&str>) -> Result<RealtimeToken, String> {
    let object = chosen(documents(text)?, name)?;
    if !object.is_object() {
        return Err("is not a Kubernetes object".into());
    }
    let is = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (RealtimeToken::api_version(&()), RealtimeToken::kind(&()));
    if is("kind") != kind || is("apiVersion") != version {
        let (its_kind, its_version) = (is("kind"), is("apiVersion"));
        return Err(format!(
            "is kind {its_kind:?} of {its_version:?}; give a {kind} of {version}"
        ));
    }
    let admitted = admit(&object).map_err(|refusals| listed(&refusals))?;
    serde_json::from_value(admitted).map_err(|problem| problem.to_string())
}

/// What the spec asks for, or what the operator would say in the condition of an InvalidSpec. A cluster's
/// ClusterRealtimeProviders and their policies are not known here.
pub(super) fn ask(token: &RealtimeToken, subject: Option<&str>) -> Result<Ask, String> {
    let spec = &token.spec;
    let mut block = resolve::block_of(spec).map_err(|blocked| blocked.to_string())?;
    let expiration = resolve::expiration(spec, &block, None).map_err(|blocked| blocked.to_string())?;
    if let Some(subject) = subject {
        block.name_subject(subject)?;
    }
    let provider = block.provider();
    provider.validate().map_err(|invalid| invalid.to_string())?;
    resolve::subject::check(spec, provider, subject)?;
    if subject.is_none() && provider.uses_subject() {
        return Err("{{ subject }}: name one with --subject".into());
    }
    if let Some(problem) = provider
        .no_access_token()
        .filter(|_| spec.credentials.workload_identity.is_some())
    {
        return Err(problem.to_owned());
    }
    provider.lifetime().admit(expiration)?;
    if let Some(template) = &spec.target.template {
        template::check(&template.data, provider.published(), provider.config())
            .map_err(|problem| problem.to_string())?;
    }
    Ok(Ask {
        block,
        expiration,
        // As kubectl has it.
        namespace: token.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        subject: subject.map(str::to_owned),
        of_caller: false,
    })
}

fn listed(refusals: &[Refusal]) -> String {
    let refusals: Vec<_> = refusals.iter().map(ToString::to_string).collect();
    refusals.join("; ")
}

/// The documents of a text. JSON is tried first: not all of it is YAML.
fn documents(text: &str) -> Result<Vec<Value>, String> {
    let json = serde_json::from_str(text).ok();
    let read = serde_saphyr::from_multiple(text);
    if let Some(json) = json {
        // serde_json takes the last of two fields of one name; the API server takes neither.
        return match &read {
            Err(problem) if is_duplicate(problem) => Err(first_line(problem)),
            _ => Ok(vec![json]),
        };
    }
    let mut documents: Vec<Value> =
        read.map_err(|problem| format!("is neither YAML nor JSON: {}", first_line(&problem)))?;
    documents.retain(|document| !document.is_null());
    Ok(documents)
}

/// The one document that is meant. A manifest often has more in it: the pod that mounts the Secret, a
/// ClusterRealtimeProvider.
fn chosen(mut documents: Vec<Value>, name: Option<&str>) -> Result<Value, String> {
    if documents.len() > 1 || name.is_some() {
        let kind = Value::from(RealtimeToken::kind(&()));
        documents.retain(|document| document.get("kind") == Some(&kind));
        if documents.is_empty() {
            return Err("holds no RealtimeToken".into());
        }
    }
    let name_of = |document: &Value| document["metadata"]["name"].as_str().unwrap_or("(no name)").to_owned();
    let names: Vec<_> = documents.iter().map(name_of).collect();
    if let Some(name) = name {
        documents.retain(|document| document["metadata"]["name"] == name);
    }
    match (documents.pop(), documents.len(), name) {
        (Some(one), 0, _) => Ok(one),
        (None, _, Some(name)) => Err(format!("holds no RealtimeToken {name}; it has {}", names.join(", "))),
        (None, _, None) => Err("is empty; give one RealtimeToken".into()),
        (Some(_), others, Some(name)) => Err(format!("holds {} RealtimeTokens {name}; leave one", others + 1)),
        (Some(_), others, None) => Err(format!(
            "holds {} RealtimeTokens; choose one with --name: {}",
            others + 1,
            names.join(", ")
        )),
    }
}

fn is_duplicate(problem: &serde_saphyr::Error) -> bool {
    matches!(
        problem.without_snippet(),
        serde_saphyr::Error::DuplicateMappingKey { .. }
    )
}

/// A parser's message without the picture of the text that follows it.
fn first_line(problem: &impl std::fmt::Display) -> String {
    let text = problem.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::providers::Block;

    const HEAD: &str = "apiVersion: realtime-token.dev/v1alpha1\nkind: RealtimeToken\nmetadata: {name: voice}\n";

    fn asked(spec: &str) -> Result<Ask, String> {
        let manifest = format!("{HEAD}spec:\n  credentials: {{secretRef: {{name: key}}}}\n{spec}");
        ask(&parse(&manifest, None)?, None)
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
        let json = ask(&parse(json, None).unwrap(), None);
        let (yaml, json) = (yaml.unwrap(), json.unwrap());
        assert_eq!(yaml.expiration, SignedDuration::from_secs(600));
        let block = |ask: &Ask| serde_json::to_string(&ask.block).unwrap();
        assert_eq!(block(&yaml), block(&json));
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
        let session = Value::from(block.session.unwrap());
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
            (HEAD, "spec: Required value"),
            (
                &format!("{HEAD}spec: {{}}\n---\n{HEAD}spec: {{}}\n"),
                "holds 2 RealtimeTokens; choose one with --name: voice, voice",
            ),
            (
                "apiVersion: v1\nkind: Secret\n---\napiVersion: v1\nkind: Pod\n",
                "holds no RealtimeToken",
            ),
            (
                &format!("apiVersion: v1\nkind: Secret\n---\n{HEAD}specs: {{}}\n"),
                "unknown field \"specs\"",
            ),
            (&format!("{HEAD}specs: {{}}\n"), "unknown field \"specs\""),
        ] {
            let refused = parse(text, None).unwrap_err();
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
            assert!(refused.contains(&format!("unknown field \"{path}\";")), "{refused}");
        }
        assert!(refused("  openai: {modle: m}\n").contains("endpoint, kind, model, organization, project"));
        let labels = "  openai: {model: m}\n  target: {template: {metadata: {labels: {any: thing}}}}\n";
        assert!(asked(labels).is_ok());
    }

    /// That it is in agreement with an API server is tested on one.
    #[test]
    fn what_the_api_server_refuses() {
        for (spec, why) in [
            ("", "spec: Invalid value: set exactly one provider block"),
            ("  openai: {}\n", "spec.openai.model: Required value"),
            (
                "  openai: {model: m}\n  expirationSeconds: 9\n",
                "live 10 to 7200 seconds",
            ),
            (
                "  twilio: {identity: a}\n",
                "spec.twilio: Invalid value: twilio: set at least one grant",
            ),
            (
                "  openai: {model: m}\n  target: {template: {data: {token: x}}}\n",
                "token.json, token, expires-at, provider, request-url, request-ca.crt and request-fallback are the operator's own keys",
            ),
        ] {
            let refused = refused(spec);
            assert!(refused.contains(why), "{spec}: {refused}");
        }
    }

    #[test]
    fn what_the_operator_refuses() {
        for (spec, why) in [
            ("  openai: {model: m, session: {voice: marin}}\n", "audio.output.voice"),
            (
                "  openai: {model: m}\n  target: {template: {data: {x: '{{ tokn }}'}}}\n",
                "target.template.data[\"x\"] line 1: unknown variable",
            ),
        ] {
            let refused = refused(spec);
            assert!(refused.contains(why), "{spec}: {refused}");
        }
    }

    #[test]
    fn an_access_token_is_one_value() {
        let identity = "{serviceAccountName: s, openai: {identityProviderId: i, serviceAccountId: a}}";
        let request = "{path: /t, auth: {kind: Basic}}";
        let http = format!(
            "{{endpoint: 'https://a.example', request: {request}, ttl: {{fixedSeconds: 600}}, response: {{token: /t, expiry: \
             [{{from: Ttl}}]}}}}"
        );
        let manifest = format!("{HEAD}spec: {{credentials: {{workloadIdentity: {identity}}}, http: {http}}}\n");
        let refused = ask(&parse(&manifest, None).unwrap(), None).unwrap_err();
        assert!(refused.contains("auth.kind Basic"), "{refused}");
    }

    #[test]
    fn a_whole_number_may_have_a_fraction() {
        let asked = asked("  openai: {model: m}\n  expirationSeconds: 60.0\n").unwrap();
        assert_eq!(asked.expiration, SignedDuration::from_secs(60));
    }

    /// YAML as kubectl reads it: booleans of YAML 1.1, and no field twice.
    #[test]
    fn words_for_booleans_and_fields_that_come_twice() {
        let said = refused("  openai: {model: on}\n");
        assert!(
            said.contains("spec.openai.model in body must be of type string: \"boolean\""),
            "{said}"
        );
        assert!(asked("  openai: {model: m}\n  suspend: yes\n").is_ok());
        let said = refused("  openai: {model: m, model: n}\n");
        assert!(said.contains("duplicate"), "{said}");
        let json = r#"{"kind": "RealtimeToken", "spec": {"suspend": true, "suspend": false}}"#;
        let said = parse(json, None).unwrap_err();
        assert!(said.contains("duplicate mapping key: suspend"), "{said}");
    }

    #[test]
    fn one_of_several_by_name() {
        let spec = "spec: {credentials: {providerRef: {name: p}}, openai: {model: m}}\n";
        let one = |name: &str| HEAD.replace("voice", name) + spec;
        let both = format!("{}---\napiVersion: v1\nkind: Pod\n---\n{}", one("a"), one("b"));
        let name = |name| parse(&both, Some(name)).map(|token| token.metadata.name.unwrap());
        assert_eq!(name("b"), Ok("b".to_owned()));
        assert_eq!(name("c"), Err("holds no RealtimeToken c; it has a, b".to_owned()));
        let none = parse(&both, None).unwrap_err();
        assert_eq!(none, "holds 2 RealtimeTokens; choose one with --name: a, b");
        assert_eq!(
            parse(&one("a"), Some("b")).unwrap_err(),
            "holds no RealtimeToken b; it has a"
        );
    }
}
