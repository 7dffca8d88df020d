//! Secrets of which only some of their metadata is read: of target Secrets what decisions need, of all others their
//! version. The rest is passed over as it is read.

use std::borrow::Cow;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer};

use super::Name;
use crate::token::secret::{self, SecretView};

/// A Secret's name and version, and what else is read of its metadata.
#[derive(Clone, Debug)]
pub(crate) struct PartialSecret<V> {
    meta: ObjectMeta,
    pub(super) view: V,
}

/// A target Secret.
pub(crate) type SecretMeta = PartialSecret<Arc<SecretView>>;

/// Any Secret.
pub(crate) type SecretVersion = PartialSecret<()>;

impl<V> PartialSecret<V> {
    fn new(name: String, namespace: String, resource_version: String, view: V) -> Self {
        let meta = ObjectMeta {
            name: Some(name),
            namespace: Some(namespace),
            resource_version: Some(resource_version),
            ..ObjectMeta::default()
        };
        Self { meta, view }
    }

    pub(super) fn name(&self) -> Name {
        let ObjectMeta { namespace, name, .. } = &self.meta;
        Name::new(namespace.clone().unwrap_or_default(), name.clone().unwrap_or_default())
    }
}

#[derive(Deserialize)]
struct Object<M> {
    metadata: M,
}

impl<'de> Deserialize<'de> for SecretMeta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seen = Object::<secret::Meta>::deserialize(deserializer)?.metadata;
        let view = Arc::new(SecretView::from(&seen));
        let version = view.resource_version().to_owned();
        Ok(Self::new(seen.name, seen.namespace, version, view))
    }
}

impl<'de> Deserialize<'de> for SecretVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            name: String,
            namespace: String,
            resource_version: String,
        }
        let seen = Object::<Metadata>::deserialize(deserializer)?.metadata;
        Ok(Self::new(seen.name, seen.namespace, seen.resource_version, ()))
    }
}

impl<V> Resource for PartialSecret<V> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn metadata_api() -> bool {
        true
    }

    fn kind((): &()) -> Cow<'_, str> {
        Secret::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Secret::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Secret::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Secret::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}
