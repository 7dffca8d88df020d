//! Every request that the API server was asked, from its own audit log: who asked for what, and the answer.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;

/// Metadata only: no log of ours ever holds the data of a Secret. A watch is logged as it starts and as it ends.
pub(super) const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
";

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// Who asked; of an impersonated request, who was impersonated.
    pub user: String,
    /// As in RBAC: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The API group; empty for the core group and for paths that are no resource.
    pub group: String,
    /// As in RBAC, with the subresource: `realtimetokens/status`. Empty for paths that are no resource.
    pub resource: String,
    /// Empty for what is in no namespace, and for all namespaces at once.
    pub namespace: String,
    /// The object's name; empty for a list and for most creations.
    pub name: String,
    /// Path and query.
    pub uri: String,
    /// The HTTP status.
    pub code: u16,
}

impl fmt::Display for Audited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.verb, self.uri, self.code)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    id: String,
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(rename = "requestURI")]
    uri: String,
    #[serde(default)]
    object_ref: Option<Object>,
    #[serde(default)]
    response_status: Option<Status>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

/// The requests in a log, in the order of their answers. The last line may be half written: it is left for the next look.
pub(super) fn read(log: &Path) -> Result<Vec<Audited>> {
    let text = fs::read_to_string(log).with_context(|| format!("read {}", log.display()))?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Audited>> {
    let whole = text.rfind('\n').map(|end| &text[..end]).unwrap_or_default();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut all: Vec<Audited> = Vec::new();
    for line in whole.lines() {
        let event: Event = serde_json::from_str(line).with_context(|| format!("an audit event: {line}"))?;
        let id = event.id.clone();
        match places.get(&id) {
            Some(&place) => all[place] = audited(event),
            None => {
                places.insert(id, all.len());
                all.push(audited(event));
            }
        }
    }
    Ok(all)
}

fn audited(event: Event) -> Audited {
    let object = event.object_ref.unwrap_or_default();
    let resource = match object.subresource.as_str() {
        "" => object.resource,
        subresource => format!("{}/{subresource}", object.resource),
    };
    Audited {
        user: event.impersonated_user.unwrap_or(event.user).username,
        verb: event.verb,
        group: object.api_group,
        resource,
        namespace: object.namespace,
        name: object.name,
        uri: event.uri,
        code: event.response_status.and_then(|status| status.code).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"kind":"Event","auditID":"1","stage":"ResponseStarted","requestURI":"/api/v1/secrets?watch=1","verb":"watch","user":{"username":"eve"},"objectRef":{"resource":"secrets","apiVersion":"v1"},"responseStatus":{"code":200}}
{"kind":"Event","auditID":"2","stage":"ResponseComplete","requestURI":"/apis/realtime-token.dev/v1alpha1/namespaces/shop/realtimetokens/voice/status","verb":"patch","user":{"username":"admin"},"impersonatedUser":{"username":"bob"},"objectRef":{"resource":"realtimetokens","namespace":"shop","name":"voice","apiGroup":"realtime-token.dev","subresource":"status"},"responseStatus":{"code":403}}
{"kind":"Event","auditID":"3","stage":"ResponseComplete","requestURI":"/version","verb":"get","user":{"username":"eve"},"responseStatus":{"code":200}}
{"kind":"Event","auditID":"1","stage":"ResponseComplete","requestURI":"/api/v1/secrets?watch=1","verb":"watch","user":{"username":"eve"},"objectRef":{"resource":"secrets","apiVersion":"v1"},"responseStatus":{"code":200}}
{"kind":"Event","audi"#;

    #[test]
    fn a_request_is_one_though_it_is_logged_twice() -> Result<()> {
        let all = parse(LOG)?;
        assert_eq!(all.len(), 3);
        let patch = &all[1];
        assert_eq!(
            (&*patch.user, &*patch.resource, patch.code),
            ("bob", "realtimetokens/status", 403)
        );
        assert_eq!(all[0].to_string(), "watch /api/v1/secrets?watch=1 -> 200");
        assert_eq!(all[2].resource, "");
        Ok(())
    }

    #[test]
    fn a_broken_line_is_an_error() {
        assert!(parse("{\"kind\":\"Event\"}\n").is_err());
    }
}
