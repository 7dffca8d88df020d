//! Subcommands that need no controller.

pub mod mint;
