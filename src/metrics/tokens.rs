//! The gauges of RealtimeTokens, computed at each scrape from the controller's cache. So a deleted RealtimeToken leaves
//! no series behind, and a rotation updates no gauge. A replica that stands by has no cache and exposes none of them.

mod sample;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use kube::Resource;
use kube::runtime::reflector::Store;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;

use self::sample::Sample;
use crate::api::Reason;
use crate::clock::now;
use crate::cluster::Cached;

/// The controller's cache of RealtimeTokens.
pub(crate) type TokenStore = Store<Cached>;

/// The cache that is shown: a controller's, while there is one.
pub(super) type Slot = Arc<Mutex<Option<TokenStore>>>;

/// Shows a cache until it is dropped: a replica that leads no longer must not let its series stand.
#[must_use]
pub(crate) struct Shown(Slot);

impl Shown {
    pub(super) fn new(slot: &Slot, tokens: TokenStore) -> Self {
        *slot.lock() = Some(tokens);
        Self(Arc::clone(slot))
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

#[derive(Clone)]
pub(super) struct Tokens {
    pub(super) store: Slot,
    pub(super) per_object: bool,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Collector for Tokens {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let objects = self.store.lock().as_ref().map(Store::state).unwrap_or_default();
        let now = now();
        let samples: Vec<_> = objects
            .iter()
            .map(|object| Sample::new(object.meta(), object.read().ok(), now))
            .collect();
        let mut counts = BTreeMap::new();
        for sample in &samples {
            let labels = (sample.provider, sample.ready, sample.reason.as_str());
            *counts.entry(labels).or_insert(0) += 1;
        }
        let counts = counts.into_iter().map(|((provider, ready, reason), count)| {
            let ready = if ready { "true" } else { "false" };
            let labels = [("provider", provider), ("ready", ready), ("reason", reason)];
            (labels, count)
        });
        gauge(
            &mut encoder,
            "tokens",
            "RealtimeTokens, by provider, by whether the Secret holds a token with enough life, and by what is going on.",
            counts,
        )?;
        gauge(
            &mut encoder,
            "single_reader_tokens",
            "RealtimeTokens whose Secret holds a token that suits one reader, by provider and by why.",
            single_readers(&samples),
        )?;
        match self.per_object {
            true => encode_each(&samples, &mut encoder),
            false => Ok(()),
        }
    }
}

/// The gauges with a series for each RealtimeToken.
fn encode_each(samples: &[Sample<'_>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let each = |value: fn(&Sample<'_>) -> Option<i64>| {
        samples.iter().filter_map(move |sample| {
            let labels = [("namespace", sample.namespace), ("name", sample.name)];
            value(sample).map(|value| (labels, value))
        })
    };
    gauge(
        encoder,
        "ready",
        "1 if the Secret holds a token with enough life; none while suspended.",
        each(|sample| (sample.reason != Reason::Suspended).then_some(i64::from(sample.ready))),
    )?;
    gauge(
        encoder,
        "expiration_timestamp_seconds",
        "End of the stored token's usable life, seconds since the epoch.",
        each(|sample| sample.usable_until.map(Timestamp::as_second)),
    )?;
    gauge(
        encoder,
        "renewal_timestamp_seconds",
        "When the next token is due, seconds since the epoch; none while suspended.",
        each(|sample| sample.renewal_time.map(Timestamp::as_second)),
    )?;
    let to_fix = samples.iter().filter_map(|sample| {
        let reason = sample.to_fix?.as_str();
        let labels = [
            ("namespace", sample.namespace),
            ("name", sample.name),
            ("reason", reason),
        ];
        Some((labels, 1))
    });
    gauge(
        encoder,
        "action_required",
        "1 for a RealtimeToken that stays as it is until a person changes something; none for the others.",
        to_fix,
    )
}

fn single_readers(samples: &[Sample<'_>]) -> impl Iterator<Item = ([(&'static str, &'static str); 2], i64)> {
    let mut counts = BTreeMap::new();
    for sample in samples {
        if let Some(reason) = sample.single_reader {
            *counts.entry((sample.provider, reason.as_str())).or_insert(0) += 1;
        }
    }
    let counts = counts.into_iter();
    counts.map(|((provider, reason), count)| ([("provider", provider), ("reason", reason)], count))
}

fn gauge<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl Iterator<Item = (L, i64)>,
) -> fmt::Result {
    let mut series = series.peekable();
    if series.peek().is_none() {
        return Ok(());
    }
    let mut gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in series {
        gauge.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}
