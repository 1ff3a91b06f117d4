//! What the fuzz targets share: random documents (the same as in the tests of the guard), the protocol of the node, and
//! a panic hook that lets contained panics pass.
//!
//! Run one with `RUSTC_BOOTSTRAP=1 cargo fuzz run -O -s none --no-trace-compares <target> -- -rss_limit_mb=2048
//! -max_len=128 -entropic=0 -reduce_inputs=0`; `-runs=1000000` ends after a million executions. All code is safe Rust,
//! so that the address sanitizer (`-s address`, slower) finds nothing of ours; leave out `-O` to have Automerge's own
//! debug assertions checked too. What a run adds to `corpus/` is minimised with `cargo fuzz cmin` before it is kept.

#[path = "../../crdt/tests/world/mod.rs"]
pub mod world;

/// The bounds of the node, which its protocol asks for.
#[path = "../../actors/src/limits.rs"]
pub mod limits;

/// What the node reads from the network. Only this: the node itself would bring a transport and a store.
#[path = "../../actors/src/proto"]
pub mod proto {
    pub mod beacon;
    pub mod proof;
    pub mod session;
}

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Replaces the fuzzer's panic hook, which would end the process at panics that the guard contains.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        LAST.with_borrow_mut(|last| *last = info.to_string());
    }));
}

/// Runs one input; a panic that nothing contained is printed and ends the process.
pub fn run(input: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(input)).is_err() {
        LAST.with_borrow(|last| eprintln!("{last}"));
        std::process::abort();
    }
}
