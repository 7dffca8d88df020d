//! What is applied from Git stays as it is in Git, whatever the operator does.

use std::process::Command;

use serde_json::{Value, json};

use crate::world::world;

const ARGO: [&str; 2] = ["--server-side", "--field-manager=argocd-controller"];

/// Runs kubectl with a manifest: its exit code and what it said.
async fn kubectl(mut command: Command, verb: &str, flags: &[&str], manifest: &Value) -> (i32, String) {
    let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    std::fs::write(file.path(), manifest.to_string()).unwrap();
    command.arg(verb).args(flags).arg("-f").arg(file.path());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), said)
}

#[tokio::test]
async fn a_rotation_is_no_drift() {
    let world = world().await;
    let case = world.case("gitops").await;
    let manifest = |name: &str| {
        json!({
            "apiVersion": "realtime-token.dev/v1alpha1",
            "kind": "RealtimeToken",
            "metadata": {
                "name": name,
                "namespace": case.namespace.name(),
                // By these two, Argo CD and Flux know what is theirs.
                "labels": {"app.kubernetes.io/instance": "shop"},
                "annotations": {"argocd.argoproj.io/tracking-id": "shop:realtime-token.dev/RealtimeToken:x/y"},
            },
            "spec": case.openai(),
        })
    };
    let cluster = || world.cluster.kubectl().unwrap();
    let applied = [("client-side", &[][..]), ("server-side", &ARGO)];
    for (name, flags) in applied {
        let (code, said) = kubectl(cluster(), "apply", flags, &manifest(name)).await;
        assert_eq!(code, 0, "{said}");
        case.revision(name, 1).await;
        let now = json!({"realtime-token.dev/renew-requested-at": "now"});
        case.patch(name, json!({"metadata": {"annotations": now}})).await;
    }
    for (name, flags) in applied {
        case.status_when(name, |status| status.revision == Some(2)).await;
        // 1 would be a difference.
        let (code, said) = kubectl(cluster(), "diff", flags, &manifest(name)).await;
        assert_eq!((code, said.as_str()), (0, ""), "{name}");

        let metadata = case.revision(name, 2).await.metadata;
        let annotations = metadata.annotations.unwrap_or_default();
        let labels = metadata.labels.unwrap_or_default();
        assert!(!labels.contains_key("app.kubernetes.io/instance"), "{labels:?}");
        assert!(
            !annotations.contains_key("argocd.argoproj.io/tracking-id"),
            "{annotations:?}"
        );
    }
    // It does see one.
    let mut changed = manifest("server-side");
    changed["spec"]["expirationSeconds"] = json!(1200);
    let (code, said) = kubectl(cluster(), "diff", &ARGO, &changed).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("expirationSeconds: 1200"), "{said}");
}
