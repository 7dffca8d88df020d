//! Each example on the real API server: a Secret, one renewal when it is asked for, and no mint beyond these.

use std::collections::BTreeMap;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use testkit::conformance::Conformance;
use testkit::wait;

use super::Cell;
use crate::world::{Case, DEADLINE, annotation, outlive_the_interval};

/// Brings all examples through two tokens, side by side.
pub async fn all(case: &Case<'_>, files: &[Conformance]) -> BTreeMap<String, Cell> {
    let twice = join_all(files.iter().map(|file| twice(case, file))).await;
    case.settle().await;
    let cells = files.iter().zip(twice).map(|(file, twice)| {
        let cell = twice.and_then(|calls| {
            let calls_now = file.calls(&case.world.standin).len();
            match calls_now == calls {
                true => Ok("2 tokens".to_owned()),
                false => Err(format!("{calls_now} calls in the end, {calls} after two mints")),
            }
        });
        (file.field.clone(), cell)
    });
    cells.collect()
}

/// The first token and the next one. Gives the number of calls that they took.
async fn twice(case: &Case<'_>, file: &Conformance) -> Result<usize, String> {
    let standin = &case.world.standin;
    let field = file.field.to_lowercase();
    let (name, key) = (&format!("token-{field}"), format!("key-{field}"));
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": key}, "stringData": file.secret});
    let applied = PatchParams::apply("test").force();
    let (secrets, secret) = (case.secrets(), Patch::Apply(&secret));
    let put = secrets.patch(&key, &applied, &secret).await;
    put.map_err(|problem| format!("key: {problem}"))?;

    let spec = file.spec_at(standin, &key);
    let created = case.try_create(name, spec).await;
    created.map_err(|problem| format!("create: {problem}"))?;
    let first = revision(case, name, 1).await?;
    let calls = file.calls(standin).len();
    if (calls > 0) != file.is_asked() {
        return Err(format!("{calls} calls for the first token"));
    }
    handed_out(case, file, &first)?;

    outlive_the_interval(&first).await;
    let asked = json!({"metadata": {"annotations": {"realtime-token.dev/renew-requested-at": "once"}}});
    case.patch(name, asked).await;
    let second = revision(case, name, 2).await?;
    handed_out(case, file, &second)?;
    if text(&first, "token") == text(&second, "token") {
        return Err("the second token is the first one".into());
    }
    if file.calls(standin).len() != 2 * calls {
        let now = file.calls(standin).len();
        return Err(format!("{calls} calls for the first token, {now} for both"));
    }
    Ok(2 * calls)
}

async fn revision(case: &Case<'_>, name: &str, number: i64) -> Result<Secret, String> {
    let fits = |secret: &Secret| annotation(secret, "revision") == Some(&number.to_string());
    match wait::object_when(&case.secrets(), name, DEADLINE, fits).await {
        Ok(secret) => Ok(secret),
        Err(_) => {
            let status = case.tokens().get(name).await.map(|token| token.status);
            let complaints = case.world.standin.complaints();
            Err(format!(
                "no token number {number}: {status:?}; the stand-in complains: {complaints:?}"
            ))
        }
    }
}

/// The Secret agrees with itself, and holds what the stand-in handed out.
fn handed_out(case: &Case<'_>, file: &Conformance, secret: &Secret) -> Result<(), String> {
    let json: serde_json::Value =
        serde_json::from_str(&text(secret, "token.json")).map_err(|problem| format!("token.json: {problem}"))?;
    let (token, ends) = (text(secret, "token"), text(secret, "expires-at"));
    if json["token"] != token || json["provider"] != text(secret, "provider") || token.is_empty() {
        return Err("the keys of the Secret disagree".into());
    }
    let ends: Timestamp = ends.parse().map_err(|problem| format!("expires-at: {problem}"))?;
    if ends < Timestamp::now() || json["expiresAt"] != ends.as_millisecond() {
        return Err(format!("expires at {ends}"));
    }
    let issued = |call: testkit::standin::Call| call.token.is_some_and(|own| token.contains(&own));
    if file.is_asked() && !file.calls(&case.world.standin).into_iter().any(issued) {
        return Err("the Secret holds another token than the stand-in gave".into());
    }
    Ok(())
}

fn text(secret: &Secret, key: &str) -> String {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    value.map_or_else(String::new, |value| String::from_utf8_lossy(&value.0).into_owned())
}
