//! realtime-token-operator.
pub mod api;
