//! Subcommands that need no controller.

pub mod admission;
pub mod check;
pub mod mint;
