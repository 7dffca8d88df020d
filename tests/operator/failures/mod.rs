//! What goes wrong, what is said about it, and that it is over as soon as its cause is.

mod credentials;
mod refusals;
mod replies;
mod writes;
