//! Specs that the API server can't see through: a condition says what is wrong, and nothing is asked of the provider.

use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::wait::conditions::is_crd_established;
use kube::{Api, ResourceExt};
use realtime_token_operator::api::RealtimeToken;
use serde_json::{Value, json};
use testkit::wait;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::world::{Case, SOON, World, holds, world};

fn with(case: &Case<'_>, pointer: &str, value: Value) -> Value {
    let mut spec = case.openai();
    let mut place = &mut spec;
    for name in pointer.split('.') {
        place = &mut place[name];
    }
    *place = value;
    spec
}

#[tokio::test]
async fn a_session_or_template_that_cannot_be_asked_for() {
    let case = world().await.case("invalid").await;
    let session = |session: Value| with(&case, "openai.session", session);
    let template = |text: &str| with(&case, "target.template.data", json!({"out": text}));
    let mut transcription = session(json!({"model": "m"}));
    transcription["openai"]["kind"] = json!("Transcription");
    let mut translation = session(json!({"type": "realtime"}));
    translation["openai"]["kind"] = json!("Translation");
    let rows = [
        (
            session(json!({"instructions": "x".repeat(48 * 1024)})),
            "openai.session: takes 49171 bytes as JSON where 49152 are allowed; shorten it",
        ),
        (
            session(
                json!({"tools": [{"type": "mcp", "server_url": "https://x", "authorization": "Bearer canary"}]}),
            ),
            "openai.session.tools[0]: must not hold \"authorization\": what a client secret carries can be read by its holder. Connect to the tool from your own server instead",
        ),
        (
            session(
                json!({"tools": [{"type": "function", "name": "f"}, {"type": "mcp", "Headers": {"x": "canary"}}]}),
            ),
            "openai.session.tools[1]: must not hold \"Headers\": what a client secret carries can be read by its holder. Connect to the tool from your own server instead",
        ),
        (
            session(json!({"tools": {"type": "mcp"}})),
            "openai.session.tools: must be a list",
        ),
        (
            session(json!({"voice": "marin"})),
            "openai.session.voice: the voice is set in openai.session.audio.output.voice; move it there",
        ),
        (
            session(json!({"temperature": 0.8})),
            "openai.session.temperature: OpenAI removed it from Realtime; remove it",
        ),
        (
            session(json!({"type": "transcription"})),
            "openai.session.type: is filled in as \"realtime\", from openai.kind and openai.model; remove it here",
        ),
        (
            session(json!({"model": "gpt-realtime"})),
            "openai.session.model: is filled in as \"gpt-realtime-2.1\", from openai.kind and openai.model; remove it here",
        ),
        (
            transcription,
            "openai.session.model: a transcription has its model in openai.model; remove it here",
        ),
        (
            translation,
            "openai.session.type: a translation has none; remove it",
        ),
        (
            template("TOKEN={{ token }}\nX={{ token "),
            "target.template.data[\"out\"] line 2: syntax error",
        ),
        (
            template("{{ tokn }}"),
            "target.template.data[\"out\"] line 1: unknown variable; there are token, provider, expiresAt, expiresAtRfc3339 and config",
        ),
        (
            template("{{ config.model.name }}"),
            "target.template.data[\"out\"] line 1: unknown variable; there are token, provider, expiresAt, expiresAtRfc3339 and config",
        ),
        (
            template("{% for x in range(100000) %}{{ x }}{% endfor %}"),
            "target.template.data[\"out\"] line 1: ",
        ),
    ];
    for (number, (spec, _)) in rows.iter().enumerate() {
        case.create(&format!("t{number}"), spec.clone()).await;
    }
    for (number, (_, expected)) in rows.iter().enumerate() {
        let name = format!("t{number}");
        let message = case.condition(&name, "Ready", "False", "InvalidSpec").await;
        let fits =
            message == *expected || expected.ends_with(": ") && message.starts_with(expected);
        assert!(fits, "{name}: {message}\nexpected: {expected}");
        assert!(!message.contains("canary"), "{message}");
        case.condition(&name, "Renewing", "True", "InvalidSpec")
            .await;
    }
    case.event("t0", "InvalidSpec").await;
    assert_eq!(case.calls().len(), 0, "an invalid spec costs no call");
    assert_eq!(case.secrets().get_opt("t0").await.unwrap(), None);
}

#[tokio::test]
async fn an_invalid_spec_is_mended_at_once_and_keeps_the_old_token_meanwhile() {
    let case = world().await.case("mended").await;
    let brief = json!({"instructions": "Be brief."});
    case.create("voice", with(&case, "openai.session", brief))
        .await;
    case.revision("voice", 1).await;
    let voice = |voice: Value| json!({"spec": {"openai": {"session": {"voice": voice}}}});
    case.patch("voice", voice(json!("marin"))).await;
    let status = case
        .status_when("voice", |s| holds(s, "Renewing", "True", "InvalidSpec"))
        .await;
    assert!(
        holds(&status, "Ready", "True", "Issued"),
        "the old token is as good as before"
    );
    case.patch("voice", voice(Value::Null)).await;
    let status = case
        .status_when("voice", |s| s.observed_generation == Some(3))
        .await;
    assert!(holds(&status, "Renewing", "False", "AwaitingRenewal"));
    case.settle().await;
    assert_eq!(
        case.calls().len(),
        1,
        "it asks for the same token as before"
    );
}

/// What a newer or looser CRD lets pass and this operator can't read costs nobody else anything, and says so itself.
#[tokio::test]
async fn an_object_that_cannot_be_read_says_so_and_holds_up_nobody() {
    let world = World::own(&[]).await;
    let case = world.case("unreadable").await;
    case.create("before", case.openai()).await;
    case.revision("before", 1).await;
    loosen_the_crd(&case).await;

    let api = Api::<DynamicObject>::namespaced_with(
        case.namespace.client(),
        case.namespace.name(),
        &ApiResource::erase::<RealtimeToken>(&()),
    );
    // The API server takes a moment to serve the looser schema.
    let odd = json!({"openai": {"model": 5}, "credentials": {"secretRef": {"name": "openai"}}});
    wait::until("the looser schema", SOON, async || {
        let object = json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": "odd"}, "spec": odd,
        });
        let object: DynamicObject = serde_json::from_value(object)?;
        api.create(&kube::api::PostParams::default(), &object).await?;
        Ok(Some(()))
    })
    .await
    .unwrap();

    let condition = |object: &DynamicObject, type_: &str| {
        let conditions = object.data["status"]["conditions"].as_array().cloned();
        let mut conditions = conditions.unwrap_or_default().into_iter();
        conditions.find(|condition| condition["type"] == type_)
    };
    let seen = wait::object_when(&api, "odd", SOON, |object: &DynamicObject| {
        condition(object, "Ready").is_some()
    })
    .await
    .unwrap();
    let ready = condition(&seen, "Ready").unwrap();
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("False"), &json!("InvalidSpec"))
    );
    let message = ready["message"].as_str().unwrap();
    assert!(
        message.contains("integer `5`, expected a string") && message.contains("kubectl explain"),
        "{message}"
    );
    case.event("odd", "InvalidSpec").await;

    // Others go on, old ones and new ones, also after a restart with the odd one in the list.
    case.create("after", case.openai()).await;
    case.revision("after", 1).await;
    let version = api.get("odd").await.unwrap().resource_version();
    world.restart().await;
    case.create("later", case.openai()).await;
    case.revision("later", 1).await;
    assert_eq!(case.calls().len(), 3);
    assert_eq!(
        api.get("odd").await.unwrap().resource_version(),
        version,
        "said once is enough"
    );

    // Mended, it is served like any other.
    let mended = json!({"spec": {"openai": case.openai()["openai"]}});
    api.patch("odd", &PatchParams::default(), &Patch::Merge(&mended))
        .await
        .unwrap();
    case.condition("odd", "Ready", "True", "Issued").await;
}

async fn loosen_the_crd(case: &Case<'_>) {
    let crds: Api<CustomResourceDefinition> = Api::all(case.namespace.client());
    let name = "realtimetokens.realtime-token.dev";
    let mut crd = serde_json::to_value(crds.get(name).await.unwrap()).unwrap();
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["spec"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    schema
        .as_object_mut()
        .unwrap()
        .remove("x-kubernetes-validations");
    let crd: CustomResourceDefinition = serde_json::from_value(crd).unwrap();
    crds.replace(name, &kube::api::PostParams::default(), &crd)
        .await
        .unwrap();
    let established = is_crd_established();
    wait::object_when(&crds, name, SOON, |crd| {
        kube::runtime::wait::Condition::matches_object(&established, Some(crd))
    })
    .await
    .unwrap();
}
