//! Which labels and annotations a RealtimeToken's template may give its Secret.
//!
//! Controllers trust Secrets by their labels: Helm takes one with `owner=helm` for a release, Argo CD one with
//! `argocd.argoproj.io/secret-type` for a cluster's credentials, a sidecar of Grafana one with `grafana_dashboard` for a
//! dashboard. Users who may create RealtimeTokens need no right on Secrets, so only keys that are listed are written.

use std::fmt;

use crate::api::{Reason, Target, TemplateMetadata};
use crate::token::Blocked;

/// The keys that are listed: `team`, `example.com/team`, or each key of a domain, `example.com/*`.
#[derive(Clone, Debug)]
pub struct MetadataPolicy {
    keys: Vec<String>,
    domains: Vec<String>,
}

/// An entry that is neither a key nor a domain.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is neither the key of a label or annotation, such as team or example.com/team, nor a domain's, such as example.com/*"
)]
pub struct InvalidKey(String);

impl MetadataPolicy {
    /// What is listed unless the platform team says otherwise: common keys that no known controller goes by.
    pub const COMMON: [&str; 5] = ["app", "component", "environment", "team", "tier"];

    /// Reads the list. Empty entries are left out: an empty variable of the environment yields one.
    ///
    /// # Errors
    /// The first entry that is neither a key nor a domain.
    pub fn parse<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Result<Self, InvalidKey> {
        let mut policy = Self {
            keys: Vec::new(),
            domains: Vec::new(),
        };
        for entry in entries {
            let entry = entry.as_ref().trim();
            let is_name =
                |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            match entry.split_once('/') {
                None if entry.is_empty() => {}
                None if is_name(entry) => policy.keys.push(entry.to_owned()),
                Some((domain, "*")) if is_name(domain) => policy.domains.push(domain.to_owned()),
                Some((domain, name)) if is_name(domain) && is_name(name) => policy.keys.push(entry.to_owned()),
                _ => return Err(InvalidKey(entry.to_owned())),
            }
        }
        Ok(policy)
    }

    fn allows(&self, key: &str) -> bool {
        let domain = key.split_once('/').map(|(domain, _)| domain);
        self.keys.iter().any(|listed| listed == key) || domain.is_some_and(|it| self.domains.iter().any(|d| d == it))
    }

    /// Whether the Secret of a target may be written as the spec wants it.
    pub(super) fn check(&self, target: &Target) -> Result<(), Blocked> {
        let metadata = target.template.as_ref().and_then(|template| template.metadata.as_ref());
        let Some(TemplateMetadata { labels, annotations }) = metadata else {
            return Ok(());
        };
        for (field, keys) in [("labels", labels), ("annotations", annotations)] {
            if let Some(key) = keys.keys().find(|key| !self.allows(key)) {
                let key: String = key.chars().take(317).collect();
                return Err(Blocked::new(
                    Reason::TargetNotAllowed,
                    format!(
                        "target.template.metadata.{field}: {key} is not among the keys that the operator writes, {self}: \
                         other controllers trust Secrets by their labels and annotations. Remove it, or ask the platform \
                         team to add it to --allow-secret-metadata"
                    ),
                ));
            }
        }
        Ok(())
    }
}

impl Default for MetadataPolicy {
    fn default() -> Self {
        Self {
            keys: Self::COMMON.map(str::to_owned).to_vec(),
            domains: Vec::new(),
        }
    }
}

impl fmt::Display for MetadataPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domains = self.domains.iter().map(|domain| format!("{domain}/*"));
        let all: Vec<String> = self.keys.iter().cloned().chain(domains).collect();
        f.write_str(&if all.is_empty() {
            "none".to_owned()
        } else {
            all.join(", ")
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(entries: &[&str]) -> MetadataPolicy {
        MetadataPolicy::parse(entries).unwrap()
    }

    #[test]
    fn only_listed_keys_are_written() {
        let listed = policy(&["team", "example.com/tier", "reloader.example/*", " "]);
        for (key, allowed) in [
            ("team", true),
            ("teams", false),
            ("owner", false),
            ("grafana_dashboard", false),
            ("example.com/tier", true),
            ("example.com/other", false),
            ("example.com/", false),
            ("sub.example.com/tier", false),
            ("reloader.example/match", true),
            ("reloader.example/*", true),
            ("reloader.example", false),
            ("sub.reloader.example/match", false),
            ("argocd.argoproj.io/secret-type", false),
        ] {
            for field in ["labels", "annotations"] {
                let target = json!({"template": {"metadata": {field: {(key): "v"}}}});
                let target: Target = serde_json::from_value(target).unwrap();
                let answer = listed.check(&target);
                assert_eq!(answer.is_ok(), allowed, "{field} {key}");
                if let Err(blocked) = answer {
                    assert_eq!(blocked.reason, Reason::TargetNotAllowed);
                    let says = format!("target.template.metadata.{field}: {key} is not among");
                    assert!(blocked.message.starts_with(&says), "{}", blocked.message);
                    assert!(blocked.message.contains("team, example.com/tier, reloader.example/*"));
                }
            }
        }
        assert!(MetadataPolicy::default().check(&Target::default()).is_ok());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for wrong in ["*", "a b", "/x", "x/", "a/b/c", "*/x", "a.*/x", "x/y*", "a,b"] {
            assert!(MetadataPolicy::parse([wrong]).is_err(), "{wrong}");
        }
    }
}
