//! The guard around every function of ours that JavaScript, the C library or librdkafka calls.
//!
//! A panic is a bug of ours, and must cost no more than the call in which it happens: unwinding out of
//! such a function would abort the process, and the service with it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Once;

use crate::stderr;

/// Does `work`; if it panics, what `instead` says of it, which gets the panic's text.
///
/// Whatever `work` was about to change is left as it stands, so callers keep to state that is whole at
/// each step, or mended by its next user.
pub fn guarded<T>(work: impl FnOnce() -> T, instead: impl FnOnce(&str) -> T) -> T {
    static HOOK: Once = Once::new();
    // The hook that Rust comes with writes to stderr by itself, which may wait.
    HOOK.call_once(|| set_hook(Box::new(|panic| stderr::error(&format!("a bug: {panic}")))));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let text = text_of(&*payload).to_owned();
        // Its destructor is anybody's, and might panic in its turn.
        std::mem::forget(payload);
        instead(&text)
    })
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_what_was_asked_for() {
        assert_eq!(guarded(|| 1, |_| 2), 1);
        let text = guarded(|| panic!("at {}", 7), str::to_owned);
        assert_eq!(text, "at 7");
    }
}
