//! Subcommands that need no controller.

pub mod check;
pub mod endpoints;
pub mod kubectl;
pub mod mint;
