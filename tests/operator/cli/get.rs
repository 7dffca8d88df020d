//! What plain kubectl shows of RealtimeTokens, selects and waits for.

use serde_json::json;

use super::Said;
use super::kubectl::Plugin;
use crate::case::Case;
use crate::world::{holds, token_json, world};

struct Kubectl(Plugin);

impl Kubectl {
    async fn of(case: &Case<'_>) -> Self {
        Self(Plugin::of(case).await)
    }

    async fn say(&self, args: &[&str]) -> Said {
        self.0.kubectl(args).await
    }

    /// The lines that it prints where it succeeds.
    async fn lines(&self, args: &[&str]) -> Vec<String> {
        let said = self.say(args).await;
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{args:?} {said:?}");
        said.out.lines().map(str::to_owned).collect()
    }
}

/// Some that are well, one for one reader, and one without its key.
async fn three(case: &Case<'_>) {
    let mut spec = case.openai();
    case.create("single", spec.clone()).await;
    spec["credentials"] = json!({"secretRef": {"name": "nowhere"}});
    case.create("bad", spec).await;
    case.create("good", case.elevenlabs("SignedUrl")).await;
    case.condition("bad", "Ready", "False", "CredentialNotFound").await;
    for name in ["good", "single"] {
        case.condition(name, "SpecApplied", "True", "Applied").await;
    }
}

#[tokio::test]
async fn the_status_says_why_and_the_message_what_is_wrong() {
    let case = world().await.case("get").await;
    let kubectl = Kubectl::of(&case).await;
    three(&case).await;
    case.event("single", "SingleUseToken").await;

    let lines = kubectl.lines(&["get", "rtt"]).await;
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        words(&lines[0]),
        ["NAME", "READY", "STATUS", "PROVIDER", "EXPIRES", "AGE"]
    );
    assert_eq!(words(&lines[1])[..4], ["bad", "False", "CredentialNotFound", "openai"]);
    assert_eq!(words(&lines[2])[..4], ["good", "True", "Ready", "elevenlabs"]);
    assert_eq!(words(&lines[3])[..4], ["single", "True", "Ready", "openai"]);
    assert!(lines.iter().all(|line| line.len() <= 100), "{lines:#?}");

    let wide = kubectl.lines(&["get", "rtt", "-o", "wide"]).await;
    let message = wide[0].find("MESSAGE").unwrap();
    let said = |line: &str| line.get(message..).unwrap_or_default().trim().to_owned();
    assert!(said(&wide[1]).contains("nowhere"), "{wide:#?}");
    assert_eq!(
        (said(&wide[2]), said(&wide[3])),
        (String::new(), String::new()),
        "{wide:#?}"
    );
    let reader = wide[0].find("SINGLE READER").unwrap();
    assert!(wide[3][reader..].starts_with("SingleUseToken"), "{wide:#?}");
    assert!(wide[2][reader..].starts_with(' '), "{wide:#?}");
}

#[tokio::test]
async fn fields_of_status_and_credentials_select() {
    let case = world().await.case("select").await;
    let kubectl = Kubectl::of(&case).await;
    three(&case).await;
    for (selector, expected) in [
        ("status.reason=CredentialNotFound", &["bad"][..]),
        ("status.reason!=Ready,status.reason!=OnRequestOnly", &["bad"]),
        ("status.provider=openai", &["bad", "single"]),
        ("spec.credentials.secretRef.name=elevenlabs", &["good"]),
        ("spec.credentials.providerRef.name=openai", &[]),
    ] {
        let names = kubectl
            .lines(&[
                "get",
                "rtt",
                "-o",
                "jsonpath={.items[*].metadata.name}",
                "--field-selector",
                selector,
            ])
            .await;
        let names = names.join(" ");
        assert_eq!(names.split_whitespace().collect::<Vec<_>>(), expected, "{selector}");
    }
}

/// After an edit the old token is there, and Ready. Whoever waits for the new one waits for SpecApplied.
#[tokio::test]
async fn who_waits_for_an_edit_gets_the_token_of_the_new_spec() {
    let case = world().await.case("wait").await;
    let kubectl = Kubectl::of(&case).await;
    let wait = async |condition: &str, seconds: u32| {
        let (condition, timeout) = (format!("--for=condition={condition}"), format!("--timeout={seconds}s"));
        kubectl.say(&["wait", "rtt/voice", &condition, &timeout]).await.code
    };
    case.create("voice", case.openai()).await;
    assert_eq!(wait("SpecApplied", 60).await, Some(0));
    case.revision("voice", 1).await;

    case.fail(testkit::standin::Fault::status(500));
    let edit = |model: &str| json!({"spec": {"openai": {"model": model}}});
    let edited = case.patch("voice", edit("gpt-realtime-mini")).await;
    let status = case
        .status_when("voice", |status| {
            status.observed_generation == edited.metadata.generation
        })
        .await;
    assert!(holds(&status, "Ready", "True", "Issued"), "{status:?}");
    assert_eq!(wait("Ready", 60).await, Some(0), "the old token is good");
    assert_eq!(wait("SpecApplied", 1).await, Some(1), "{status:?}");

    case.heal();
    assert_eq!(wait("SpecApplied", 60).await, Some(0));
    let model = async || token_json(&case.secrets().get("voice").await.unwrap())["config"]["model"].clone();
    assert_eq!(model().await, "gpt-realtime-mini");
    // Right after the edit, when the operator may not have looked yet.
    case.patch("voice", edit("gpt-realtime-2.1")).await;
    assert_eq!(wait("SpecApplied", 60).await, Some(0));
    assert_eq!(model().await, "gpt-realtime-2.1");
}
