//! What came of a scenario, and whether that is what it promises.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::ListParams;
use realtime_token_operator::api::RealtimeToken;
use testkit::cluster::RequestCounts;
use testkit::pod::Pod;
use testkit::{standin, wait};

use super::{Expected, KEY, World};
use crate::observer::{end_of, has, is_ready};

impl World {
    /// Waits until every token is alive and every status says what is true.
    pub async fn converged(&self, within: Duration) {
        let names = self.names();
        let what = format!("{}: a fleet at rest", self.setup.name);
        wait::until(&what, within, async || self.at_rest(&names).await.map(Some))
            .await
            .unwrap();
    }

    async fn at_rest(&self, names: &[String]) -> anyhow::Result<()> {
        let tokens = self.tokens().list(&ListParams::default()).await?;
        let tokens: BTreeMap<String, RealtimeToken> = tokens.into_iter().map(|it| (it.name_any(), it)).collect();
        let secrets = self.secrets().list(&ListParams::default()).await?;
        let secrets: BTreeMap<String, Secret> = secrets.into_iter().map(|it| (it.name_any(), it)).collect();
        let now = Timestamp::now();
        for name in names {
            let Some(token) = tokens.get(name) else {
                anyhow::bail!("no RealtimeToken {name}")
            };
            let Some(status) = &token.status else {
                anyhow::bail!("{name} has no status")
            };
            let Some(end) = secrets.get(name).and_then(end_of) else {
                anyhow::bail!("{name} has no token")
            };
            let left = end.duration_since(now).as_secs();
            anyhow::ensure!(left >= self.setup.floor, "{name}: {left} s left");
            let until = status.usable_until.as_ref().map(|until| until.0);
            anyhow::ensure!(
                until == Some(end),
                "{name}: the status says {until:?}, the Secret {end}"
            );
            let due = status.renewal_time.as_ref().map(|time| time.0);
            anyhow::ensure!(due > Some(now), "{name} was due at {due:?}");
            let rests = is_ready(status) && has(status, "Renewing", "False") && status.failed_mint_attempts.is_none();
            anyhow::ensure!(rests, "{name}: {:?}", status.conditions);
            anyhow::ensure!(
                status.observed_generation == token.metadata.generation,
                "{name}: a status of an older spec"
            );
        }
        Ok(())
    }

    /// Mints of each token of the fleet that came before they can have been due.
    pub fn extra_mints(&self) -> BTreeMap<String, usize> {
        let due_after = self.setup.due_after();
        let too_soon = |(name, mut mints): (String, Vec<standin::Mint>)| {
            mints.sort_by_key(|mint| mint.at);
            let early = mints
                .windows(2)
                .filter(|pair| pair[1].time.duration_since(pair[0].time) < due_after);
            (name, early.count())
        };
        let fleet = self.names();
        let of_fleet = |(name, _): &(String, Vec<standin::Mint>)| fleet.contains(name);
        let all = self.standin.mints().into_iter().filter(of_fleet).map(too_soon);
        all.filter(|(_, early)| *early > 0).collect()
    }

    pub fn requests(&self) -> RequestCounts {
        self.api.requests()
    }

    /// What the replicas may ask about the Lease while nothing disturbs: the leader renews it and the others read it, each
    /// once in two seconds.
    fn lease_pace(&self) -> u64 {
        match self.setup.replicas {
            1 => 0, // runs without a Lease
            replicas => replicas as u64 * (self.started.elapsed().as_secs() / 2 + 1),
        }
    }

    /// What was written to an object of this kind, or tried.
    pub fn writes(&self, resource: &str, subresource: &str) -> u64 {
        let write = ["POST", "PUT", "PATCH", "APPLY", "DELETE"];
        self.requests()
            .sum(|it| it.resource == resource && it.subresource == subresource && write.contains(&&*it.verb))
    }

    /// Holds what a scenario promises; prints what it showed.
    pub async fn finish(&self, expected: &Expected) {
        let healed = Instant::now();
        self.converged(expected.converged).await;
        let took = healed.elapsed();
        let seen = self.observer.seen();
        let least = seen.values().filter_map(|seen| seen.least_left).min();
        let least = least.map_or(0, |left| left.as_secs());
        let claim = seen.values().map(|seen| seen.false_claim).max().unwrap_or_default();
        let requests = self.requests();
        let asked = requests.sum(|it| it.resource != "leases");
        let of_leases = requests.sum(|it| it.resource == "leases");
        let leases_allowed = self.lease_pace() + expected.lease_requests;
        let extra = self.extra_mints();
        let extra_sum: usize = extra.values().sum();
        let restarts: usize = self.pods.iter().map(Pod::restarts).sum();
        let mints: usize = self.standin.mints().values().map(Vec::len).sum();
        let name = self.setup.name;
        println!(
            "{name}: converged after {:.1} s (of {:?}), {mints} mints, {extra_sum} early (of {}), {asked} requests (of {}), \
             {of_leases} for the Lease (of {leases_allowed}), least life {least} s (of {}), false claims {:.0} s (of {:?}), {restarts} restarts (of {})",
            took.as_secs_f64(),
            expected.converged,
            expected.extra_mints,
            expected.requests,
            expected.floor,
            claim.as_secs_f64(),
            expected.false_claim,
            expected.restarts,
        );
        let seed = self.seed;
        let again = format!("{name}, FAULTS_SEED={seed}");
        assert!(
            extra_sum <= expected.extra_mints,
            "{again}: mints before they were due: {extra:?}"
        );
        assert!(asked <= expected.requests, "{again}: {asked} requests:\n{requests}");
        assert!(
            of_leases <= leases_allowed,
            "{again}: {of_leases} requests for the Lease where {leases_allowed} are allowed:\n{requests}"
        );
        assert!(least >= expected.floor, "{again}: {least} s left at least: {seen:#?}");
        assert!(
            claim <= expected.false_claim,
            "{again}: Ready=True without a token for {claim:?}: {seen:#?}"
        );
        assert!(
            restarts <= expected.restarts,
            "{again}: {restarts} restarts:\n{}",
            self.log_tail()
        );
        if !expected.refusals {
            assert_eq!(self.standin.complaints(), [""; 0], "{again}");
        }
        let tokens = self.standin.issued();
        for pod in &self.pods {
            let logs = pod.logs();
            assert!(
                !tokens.iter().any(|token| logs.contains(token)),
                "{again}: a token is in the logs"
            );
            assert!(!logs.contains(KEY), "{again}: the key is in the logs");
        }
    }

    pub fn log_tail(&self) -> String {
        let tail = |pod: &Pod| {
            let logs = pod.logs();
            let lines: Vec<&str> = logs.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        };
        self.pods.iter().map(tail).collect::<Vec<_>>().join("\n---\n")
    }

    /// Which pods lead now.
    pub async fn leaders(&self) -> Vec<usize> {
        let mut leaders = Vec::new();
        for (nth, pod) in self.pods.iter().enumerate() {
            if pod.leads().await {
                leaders.push(nth);
            }
        }
        leaders
    }
}
