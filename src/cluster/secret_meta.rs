//! A target Secret, asked for and read as metadata only.

use std::borrow::Cow;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer};

use super::Name;
use crate::token::secret::{self, SecretView};

/// Of a Secret's metadata, what decisions need.
#[derive(Clone, Debug)]
pub(crate) struct SecretMeta {
    meta: ObjectMeta,
    pub(super) view: Arc<SecretView>,
}

impl SecretMeta {
    pub(super) fn name(&self) -> Name {
        let ObjectMeta { namespace, name, .. } = &self.meta;
        Name::new(namespace.clone().unwrap_or_default(), name.clone().unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for SecretMeta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            metadata: secret::Meta,
        }
        let seen = Object::deserialize(deserializer)?.metadata;
        let view = Arc::new(SecretView::from(&seen));
        let meta = ObjectMeta {
            name: Some(seen.name),
            namespace: Some(seen.namespace),
            resource_version: Some(view.resource_version().to_owned()),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, view })
    }
}

impl Resource for SecretMeta {
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
