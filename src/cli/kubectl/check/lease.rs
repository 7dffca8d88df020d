//! Whether an operator of this cluster watches it, and which of its namespaces. With leader election a replica renews a
//! Lease every few seconds, in the cluster that it watches: a renewal that happens meanwhile is the proof, and needs no
//! comparison of two machines' clocks.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use tokio::time::Instant;

use super::{Line, logs_of};
use crate::cluster::inspect::Inspector;
use crate::cluster::{ClusterError, Name};

/// Between two looks at a Lease.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest that is waited for a renewal. By default a Lease holds for 15 s.
const MOST_PATIENCE: Duration = Duration::from_secs(60);
/// How long the Lease may have no holder: a leader that stops gives it up, and the next one takes it within seconds.
const TAKEN_WITHIN: Duration = Duration::from_secs(15);
/// Namespaces that are named; more are counted.
const MOST_NAMED: usize = 4;
/// That of `--lease-name`.
const LEASE: &str = "realtime-token-operator";

/// The settings of an operator, by the arguments and variables of its container.
struct Settings<'a> {
    deployment: &'a Deployment,
}

impl Settings<'_> {
    fn arguments(&self) -> impl Iterator<Item = &str> {
        let pod = self
            .deployment
            .spec
            .iter()
            .filter_map(|spec| spec.template.spec.as_ref());
        let containers = pod.flat_map(|pod| &pod.containers);
        containers.flat_map(|container| container.args.iter().flatten().map(String::as_str))
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let pod = self
            .deployment
            .spec
            .iter()
            .filter_map(|spec| spec.template.spec.as_ref());
        let mut variables = pod
            .flat_map(|pod| &pod.containers)
            .flat_map(|it| it.env.iter().flatten());
        variables.find(|it| it.name == name)?.value.as_deref()
    }

    /// The values of an option, which may be repeated.
    fn values(&self, option: &str, variable: &str) -> Vec<&str> {
        let mut arguments = self.arguments();
        let mut values = Vec::new();
        while let Some(argument) = arguments.next() {
            match argument.strip_prefix(option) {
                Some("") => values.extend(arguments.next()),
                Some(rest) => values.extend(rest.strip_prefix('=')),
                None => {}
            }
        }
        if values.is_empty() {
            values.extend(self.variable(variable));
        }
        values
    }

    fn elects_a_leader(&self) -> bool {
        self.arguments().any(|argument| argument == "--leader-elect") || self.variable("LEADER_ELECT") == Some("true")
    }

    fn lease(&self) -> Name {
        let namespace = self.deployment.namespace().unwrap_or_default();
        let name = self.values("--lease-name", "LEASE_NAME").pop().unwrap_or(LEASE);
        Name::new(namespace, name)
    }

    /// The namespaces that it watches, as a person reads them.
    fn watched(&self) -> String {
        let values = self.values("--watch-namespaces", "WATCH_NAMESPACES");
        let names: Vec<_> = values
            .iter()
            .flat_map(|names| names.split(','))
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        match names.as_slice() {
            [] => "all namespaces".to_owned(),
            few if few.len() <= MOST_NAMED => few.join(", "),
            many => format!("{} and {} more", many[..MOST_NAMED].join(", "), many.len() - MOST_NAMED),
        }
    }
}

/// What came of watching a Lease.
#[derive(Debug, PartialEq, Eq)]
enum Renewal {
    /// There is no Lease, or no replica holds it.
    NoHolder,
    By(String),
    /// Not for as long as the Lease holds.
    Missing(String, Duration),
    /// Not for this long, and the Lease holds for longer.
    NotSeen(String, Duration),
}

pub(super) async fn check_lease(cluster: &Inspector, deployment: &Deployment) -> Line {
    let settings = Settings { deployment };
    let lease = settings.lease();
    let verdict = match settings.elects_a_leader() {
        false => Ok("ok, by its arguments: it elects no leader, so no Lease shows that it is at work".to_owned()),
        true => match renewal(async || cluster.lease(&lease).await).await {
            Ok(renewal) => verdict(&renewal, &lease, &logs_of(deployment)),
            Err(problem) => Err(format!("unknown: Lease {lease}: {problem}")),
        },
    };
    Line {
        what: format!("watched by {}/{}", lease.namespace, deployment.name_any()),
        found: settings.watched(),
        verdict,
    }
}

fn verdict(renewal: &Renewal, lease: &Name, logs: &str) -> Result<String, String> {
    match renewal {
        Renewal::By(holder) => Ok(format!("ok: {holder} has just renewed Lease {lease}")),
        Renewal::NoHolder => Err(format!(
            "no replica holds Lease {lease} in this cluster: has its ServiceAccount the rights on Leases? {logs}"
        )),
        Renewal::Missing(holder, time) => Err(format!(
            "{holder} holds Lease {lease} and hasn't renewed it for {} s: it is gone or can't reach this API server, and \
             nothing is minted until a replica takes over: {logs}",
            time.as_secs()
        )),
        Renewal::NotSeen(holder, time) => Err(format!(
            "unknown: {holder} holds Lease {lease} and hasn't renewed it for {} s, which need not be: it holds for longer. \
             Look at its renewTime, or check again later",
            time.as_secs()
        )),
    }
}

/// Looks at the Lease until it is renewed, for as long as it holds.
async fn renewal(look: impl AsyncFn() -> Result<Option<Lease>, ClusterError>) -> Result<Renewal, ClusterError> {
    let began = Instant::now();
    let mut first = None;
    loop {
        let lease = look().await?;
        match lease.as_ref().and_then(|lease| Some((lease, holder(lease)?))) {
            Some((lease, holder)) => {
                let version = &lease.metadata.resource_version;
                let (seen, since) = first.get_or_insert_with(|| (version.clone(), Instant::now()));
                if seen != version {
                    return Ok(Renewal::By(holder));
                }
                let holds = duration(lease);
                match since.elapsed() {
                    waited if waited < holds.min(MOST_PATIENCE) => {}
                    _ if holds > MOST_PATIENCE => return Ok(Renewal::NotSeen(holder, MOST_PATIENCE)),
                    _ => return Ok(Renewal::Missing(holder, holds)),
                }
            }
            None if began.elapsed() > TAKEN_WITHIN => return Ok(Renewal::NoHolder),
            None => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn holder(lease: &Lease) -> Option<String> {
    let holder = lease.spec.as_ref()?.holder_identity.clone()?;
    Some(holder).filter(|holder| !holder.is_empty())
}

/// How long the Lease holds.
fn duration(lease: &Lease) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    Duration::from_secs(seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(args: &Value, env: &Value) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "operator", "namespace": "platform"},
            "spec": {
                "selector": {},
                "template": {"spec": {"containers": [{"name": "operator", "args": args, "env": env}]}},
            },
        }))
        .unwrap()
    }

    #[test]
    fn settings_come_from_arguments_or_else_variables() {
        for (args, env, watched, lease) in [
            (json!(["run"]), json!([]), "all namespaces", None),
            (
                json!([
                    "run",
                    "--watch-namespaces=apps,shop",
                    "--leader-elect",
                    "--lease-name=rto"
                ]),
                json!([]),
                "apps, shop",
                Some("platform/rto"),
            ),
            (
                json!(["--watch-namespaces", "a", "--watch-namespaces", "b", "--leader-elect"]),
                json!([{"name": "WATCH_NAMESPACES", "value": "other"}]),
                "a, b",
                Some("platform/realtime-token-operator"),
            ),
            (
                json!(["--watch-namespaces=a,b,c,d,e,f"]),
                json!([{"name": "LEADER_ELECT", "value": "true"}, {"name": "LEASE_NAME", "value": "rto"}]),
                "a, b, c, d and 2 more",
                Some("platform/rto"),
            ),
            (
                json!([]),
                json!([{"name": "WATCH_NAMESPACES", "value": "shop"}, {"name": "LEADER_ELECT", "value": "false"}]),
                "shop",
                None,
            ),
        ] {
            let deployment = deployment(&args, &env);
            let settings = Settings {
                deployment: &deployment,
            };
            assert_eq!(settings.watched(), watched);
            let found = settings.elects_a_leader().then(|| settings.lease().to_string());
            assert_eq!(found.as_deref(), lease, "{args}");
        }
    }

    #[test]
    fn a_verdict_names_the_holder_and_the_logs() {
        let verdict = |renewal| verdict(&renewal, &Name::new("platform", "rto"), "kubectl logs");
        assert_eq!(
            verdict(Renewal::By("pod-a".to_owned())),
            Ok("ok: pod-a has just renewed Lease platform/rto".to_owned())
        );
        let missing = Renewal::Missing("pod-a".to_owned(), Duration::from_secs(15));
        let missing = verdict(missing).unwrap_err();
        assert!(
            missing.starts_with("pod-a holds Lease platform/rto and hasn't renewed it for 15 s: "),
            "{missing}"
        );
        let not_seen = verdict(Renewal::NotSeen("pod-a".to_owned(), MOST_PATIENCE)).unwrap_err();
        assert!(
            not_seen.starts_with("unknown: pod-a holds Lease platform/rto"),
            "{not_seen}"
        );
        for wrong in [missing, verdict(Renewal::NoHolder).unwrap_err()] {
            assert!(wrong.ends_with("kubectl logs"), "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_is_waited_for_as_long_as_it_may_take() {
        let lease = |holder: &str, seconds: i32, version: u64| -> Lease {
            serde_json::from_value(json!({
                "metadata": {"resourceVersion": version.to_string()},
                "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds},
            }))
            .unwrap()
        };
        let renewed_after =
            |after: u64, seconds: i32| move |passed: u64| Some(lease("pod-a", seconds, u64::from(passed >= after)));
        let taken_after =
            |after: u64| move |passed: u64| Some(lease(if passed < after { "" } else { "pod-b" }, 15, passed));
        let missing = Renewal::Missing("pod-a".to_owned(), Duration::from_secs(15));
        let not_seen = Renewal::NotSeen("pod-a".to_owned(), Duration::from_secs(60));
        let by = |holder: &str| Renewal::By(holder.to_owned());
        type Seen = Box<dyn Fn(u64) -> Option<Lease>>;
        let cases: [(Seen, Renewal, u64); 7] = [
            (Box::new(renewed_after(10, 15)), by("pod-a"), 10),
            (Box::new(renewed_after(20, 15)), missing, 15),
            (Box::new(renewed_after(59, 3600)), by("pod-a"), 59),
            (Box::new(renewed_after(61, 3600)), not_seen, 60),
            (Box::new(taken_after(14)), by("pod-b"), 15),
            (Box::new(taken_after(17)), Renewal::NoHolder, 15),
            (Box::new(|_| None), Renewal::NoHolder, 15),
        ];
        for (nth, (seen, expected, seconds)) in cases.into_iter().enumerate() {
            let began = Instant::now();
            let found = renewal(async || Ok(seen(began.elapsed().as_secs()))).await.unwrap();
            assert_eq!((found, began.elapsed().as_secs()), (expected, seconds), "case {nth}");
        }
    }

    #[test]
    fn a_lease_says_how_long_it_holds() {
        for (seconds, holds) in [(json!(15), 15), (json!(3600), 3600), (json!(null), 0), (json!(-1), 0)] {
            let lease = serde_json::from_value(json!({"spec": {"leaseDurationSeconds": seconds}})).unwrap();
            assert_eq!(duration(&lease), Duration::from_secs(holds));
        }
    }
}
