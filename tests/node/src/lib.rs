//! What the tests on a real machine share. They need root and Debian packages: `make tools` installs them.

pub mod built;
pub mod containerd;
pub mod debian;
pub mod dns;
pub mod guarantee;
pub mod image;
pub mod memory;
pub mod node;
pub mod oci;
pub mod probe;
pub mod registry;
pub mod service;
