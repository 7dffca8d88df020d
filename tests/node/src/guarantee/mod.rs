//! The guarantee, measured: the operator as its chart installs it, on a real node, and pods that read what is mounted.

mod application;
mod figures;
mod setup;

pub use self::{
    application::{Application, Minted},
    figures::Figures,
    setup::{NAMESPACE, PATIENCE, RELEASE, Setup, Terms},
};
