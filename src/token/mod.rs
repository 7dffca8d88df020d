//! The life of a token, without I/O: what is known of it, what to do next, and what its status says.
//!
//! A reconcile looks and gets an [`Observation`]; [`Lifecycle::step`] turns it, and every later [`Event`], into an
//! [`Effect`]; `report` turns what is known into the status. No Kubernetes client, no HTTP, no async, and time is an
//! argument: a test holds these files to that.

pub mod backoff;
pub mod decide;
pub mod hash;
pub mod lifecycle;
mod minted;
mod observation;
pub mod report;
pub(crate) mod resource_version;
pub mod schedule;
pub mod secret;

pub use self::decide::Trigger;
pub use self::lifecycle::{Effect, Event, Lifecycle};
pub use self::minted::{MintError, Minted, UnstoredToken};
pub use self::observation::{Blocked, MintInputs, Observation};

#[cfg(test)]
pub(crate) mod fixtures;
