//! The pods that read a Secret, and how: a mounted Secret follows each renewal, an environment variable never does.

use k8s_openapi::api::core::v1::{Pod, PodSpec, Volume};
use kube::ResourceExt;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Reader {
    pub(super) pod: String,
    pub(super) phase: String,
    pub(super) by: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) enum Way {
    /// The kubelet replaces the files after each renewal.
    Volume,
    /// A volume mounted with `subPath`: the file stays as it was when the container started.
    SubPath,
    /// The variable stays as it was when the container started.
    Environment,
}

/// The pods of these that read the Secret and have not ended, each with the worst way in which it does.
pub(super) fn readers(pods: &[Pod], secret: &str) -> Vec<Reader> {
    let phase = |pod: &Pod| {
        pod.status
            .as_ref()
            .and_then(|status| status.phase.clone())
            .unwrap_or_default()
    };
    let alive = pods
        .iter()
        .filter(|pod| !matches!(phase(pod).as_str(), "Succeeded" | "Failed"));
    let mut all: Vec<_> = alive
        .filter_map(|pod| {
            Some(Reader {
                pod: pod.name_any(),
                phase: phase(pod),
                by: way(pod.spec.as_ref()?, secret)?,
            })
        })
        .collect();
    all.sort_by(|a, b| a.pod.cmp(&b.pod));
    all
}

fn way(spec: &PodSpec, secret: &str) -> Option<Way> {
    let volumes: Vec<&str> = spec
        .volumes
        .iter()
        .flatten()
        .filter(|volume| is_of(volume, secret))
        .map(|volume| volume.name.as_str())
        .collect();
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let ways = containers.flat_map(|container| {
        let variables = container.env.iter().flatten().filter_map(|variable| {
            let reference = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
            (reference.name == secret).then_some(Way::Environment)
        });
        let all = container.env_from.iter().flatten().filter_map(|source| {
            let reference = source.secret_ref.as_ref()?;
            (reference.name == secret).then_some(Way::Environment)
        });
        let mounts = container.volume_mounts.iter().flatten().filter_map(|mount| {
            let fixed = mount.sub_path.is_some() || mount.sub_path_expr.is_some();
            let way = if fixed { Way::SubPath } else { Way::Volume };
            volumes.contains(&mount.name.as_str()).then_some(way)
        });
        variables.chain(all).chain(mounts).collect::<Vec<_>>()
    });
    ways.max()
}

fn is_of(volume: &Volume, secret: &str) -> bool {
    let direct = volume.secret.as_ref().and_then(|source| source.secret_name.as_deref());
    let projected = volume
        .projected
        .iter()
        .flat_map(|source| source.sources.iter().flatten());
    let mut projected = projected.filter_map(|source| source.secret.as_ref().map(|secret| secret.name.as_str()));
    direct == Some(secret) || projected.any(|name| name == secret)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, phase: &str, spec: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}})).unwrap()
    }

    fn mounting(volume: &Value, mount: &Value) -> Value {
        json!({"volumes": [volume], "containers": [{"name": "c", "volumeMounts": [mount]}]})
    }

    #[test]
    fn each_way_to_read_a_secret_is_found() {
        let plain = json!({"name": "t", "mountPath": "/t"});
        let volume = json!({"name": "t", "secret": {"secretName": "voice"}});
        let projected = json!({"name": "t", "projected": {"sources": [{"secret": {"name": "voice"}}]}});
        let variable = json!({"containers": [{"name": "c", "env": [
            {"name": "T", "valueFrom": {"secretKeyRef": {"name": "voice", "key": "token"}}}]}]});
        let all =
            json!({"containers": [], "initContainers": [{"name": "c", "envFrom": [{"secretRef": {"name": "voice"}}]}]});
        let sub_path = json!({"name": "t", "mountPath": "/t", "subPath": "token"});
        let other = json!({"name": "t", "secret": {"secretName": "other"}});
        let pods = [
            pod("volume", "Running", &mounting(&volume, &plain)),
            pod("projected", "Pending", &mounting(&projected, &plain)),
            pod("variable", "Running", &variable),
            pod("init", "Running", &all),
            pod("fixed", "Running", &mounting(&volume, &sub_path)),
            pod("other", "Running", &mounting(&other, &plain)),
            pod(
                "unused",
                "Running",
                &json!({"volumes": [volume], "containers": [{"name": "c"}]}),
            ),
            pod("over", "Succeeded", &mounting(&volume, &plain)),
        ];
        let found = readers(&pods, "voice");
        let found: Vec<_> = found.iter().map(|reader| (reader.pod.as_str(), reader.by)).collect();
        assert_eq!(
            found,
            [
                ("fixed", Way::SubPath),
                ("init", Way::Environment),
                ("projected", Way::Volume),
                ("variable", Way::Environment),
                ("volume", Way::Volume),
            ]
        );
    }
}
