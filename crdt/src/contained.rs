//! Running code that may panic on what others sent or on a damaged file. Such a panic is an answer, not a fault of
//! ours: it is caught here, and whoever installs a panic hook can tell by [`is_contained`] that nobody need be told.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Runs `f`, and answers with the text of its panic if it did not return. What `f` may have left half done is the
/// caller's to drop.
///
/// # Errors
/// What it panicked with; empty where that is no text.
pub fn contained<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    let _inside = Inside::enter();
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| text(payload.as_ref()))
}

/// Whether this thread runs something [`contained`].
#[must_use]
pub fn is_contained() -> bool {
    DEPTH.get() > 0
}

struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.set(DEPTH.get().saturating_add(1));
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
    }
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_answer_and_the_mark_goes_with_it() {
        assert!(!is_contained());
        assert_eq!(contained(is_contained), Ok(true));
        let n = 7;
        assert_eq!(contained(|| -> () { panic!("of {n}") }), Err("of 7".to_owned()));
        assert_eq!(contained(|| -> () { panic!("plain") }), Err("plain".to_owned()));
        assert_eq!(contained(|| -> () { std::panic::panic_any(7u8) }), Err(String::new()));
        let nested = contained(|| (contained(|| -> () { panic!("inner") }), is_contained()));
        assert_eq!(nested, Ok((Err("inner".to_owned()), true)));
        assert!(!is_contained());
    }
}
