//! The gauge of the requests' serving certificate. It appears once one is loaded: 0 would look like one that has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use super::Metrics;

/// When the serving certificate ends, in seconds since the epoch; 0 while there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct NotAfter(Arc<AtomicI64>);

impl Metrics {
    /// A serving certificate was loaded that ends at this time.
    pub(crate) fn serving_certificate_ends(&self, at: Timestamp) {
        self.certificate.0.store(at.as_second(), Ordering::Relaxed);
    }
}

impl Collector for NotAfter {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let not_after = self.0.load(Ordering::Relaxed);
        if not_after == 0 {
            return Ok(());
        }
        let gauge = ConstGauge::new(not_after);
        let help = "When the serving certificate of the requests' server ends, in seconds since the epoch.";
        let name = "requests_certificate_not_after_seconds";
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
    }
}
