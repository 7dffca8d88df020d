//! MiniJinja with bounds, for `target.template.data` and for the placeholders of `http` and `jwt`.

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

/// Instructions that one template may execute. MiniJinja charges for data too: this is about 1.3 MB of it.
const FUEL: u64 = 20_000;

/// MiniJinja's compiler calls itself for every operator of an expression, so a longer one needs a larger stack.
pub(crate) const LONGEST_ON_ANY_STACK: usize = 1024;
/// Enough for thousands of operators, also in debug builds. Memory is taken only as far as it is used.
const LARGE_STACK: usize = 64 * 1024 * 1024;

/// Does the work on a stack that no template can use up; `None` if there is no memory for one.
pub(crate) fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(LARGE_STACK);
        thread.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

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
