//! The one Secret with the serving certificate of the requests' server: watched by name with its data, and written if it
//! is the operator's own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use secrecy::{ExposeSecret, SecretString};

use super::{ClusterError, Name, write};
use crate::health::Health;
use crate::token::secret::annotations::MANAGER;

/// How the operator knows a Secret of its own. It is not the label of target Secrets, whose watch must not see it.
const LABEL: (&str, &str) = ("app.kubernetes.io/component", "requests-certificate");
const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", MANAGER);
const TYPE: &str = "kubernetes.io/tls";

pub(crate) struct CertificateSecret {
    client: Client,
    name: Name,
}

/// The Secret as the watch has shown it.
#[derive(Clone)]
pub(crate) struct SeenSecret {
    /// Values that are no text are left out.
    pub(crate) data: BTreeMap<String, SecretString>,
    /// Whether there are no values at all.
    is_empty: bool,
    metadata: ObjectMeta,
    type_: Option<String>,
}

impl fmt::Debug for SeenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeenSecret")
            .field("keys", &self.data.keys())
            .field("resource_version", &self.metadata.resource_version)
            .finish_non_exhaustive()
    }
}

impl SeenSecret {
    /// Whether the operator may replace the data: the Secret has its label, or is empty.
    pub(crate) fn is_own(&self) -> bool {
        let label = self.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL.0));
        self.is_empty || label.is_some_and(|label| label == LABEL.1)
    }
}

impl From<Secret> for SeenSecret {
    fn from(mut secret: Secret) -> Self {
        secret.metadata.managed_fields = None;
        let data = secret.data.unwrap_or_default();
        Self {
            is_empty: data.is_empty(),
            data: data
                .into_iter()
                .filter_map(|(key, value)| Some((key, SecretString::from(String::from_utf8(value.0).ok()?))))
                .collect(),
            metadata: secret.metadata,
            type_: secret.type_,
        }
    }
}

impl CertificateSecret {
    pub(crate) fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self {
            client,
            name: Name::new(namespace, name),
        }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// The Secret at each change, `None` while it doesn't exist. Errors are retried; the stream never ends.
    pub(crate) fn watch(
        &self,
        health: &Arc<Health>,
    ) -> impl Stream<Item = Result<Option<SeenSecret>, watcher::Error>> + Send + use<> {
        super::watch::secret(&self.client, &self.name, health).map(|event| {
            let secret = event?;
            Ok(secret.map(SeenSecret::from))
        })
    }

    /// Creates or replaces the data. A [`ClusterError::Conflict`] means that the Secret is no longer as it was seen.
    pub(crate) async fn store(
        &self,
        seen: Option<&SeenSecret>,
        data: &BTreeMap<String, SecretString>,
    ) -> Result<(), ClusterError> {
        let mut metadata = seen.map(|seen| seen.metadata.clone()).unwrap_or_default();
        metadata.name = Some(self.name.name.clone());
        metadata.namespace = Some(self.name.namespace.clone());
        let labels = metadata.labels.get_or_insert_default();
        labels.extend([LABEL, PART_OF].map(|(key, value)| (key.to_owned(), value.to_owned())));
        let bytes = |value: &SecretString| ByteString(value.expose_secret().as_bytes().to_vec());
        let secret = Secret {
            metadata,
            data: Some(data.iter().map(|(key, value)| (key.clone(), bytes(value))).collect()),
            // The type of a Secret can't be changed.
            type_: seen.map_or_else(|| Some(TYPE.to_owned()), |seen| seen.type_.clone()),
            ..Secret::default()
        };
        let path = format!("/api/v1/namespaces/{}/secrets", self.name.namespace);
        let (method, path) = match seen {
            None => (http::Method::POST, format!("{path}?fieldManager={MANAGER}")),
            Some(_) => (
                http::Method::PUT,
                format!("{path}/{}?fieldManager={MANAGER}", self.name.name),
            ),
        };
        // Maps with string keys: serde_json can't fail on them.
        let body = serde_json::to_vec(&secret).unwrap_or_default();
        let written: PartialObjectMeta<Secret> = write(&self.client, method, path, "application/json", body).await?;
        drop(written);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_others_is_not_taken_for_an_empty_one() {
        let is_own = |secret: serde_json::Value| {
            let secret: Secret = serde_json::from_value(secret).unwrap();
            SeenSecret::from(secret).is_own()
        };
        let labels = serde_json::json!({"labels": {LABEL.0: LABEL.1}});
        assert!(is_own(serde_json::json!({"metadata": {}})));
        assert!(is_own(
            serde_json::json!({"metadata": labels, "data": {"tls.crt": "eA=="}})
        ));
        assert!(!is_own(
            serde_json::json!({"metadata": {}, "data": {"tls.crt": "eA=="}})
        ));
        // A value that is no UTF-8, such as that of a Java keystore.
        assert!(!is_own(
            serde_json::json!({"metadata": {}, "data": {"keystore": "/v7+7Q=="}})
        ));
    }
}
