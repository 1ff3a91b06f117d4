//! Honest editors, 2 to 20 of them, who edit and merge as the bytes say: no change is refused, all replicas agree.
#![no_main]

use cairn_fuzz::world::{self, Tape};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: cairn_fuzz::quiet_panics(), |data: &[u8]| {
    cairn_fuzz::run(|| {
        world::honest(&mut Tape(data), 40, 2);
    });
});
