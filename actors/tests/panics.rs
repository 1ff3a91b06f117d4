//! Panics that are caught on purpose print nothing, all others print as usual. A process of its own, since the hook is
//! the process's.

use std::panic::{catch_unwind, set_hook};
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_actors::panics::quiet;
use cairn_crdt::contained::contained;

#[test]
fn only_what_nobody_contains_is_told() {
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    let told = || TOLD.load(Ordering::Relaxed);
    set_hook(Box::new(|_| {
        TOLD.fetch_add(1, Ordering::Relaxed);
    }));
    quiet();
    quiet();
    assert_eq!(contained(|| -> () { panic!("on purpose") }), Err("on purpose".to_owned()));
    assert_eq!(told(), 0);
    catch_unwind(|| panic!("a fault")).unwrap_err();
    assert_eq!(told(), 1, "after a contained panic the next one is told");
    // Another thread's fault is told while this one contains its own.
    let other = contained(|| std::thread::spawn(|| panic!("a fault elsewhere")).join().is_err());
    assert_eq!((other, told()), (Ok(true), 2));
}
