//! Whatever happens to a set of nodes: bytes are read as transitions, and what must hold after each of them holds.
#![no_main]

use cairn_crdt::sim::{Plan, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: cairn_fuzz::quiet_panics(), |data: &[u8]| {
    cairn_fuzz::run(|| {
        let result = run(&Plan::from_bytes(data));
        assert!(result.is_ok(), "{result:?}");
    });
});
