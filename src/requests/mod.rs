//! Tokens on request over HTTPS.

pub mod certificate;
