//! What can't be tried with the operator that all tests share, nor on a cluster of a user: operators are restarted, and
//! their requests are counted by the API server's audit log. They share a second control plane, where each operator
//! looks after a namespace of its own; where the API server is stopped or a CRD is changed, a test has one for itself.
//! With `CLUSTER` set `make test` leaves them out and says so.

mod check;
mod connection;
mod cost;
mod keyless;
mod keys;
mod large;
mod leaders;
mod meddled;
mod metrics;
mod metrics_access;
pub mod mistakes;
mod mounted;
mod outage;
mod ports;
mod process;
pub mod requests;
mod storm;
mod unreadable;
