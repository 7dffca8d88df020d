//! What kube-proxy does for one Service, in this process: kube-proxy itself would write the firewall rules of the machine.
//! Connections to the Service's address and ports go to its ready pods, in turn.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::{
    api::core::v1::{Pod, Service, ServicePort},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{Api, Client, api::ListParams};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Forwards until it is dropped.
pub struct ServiceProxy {
    address: IpAddr,
    _listeners: JoinSet<()>,
}

/// The pods behind the Service.
struct Endpoints {
    pods: Api<Pod>,
    selector: ListParams,
    turn: AtomicUsize,
}

impl ServiceProxy {
    /// Listens at every port of a Service that has an address of the test node's range.
    pub async fn start(client: &Client, namespace: &str, name: &str) -> Result<Self> {
        let service = Api::<Service>::namespaced(client.clone(), namespace).get(name).await?;
        let spec = service.spec.context("a Service without a spec")?;
        let address: IpAddr = spec.cluster_ip.context("a Service without an address")?.parse()?;
        let endpoints = Arc::new(Endpoints {
            pods: Api::namespaced(client.clone(), namespace),
            selector: ListParams::default().labels(&labels(&spec.selector.unwrap_or_default())),
            turn: AtomicUsize::new(0),
        });
        let mut listeners = JoinSet::new();
        for port in spec.ports.unwrap_or_default() {
            let at = SocketAddr::new(address, u16::try_from(port.port)?);
            let listener = TcpListener::bind(at).await.with_context(|| format!("listen on {at}"))?;
            listeners.spawn(forward(listener, Arc::clone(&endpoints), port));
        }
        Ok(Self {
            address,
            _listeners: listeners,
        })
    }

    /// The Service's address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }
}

async fn forward(listener: TcpListener, endpoints: Arc<Endpoints>, port: ServicePort) {
    let mut connections = JoinSet::new();
    while let Ok((mut incoming, _)) = listener.accept().await {
        let (endpoints, port) = (Arc::clone(&endpoints), port.clone());
        connections.spawn(async move {
            // Without a ready pod the connection is closed, as kube-proxy rejects it.
            let to = endpoints.next(&port).await?;
            let mut outgoing = TcpStream::connect(to).await?;
            copy_bidirectional(&mut incoming, &mut outgoing).await?;
            anyhow::Ok(())
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Endpoints {
    async fn next(&self, port: &ServicePort) -> Result<SocketAddr> {
        let pods = self.pods.list(&self.selector).await?.items;
        let ready: Vec<SocketAddr> = pods.iter().filter_map(|pod| endpoint(pod, port)).collect();
        ensure!(!ready.is_empty(), "no pod is ready");
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        Ok(ready[turn % ready.len()])
    }
}

/// Where a pod serves this port of the Service, if it is ready and to stay.
fn endpoint(pod: &Pod, port: &ServicePort) -> Option<SocketAddr> {
    let status = pod.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    let is_ready = conditions.any(|it| it.type_ == "Ready" && it.status == "True");
    if !is_ready || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let number = match port.target_port.as_ref()? {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            ports.find(|it| it.name.as_ref() == Some(name))?.container_port
        }
    };
    let address: IpAddr = status.pod_ip.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(address, u16::try_from(number).ok()?))
}

fn labels(selector: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}
