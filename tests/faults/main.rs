//! Faults as a suite: the operator as a process, a real API server, and a proxy between the two that disturbs, as another
//! does before the provider. `docs/reliability.md` has what each scenario showed.
//!
//! Every scenario says how long the fleet may take to converge, how many mints beyond those due and how many requests it
//! may cost, how much life the token in a Secret keeps, and for how long a status may say more than the Secret holds.
//! All are held by [`world::World::finish`].
//!
//! `FAULTS_SEED=…` repeats the choices of a run; each prints its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

mod alone;
mod observer;
mod world;
