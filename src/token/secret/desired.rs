//! What a Secret's metadata should be, whichever token the Secret holds.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::annotations::{CONNECTION, CONTENT, MANAGED_BY, MANAGER, METADATA_HASH, NAME};
use crate::api::{DeletionPolicy, Target, TargetContent};
use crate::token::hash;

/// The parts of a Secret that don't come from the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretMetadata {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// Whether a token stands beside the connection.
    pub(crate) content: TargetContent,
    /// Where tokens on request are asked for.
    pub(crate) connection: BTreeMap<String, ByteString>,
    /// Hash of these and of the deletion policy.
    pub(crate) hash: String,
}

impl SecretMetadata {
    /// The annotations of the template, and our own of these.
    pub(crate) fn all_annotations(&self) -> BTreeMap<String, String> {
        let mut all = self.annotations.clone();
        all.insert(METADATA_HASH.to_owned(), self.hash.clone());
        if self.content == TargetContent::Connection {
            all.insert(CONTENT.to_owned(), CONNECTION.to_owned());
        }
        all
    }
}

/// The labels and annotations that the spec asks for, our own labels, and the connection.
pub(crate) fn desired_metadata(
    token_name: &str,
    target: &Target,
    connection: BTreeMap<String, ByteString>,
) -> SecretMetadata {
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
    let content = target.content;
    // Maps of strings: serde_json can't fail on them. Where no tokens are handed out on request the hash is that of the
    // versions before, so that an update of the operator writes no Secret.
    let hash = match (content, connection.is_empty()) {
        (TargetContent::Token, true) => serde_json::to_vec(&(&labels, &template.annotations, policy)),
        _ => serde_json::to_vec(&(&labels, &template.annotations, policy, content, &connection)),
    };
    SecretMetadata {
        labels,
        annotations: template.annotations,
        content,
        connection,
        hash: hash::short(&hash.unwrap_or_default()),
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
    use crate::api::TemplateMetadata;

    fn none() -> BTreeMap<String, ByteString> {
        BTreeMap::new()
    }

    fn target(template: serde_json::Value) -> Target {
        serde_json::from_value(json!({"template": template})).unwrap()
    }

    #[test]
    fn our_labels_stand_whatever_the_template_says() {
        let labels = json!({(MANAGED_BY): "Helm", (NAME): "other", "team": "a"});
        let desired = desired_metadata(
            "voice",
            &target(json!({"metadata": {"labels": labels, "annotations": {"b": "c"}}})),
            none(),
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
            desired_metadata("voice", &target, none()).hash
        };
        let same = hash(&|_, _| {});
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let others = [
            desired_metadata("other", &base, none()).hash,
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
        assert_eq!(hash(&|t, _| t.template = Some(Box::default())), same);
        let (empty, none) = (target(json!({})), Target::default());
        assert_eq!(
            desired_metadata("voice", &empty, BTreeMap::new()),
            desired_metadata("voice", &none, BTreeMap::new())
        );
    }

    /// An update of the operator would write every Secret otherwise.
    #[test]
    fn without_tokens_on_request_the_hash_is_that_of_the_versions_before() {
        assert_eq!(
            desired_metadata("voice", &Target::default(), none()).hash,
            "31451c76fea75d3e"
        );
    }

    #[test]
    fn it_changes_with_url_bundle_and_content() {
        let connection = |url: &str, bundle: Option<&str>| {
            let keys = [("request-url", Some(url)), ("request-ca.crt", bundle)];
            let keys = keys.into_iter().filter_map(|(key, value)| Some((key, value?)));
            keys.map(|(key, value)| (key.to_owned(), ByteString(value.into())))
                .collect()
        };
        let token = Target::default();
        let only = Target {
            content: TargetContent::Connection,
            ..Target::default()
        };
        let all = [
            desired_metadata("voice", &token, none()),
            desired_metadata("voice", &token, connection("a", None)),
            desired_metadata("voice", &token, connection("a", Some("x"))),
            desired_metadata("voice", &token, connection("a", Some("y"))),
            desired_metadata("voice", &token, connection("b", Some("x"))),
            desired_metadata("voice", &only, connection("b", Some("x"))),
            desired_metadata("voice", &only, none()),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().map(|desired| &desired.hash).collect();
        assert_eq!(different.len(), all.len());
        let marked = |desired: &SecretMetadata| desired.all_annotations().get(CONTENT).cloned();
        assert_eq!((marked(&all[4]), marked(&all[5])), (None, Some(CONNECTION.to_owned())));
    }
}
