//! realtime-token-operator: mints ephemeral tokens of realtime AI providers into Kubernetes Secrets, in time.
//!
//! The state of one token is one value. A pure function turns it and an event into the next state and an effect; all I/O
//! is outside of that function.
//!
//! | module | owns |
//! |---|---|
//! | [`api`] | the contract: both kinds, status, conditions, CEL rules; beside each provider block its facts, stated once |
//! | [`token`] | the life of one token, without I/O: `token::Lifecycle`, decisions, schedule, backoffs, status, Secret |
//! | [`resolve`] | spec, account and policy -> what to ask of whom with which key, or why not; without I/O |
//! | [`providers`] | the trait, the list, and one small file for each provider |
//! | [`mint`] | the call to the provider: HTTP client, endpoint policy, access tokens, replies, expiry, refusals, scrubbing, signing |
//! | `budget` | per credential: rate, concurrency, limits, outages, the verdict on the key, whose slot is next; wakes its queue |
//! | [`cluster`] | Kubernetes I/O: every user of the API client, the watches included |
//! | [`issuer`] | asks a provider with the credential that a spec names, within its budget; shared by all who mint |
//! | [`controller`] | reconcile: look, step, report the status, perform the effect |
//! | [`requests`] | tokens on request over HTTPS, in every replica: who asks, whether they may, pools, limits |
//! | [`local`] | one RealtimeToken without a cluster: the same lifecycle, files and requests on a laptop or a VM |
//! | [`leader`] | leader election: a pure step on the Lease, and its loop |
//! | [`metrics`], [`server`], [`health`], [`telemetry`] | what Prometheus, probes and people see |
//! | [`admission`] | validates an object by the CRDs' schema and CEL rules |
//! | [`process`] | what the process asks of the kernel: memory that others can't read, enough open files |
//! | [`config`], [`cli`] | the command line, validated; the subcommands without a controller |
//! | [`clock`] | the only reader of the wall clock |
//! | `text` | what others wrote, escaped for messages |
//! | `template` | MiniJinja as `target.template`, `http` and `jwt` use it |
//! | `testing`, `fuzz` | in tests only: the Kubernetes API and a provider in memory; what holds of any bytes that others send |
//!
//! The way of the data, for one RealtimeToken:
//!
//! ```text
//! cluster::watch ─► controller::look     the spec, the Secret's metadata, the key's revision, now
//!                ─► token::Lifecycle     Event × Observation -> Effect, situation
//!                ─► controller::report   the status if it differs, Events, metrics
//!                ─► wait, or controller::mint (issuer, budget, mint, providers), or controller::write (cluster::target);
//!                   its end is the next Event
//! ```
//!
//! What a module may import is held by a test, `tests/docs/layers.rs`.

pub mod admission;
pub mod api;
mod budget;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod controller;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod health;
pub mod issuer;
pub mod leader;
pub mod local;
pub mod metrics;
pub mod mint;
pub mod process;
pub mod providers;
pub mod requests;
pub mod resolve;
pub mod server;
pub mod telemetry;
mod template;
#[cfg(test)]
mod testing;
pub mod text;
pub mod token;
