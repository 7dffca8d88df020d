//! What a Secret's metadata should be, whichever token the Secret holds.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::annotations::{MANAGED_BY, MANAGER, NAME};
use crate::api::{DeletionPolicy, Target};
use crate::token::hash;

/// The parts of a Secret that don't come from the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretMetadata {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// Hash of these and of the deletion policy.
    pub(crate) hash: String,
}

/// The labels and annotations that the spec asks for, and our own labels.
pub(crate) fn desired_metadata(token_name: &str, target: &Target) -> SecretMetadata {
    let template = target
        .template
        .as_ref()
        .and_then(|template| template.metadata.clone())
        .unwrap_or_default();
    let mut labels = template.labels;
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels.insert(NAME.to_owned(), token_name.to_owned());
    let policy = match target.deletion_policy {
        DeletionPolicy::Delete => "Delete",
        DeletionPolicy::Retain => "Retain",
    };
    // Maps of strings: serde_json can't fail on them.
    let hash = serde_json::to_vec(&(&labels, &template.annotations, policy)).unwrap_or_default();
    SecretMetadata {
        labels,
        annotations: template.annotations,
        hash: hash::short(&hash),
    }
}

/// The Secret's owners with this RealtimeToken among them, or without it.
pub(crate) fn owners(others: &[OwnerReference], ours: Option<OwnerReference>) -> Vec<OwnerReference> {
    others
        .iter()
        .filter(|owner| owner.controller != Some(true))
        .cloned()
        .chain(ours)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{Template, TemplateMetadata};

    fn target(template: serde_json::Value) -> Target {
        serde_json::from_value(json!({"template": template})).unwrap()
    }

    #[test]
    fn our_labels_stand_whatever_the_template_says() {
        let labels = json!({(MANAGED_BY): "Helm", (NAME): "other", "team": "a"});
        let desired = desired_metadata(
            "voice",
            &target(json!({"metadata": {"labels": labels, "annotations": {"b": "c"}}})),
        );
        assert_eq!(desired.labels[MANAGED_BY], MANAGER);
        assert_eq!(desired.labels[NAME], "voice");
        assert_eq!(desired.labels["team"], "a");
        assert_eq!(desired.annotations, BTreeMap::from([("b".into(), "c".into())]));
    }

    #[test]
    fn it_changes_with_labels_annotations_and_policy_alone() {
        let base = target(json!({"metadata": {"labels": {"a": "b"}}, "data": {"k": "v"}}));
        let hash = |change: &dyn Fn(&mut Target, &mut TemplateMetadata)| {
            let mut target = base.clone();
            let template = target.template.as_mut().unwrap();
            let mut metadata = template.metadata.take().unwrap();
            change(&mut target, &mut metadata);
            target.template.get_or_insert_default().metadata = Some(metadata);
            desired_metadata("voice", &target).hash
        };
        let same = hash(&|_, _| {});
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let others = [
            desired_metadata("other", &base).hash,
            hash(&|_, m| m.labels.clear()),
            hash(&|_, m| m.labels.extend([pair("a", "c")])),
            hash(&|_, m| m.labels.extend([pair("x", "y")])),
            hash(&|_, m| m.annotations.extend([pair("x", "y")])),
            hash(&|_, m| m.annotations = std::mem::take(&mut m.labels)), // moved, not the same
            hash(&|t, _| t.deletion_policy = DeletionPolicy::Retain),
        ];
        let different: std::collections::BTreeSet<_> = others.iter().chain([&same]).collect();
        assert_eq!(different.len(), 8, "{others:?}");
        assert_eq!(hash(&|t, _| t.name = Some("elsewhere".into())), same);
        assert_eq!(hash(&|t, _| t.template = Some(Template::default())), same);
        let (empty, none) = (target(json!({})), Target::default());
        assert_eq!(desired_metadata("voice", &empty), desired_metadata("voice", &none));
    }
}
