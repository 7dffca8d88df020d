//! What the chart's roles allow the operator, beside what the operator asks for.

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject};
use kube::{Api, Client, ResourceExt};
use testkit::cluster::Audited;

/// One verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// Of a Role; a ClusterRole is for all.
    pub namespace: Option<String>,
    pub verb: String,
    pub group: String,
    pub resource: String,
    /// Where the rule is for objects of certain names only.
    pub name: Option<String>,
}

impl Grant {
    fn allows(&self, request: &Audited) -> bool {
        request.verb == self.verb
            && request.group == self.group
            && request.resource == self.resource
            && self.namespace.as_ref().is_none_or(|it| *it == request.namespace)
            && self.name.as_ref().is_none_or(|it| *it == request.name)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.namespace.as_deref().unwrap_or("all namespaces");
        let dot = if self.group.is_empty() { "" } else { "." };
        write!(f, "{} {}{dot}{}", self.verb, self.resource, self.group)?;
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        write!(f, " in {place}")
    }
}

/// Everything that a service account was granted by name.
pub async fn granted(client: &Client, namespace: &str, account: &str) -> BTreeSet<Grant> {
    let of_account = |subjects: &Option<Vec<Subject>>| {
        subjects.iter().flatten().any(|subject| {
            subject.kind == "ServiceAccount"
                && subject.name == account
                && subject.namespace.as_deref() == Some(namespace)
        })
    };
    let mut all = BTreeSet::new();
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    for binding in bindings.list(&Default::default()).await.unwrap() {
        if of_account(&binding.subjects) {
            let roles: Api<ClusterRole> = Api::all(client.clone());
            let role = roles.get(&binding.role_ref.name).await.unwrap();
            all.extend(role.rules.iter().flatten().flat_map(|rule| expand(None, rule)));
        }
    }
    let bindings: Api<RoleBinding> = Api::all(client.clone());
    for binding in bindings.list(&Default::default()).await.unwrap() {
        if of_account(&binding.subjects) {
            let place = binding.namespace().unwrap();
            let roles: Api<Role> = Api::namespaced(client.clone(), &place);
            let role = roles.get(&binding.role_ref.name).await.unwrap();
            let rules = role.rules.iter().flatten();
            all.extend(rules.flat_map(|rule| expand(Some(&place), rule)));
        }
    }
    all
}

fn expand(namespace: Option<&str>, rule: &PolicyRule) -> Vec<Grant> {
    assert_eq!(rule.non_resource_urls, None, "paths that are no resources");
    let names: Vec<Option<String>> = match &rule.resource_names {
        Some(names) if !names.is_empty() => names.iter().cloned().map(Some).collect(),
        _ => vec![None],
    };
    let mut all = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                for part in [group, resource, verb] {
                    assert_ne!(part, "*", "a wildcard grants more than what is listed");
                }
                all.extend(names.iter().map(|name| Grant {
                    namespace: namespace.map(str::to_owned),
                    verb: verb.clone(),
                    group: group.clone(),
                    resource: resource.clone(),
                    name: name.clone(),
                }));
            }
        }
    }
    all
}

/// What no request made use of.
pub fn unused(grants: &BTreeSet<Grant>, requests: &[Audited]) -> Vec<String> {
    grants
        .iter()
        .filter(|grant| !requests.iter().any(|request| grant.allows(request)))
        .map(Grant::to_string)
        .collect()
}

/// What was asked for without a right to it.
pub fn forbidden(requests: &[Audited]) -> Vec<String> {
    requests
        .iter()
        .filter(|request| matches!(request.code, 401 | 403))
        .map(Audited::to_string)
        .collect()
}
