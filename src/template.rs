//! MiniJinja with bounds, for `target.template.data` and for the placeholders of `http` and `jwt`.

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

/// Instructions that one template may execute. MiniJinja charges for data too: this is about 1.3 MB of it.
const FUEL: u64 = 20_000;

/// An environment that knows no variable but those it is given.
pub(crate) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment
}

/// What is wrong. The error's own detail may quote values, so only its kind is passed on.
pub(crate) fn problem(error: &Error) -> String {
    match error.kind() {
        ErrorKind::OutOfFuel => format!("the template runs for more than {FUEL} instructions"),
        kind => kind.to_string(),
    }
}
