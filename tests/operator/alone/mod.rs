//! What can't be tried beside other tests, nor on a cluster that is somebody's: the API server is stopped, its requests
//! are counted, its CRD is loosened, the one operator is restarted. Each has a control plane of its own, and with
//! `CLUSTER` set `make test` leaves them out and says so.

mod check;
mod cost;
mod leaders;
mod meddled;
mod metrics;
mod outage;
mod process;
mod unreadable;
