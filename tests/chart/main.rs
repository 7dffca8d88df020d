//! The chart, with real helm: what it renders, and what it does on a real API server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

mod alerts;
mod alone;
mod chart;
mod crds;
mod dist;
mod docs;
mod gitops;
mod integrations;
mod metadata;
mod monitoring;
mod network;
mod notes;
mod openshift;
mod pods;
mod providers;
mod readme;
mod requests;
mod rights;
mod settings;
mod valid;
mod values;
