//! The chart on a real API server: installed by real helm, and the operator run with the arguments, the environment and
//! the rights that its Deployment gives it. Each has a control plane of its own, since a chart with CRDs and
//! ClusterRoles leaves no room for a second release of itself; with `CLUSTER` set `make test` leaves them out.

mod dist;
mod first_install;
mod grants;
mod integrations;
mod keyless;
mod locked_down;
mod namespaced;
mod people;
mod policies;
mod quickstart;
mod releases;
mod requests;
mod rights;
mod runbook;
pub mod setup;
mod team;
mod tenant;
