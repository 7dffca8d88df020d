//! The scenarios. Each takes two minutes, most of it waiting, beside the others; tokens live for 130 s, are due half-way
//! and have 5 s as their floor, so that a fault of less than a minute costs no reader anything.

mod api;
mod both;
mod process;
mod provider;
mod storage;
mod tenants;
mod watches;
