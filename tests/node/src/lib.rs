//! What the tests on a real machine share. They need root and Debian packages: `make tools` installs them.

pub mod debian;
pub mod node;
pub mod probe;
