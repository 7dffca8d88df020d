//! What the tests, the demo and the bench share.
//!
//! | module | gives |
//! |---|---|
//! | [`build`] | the control plane's binaries: found, cached or built |
//! | [`cache`] | what is dear to make, kept for every clone on this machine |
//! | [`caller`] | an application that asks for tokens on request |
//! | [`cluster`] | a real Kubernetes API server, and what tests ask of it |
//! | [`fetch`] | a plain GET |
//! | [`front`] | TLS in front of a plain server |
//! | [`guard`] | child processes that end with this one |
//! | [`helm`] | helm 3 and helm 4 |
//! | [`helm_docs`] | the README of a chart from its values |
//! | [`conformance`] | what is tested of every provider in the same way: `tests/conformance` |
//! | [`kubectl`] | a kubectl that works |
//! | [`node`] | a Node.js with npm, new enough for the examples |
//! | [`operator`] | the operator as a process: logs, metrics, signals, memory |
//! | [`pod`] | an operator that is started again when it ends |
//! | [`ports`] | free loopback ports |
//! | [`proxy`] | a proxy that disturbs requests and connections, by rules and a seed |
//! | [`pypi`] | Python libraries that check what we made |
//! | [`seed`] | random numbers that a seed repeats |
//! | [`standin`] | the strict stand-in provider |
//! | [`wait`] | waiting with an error that says what was seen last |
//! | [`workload`] | a Deployment's container, as a process here |
//!
//! Everything listens on 127.0.0.1, and nothing outlives the process that started it, not even a killed one ([`guard`]).

pub mod bench;
pub mod build;
pub mod cache;
pub mod caller;
pub mod cluster;
pub mod conformance;
pub mod fetch;
pub mod front;
pub mod go;
pub mod guard;
pub mod helm;
pub mod helm_docs;
pub mod jq;
pub mod kubectl;
pub mod node;
pub mod operator;
pub mod pod;
pub mod ports;
pub mod proxy;
pub mod pypi;
pub mod seed;
pub mod standin;
pub mod wait;
mod wheel;
pub mod workload;
