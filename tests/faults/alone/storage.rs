//! What the API server stores goes back in time, or goes.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use testkit::wait;

use crate::world::{Expected, KEY, Setup, World};

/// etcd is restored from a snapshot that was taken before every token was renewed: resourceVersions go back, Secrets and
/// statuses hold the tokens of then. One mint each makes that good before those end.
#[tokio::test]
async fn etcd_is_restored_from_an_older_snapshot() {
    let mut world = World::start_alone(Setup::new("rollback")).await;
    world.at(10).await;
    let snapshot = world.cluster.own().snapshot_etcd().unwrap();
    let twice = |world: &World| world.standin.mints().values().all(|mints| mints.len() >= 2);
    wait::until("every token to be renewed", Duration::from_secs(100), async || {
        Ok(twice(&world).then_some(()))
    })
    .await
    .unwrap();
    world.converged(Duration::from_secs(20)).await;
    world.cluster.own().restore_etcd(&snapshot).await.unwrap();
    world.at(150).await;
    let expected = Expected {
        converged: Duration::from_secs(20),
        extra_mints: 10,
        floor: 20,
        requests: 600,
        ..Expected::default()
    };
    world.finish(&expected).await;
}

/// A namespace is deleted while its tokens are served, and made again under the same name.
#[tokio::test]
async fn a_namespace_is_deleted_and_made_again() {
    let world = World::start(Setup::new("namespace-again")).await;
    let client = world.cluster.client().await.unwrap();
    let namespaces: Api<Namespace> = Api::all(client);
    let name = world.apps.name().to_owned();
    world.at(10).await;
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
    wait::until("the namespace to be gone", Duration::from_secs(120), async || {
        Ok(namespaces.get_opt(&name).await?.is_none().then_some(()))
    })
    .await
    .unwrap();
    world.observer.forget();
    let again: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    namespaces.create(&PostParams::default(), &again).await.unwrap();
    world.put_key(KEY).await;
    for name in world.names() {
        world.create(&name).await;
    }
    world.converged(Duration::from_secs(30)).await;
    let expected = Expected {
        extra_mints: 10,
        floor: 40,
        ..Expected::default()
    };
    tokio::time::sleep(Duration::from_secs(80)).await; // a rotation of each
    world.finish(&expected).await;
}
