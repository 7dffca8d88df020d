//! A failed request in one sentence for those who run the operator: what is wrong, and what to do.

use kube::runtime::watcher;

use super::ClusterError;
use super::error::NO_API_SERVER;
use crate::api::GROUP;

/// What to do about a kind that isn't served.
pub(crate) const INSTALL_CRDS: &str =
    "install the CRDs, with crds.install=true or `realtime-token-operator crd | kubectl apply --server-side -f -`";

/// A list or watch that failed, on what is called `plural` in this group.
pub(super) fn of_watch(error: &watcher::Error, group: &str, plural: &str) -> String {
    let error = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => ClusterError::from(error),
        watcher::Error::WatchError(status) => ClusterError::from(&**status),
        watcher::Error::NoResourceVersion => ClusterError::Unavailable(format!(
            "the API server's list of {plural} has no resourceVersion; is it a Kubernetes API server?"
        )),
    };
    match error {
        ClusterError::NotFound | ClusterError::Refused { code: 404, .. } if group == GROUP => not_served(plural),
        error => error.with_remedy(),
    }
}

/// A kind of ours that the API server doesn't know.
pub(crate) fn not_served(plural: &str) -> String {
    format!("the API server doesn't serve {plural} of {GROUP}/v1alpha1: {INSTALL_CRDS}")
}

impl ClusterError {
    /// The error and what those who run the operator can do about it.
    pub(crate) fn with_remedy(&self) -> String {
        let Self::Refused { code, message, .. } = self else {
            return self.to_string();
        };
        match code {
            401 => {
                "the API server doesn't accept who asks (401 Unauthorized): log in again, or have the pod restarted if \
                    its ServiceAccount was created anew"
                    .to_owned()
            }
            403 => Denied::of(message).map_or_else(|| self.to_string(), |denied| denied.sentence()),
            404 => NO_API_SERVER.to_owned(), // to a request that each answers
            _ => self.to_string(),
        }
    }
}

/// What RBAC denies, by the API server's sentence: `secrets is forbidden: User "u" cannot list resource "secrets" in API
/// group "" at the cluster scope`.
struct Denied<'a> {
    user: &'a str,
    verb: &'a str,
    resource: &'a str,
    namespace: Option<&'a str>,
}

impl<'a> Denied<'a> {
    fn of(message: &'a str) -> Option<Self> {
        let (_, rest) = message.split_once("User \"")?;
        let (user, rest) = rest.split_once("\" cannot ")?;
        let (verb, rest) = rest.split_once(" resource \"")?;
        let (resource, rest) = rest.split_once("\" in API group \"")?;
        let namespace = rest.split_once(" in the namespace \"");
        let namespace = namespace.and_then(|(_, rest)| rest.split_once('"'));
        Some(Self {
            user,
            verb,
            resource,
            namespace: namespace.map(|(name, _)| name),
        })
    }

    fn sentence(&self) -> String {
        let Self {
            user, verb, resource, ..
        } = self;
        let (place, flag) = match self.namespace {
            Some(namespace) => (format!("in namespace {namespace}"), format!(" -n {namespace}")),
            None => ("in the whole cluster".to_owned(), String::new()),
        };
        format!(
            "{user} may not {verb} {resource} {place}: {}; kubectl auth can-i {verb} {resource}{flag} --as={user} must \
             say yes",
            self.grant()
        )
    }

    /// What in the chart grants it.
    fn grant(&self) -> &'static str {
        let whole_cluster = self.namespace.is_none();
        match self.resource {
            "clusterrealtimeproviders" | "namespaces" => {
                "the chart's ClusterRole grants it with rbac.create=true and clusterProviders=true; without \
                 ClusterRealtimeProviders run with --no-cluster-providers"
            }
            "leases" => "the chart's Role in the operator's namespace grants it with rbac.create=true",
            "tokenreviews" | "subjectaccessreviews" => {
                "the chart's ClusterRole grants it with rbac.create=true and requests.enabled=true"
            }
            _ if whole_cluster => {
                "the chart's ClusterRole grants it with rbac.create=true and no watchNamespaces; with rights in some \
                 namespaces only, name them in --watch-namespaces"
            }
            _ => {
                "the chart's Role grants it with rbac.create=true, in each namespace of watchNamespaces; does the namespace exist?"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(code: u16, reason: &str, message: &str) -> watcher::Error {
        let status = json!({"status": "Failure", "code": code, "reason": reason, "message": message});
        watcher::Error::InitialListFailed(kube::Error::Api(serde_json::from_value(status).unwrap()))
    }

    fn forbidden(message: &str) -> String {
        of_watch(&refused(403, "Forbidden", message), "", "secrets")
    }

    #[test]
    fn a_missing_right_names_user_verb_resource_and_what_grants_it() {
        let everywhere = forbidden(
            r#"secrets is forbidden: User "system:serviceaccount:rto:rto" cannot list resource "secrets" in API group "" at the cluster scope"#,
        );
        let who = "system:serviceaccount:rto:rto may not list secrets in the whole cluster: the chart's ClusterRole";
        assert!(everywhere.starts_with(who), "{everywhere}");
        assert!(everywhere.contains("kubectl auth can-i list secrets --as=system:serviceaccount:rto:rto"));
        let here = forbidden(
            r#"realtimetokens.realtime-token.dev is forbidden: User "jane" cannot watch resource "realtimetokens" in API group "realtime-token.dev" in the namespace "shop""#,
        );
        assert!(here.starts_with("jane may not watch realtimetokens in namespace shop: the chart's Role"));
        assert!(here.contains("can-i watch realtimetokens -n shop --as=jane"), "{here}");
        let other = forbidden("a webhook says no");
        assert_eq!(other, "the API server refused with 403 Forbidden: a webhook says no");
    }

    #[test]
    fn a_missing_kind_of_ours_is_a_missing_crd_and_another_one_no_cluster() {
        let missing = || refused(404, "Failed to parse error data", "404 page not found\n");
        let crd = of_watch(&missing(), GROUP, "realtimetokens");
        assert_eq!(crd, not_served("realtimetokens"));
        let no_cluster = of_watch(&missing(), "", "secrets");
        assert!(
            no_cluster.contains("check the address in the kubeconfig"),
            "{no_cluster}"
        );
        let login = of_watch(&refused(401, "Unauthorized", "Unauthorized"), "", "secrets");
        assert!(login.contains("log in again"), "{login}");
    }
}
