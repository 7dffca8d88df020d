//! The life of a token, without I/O: what is known of it, what to do next, and what its status says.
//!
//! A reconcile looks and gets an [`Observation`]; [`Lifecycle::step`] turns it, and every later [`Event`], into an
//! [`Effect`]; `report` turns what is known into the status. No Kubernetes client, no HTTP, no async, and time is an
//! argument: a test holds these files to that.

pub(crate) mod backoff;
pub(crate) mod decide;
pub(crate) mod hash;
pub(crate) mod lifecycle;
mod minted;
mod observation;
pub(crate) mod report;
pub(crate) mod resource_version;
pub(crate) mod schedule;
pub mod secret;

pub(crate) use self::decide::Trigger;
pub(crate) use self::lifecycle::{Effect, Event, Lifecycle};
pub(crate) use self::minted::UnstoredToken;
pub use self::minted::{MintError, Minted};
pub(crate) use self::observation::{Blocked, MintInputs, Observation};
pub use self::secret::Connection;

#[cfg(test)]
pub(crate) mod fixtures;
