//! The operator's image: what is in it, how it runs, and its way through a registry.

mod contents;
mod registry;
mod release;
mod reproducible;
mod run;
