//! Installing our CRDs.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::wait::conditions::{Condition, is_crd_established},
};

use crate::wait;

/// Applies every `*.yaml` in `folder`, in the order of their names, and waits until the API server serves them.
pub(super) async fn apply(client: Client, folder: &Path) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client);
    let mut files = Vec::new();
    for file in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        files.push(file?.path());
    }
    files.retain(|file| file.extension().is_some_and(|it| it == "yaml"));
    files.sort();
    ensure!(!files.is_empty(), "no *.yaml in {}", folder.display());

    let mut names = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        let crds: Vec<CustomResourceDefinition> =
            serde_saphyr::from_multiple(&text).with_context(|| format!("{} isn't a CRD", file.display()))?;
        for crd in crds {
            let name = crd.name_any();
            api.patch(&name, &PatchParams::apply("testkit").force(), &Patch::Apply(&crd))
                .await
                .with_context(|| format!("apply {name} of {}", file.display()))?;
            names.push(name);
        }
    }
    for name in names {
        let established = is_crd_established();
        wait::object_when(&api, &name, Duration::from_secs(30), |crd| {
            established.matches_object(Some(crd))
        })
        .await?;
    }
    Ok(())
}
