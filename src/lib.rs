//! realtime-token-operator.
pub mod api;
pub mod providers;
pub mod token;
