//! What a panic prints. The guard and the store catch panics on purpose, where others' bytes or a damaged file break
//! the libraries below; those say what happened in their errors and print nothing. All others print as usual.

use std::panic::{set_hook, take_hook};
use std::sync::Once;

use cairn_crdt::contained::is_contained;

/// From now on contained panics print nothing in this process; every other goes to the hook that was there before.
/// To be called once, early, by the program; later calls do nothing.
pub fn quiet() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info| {
            if !is_contained() {
                usual(info);
            }
        }));
    });
}
