//! Documentation: what it links to is there, and what it says of the providers is what the code says.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

mod fields;
mod layers;
mod links;
mod one_file;
mod providers;
