//! Panics of a library over damaged input, caught and made an error, without a word on standard error.
//!
//! Decoders should answer damaged bytes with an error and mostly do. Where they panic, the input is at fault and not this program.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether a panic on this thread will be caught here.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// Where the last one happened.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A panic that was caught.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the decoder panicked: {message} ({place})")]
pub struct Panicked {
    /// What it says.
    pub message: String,
    /// Line of the source.
    pub place: String,
}

/// Does something that may panic over what it is given. What it works on must not be used afterwards.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    hush();
    let before = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    outcome.map_err(|panic| Panicked {
        message: message(panic.as_ref()),
        place: PLACE.take(),
    })
}

/// What a panic says.
pub fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// Panics that will be caught are noted and not printed.
fn hush() {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if GUARDED.get() {
                let place = panic.location().map(ToString::to_string).unwrap_or_default();
                // Where the program was built is nobody's business.
                let place = place
                    .rsplit_once("/src/")
                    .map_or(place.as_str(), |(_, file)| file)
                    .to_owned();
                PLACE.replace(place);
            } else {
                loud(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::guarded;

    #[test]
    fn panic_becomes_an_error_with_its_place() {
        let found = guarded(|| -> u8 { panic!("level {}", 7) }).unwrap_err();
        assert_eq!(found.message, "level 7");
        assert!(found.place.contains("guard.rs:"), "{}", found.place);
        assert_eq!(guarded(|| 1), Ok(1));
    }
}
