//! What a chat segment takes in memory, and to fill: `cargo bench -p cairn-crdt --bench segment`. Bytes are counted by
//! the allocator, the entries themselves not among them; times are medians of five.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::{Person, apply, segment, segment_id};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const MESSAGES: usize = 16_384;
const ROUNDS: usize = 5;

fn main() {
    println!("{:<44} {:>14} {:>14}", "a full segment of 16,384 messages", "bytes each", "us each");
    for authors in [1u8, 20] {
        for length in [20usize, 100, 300] {
            let mut people: Vec<_> = (1..=authors).map(|n| Person::new(n, n)).collect();
            let body = "x".repeat(length);
            let entries: Vec<_> = (0..MESSAGES)
                .map(|n| {
                    let at = n % people.len();
                    people[at].say(segment_id(0), &body)
                })
                .collect();
            let mut times = Vec::new();
            let mut bytes = 0;
            for _ in 0..ROUNDS {
                let before = HEAP.current_usage();
                let mut filled = segment(0);
                let start = Instant::now();
                for batch in entries.chunks(64) {
                    let applied = apply(&mut filled, batch);
                    assert_eq!(applied.shown.len(), batch.len());
                }
                times.push(start.elapsed());
                bytes = HEAP.current_usage() - before;
            }
            times.sort_unstable();
            let each = |d: Duration| d.as_secs_f64() * 1e6 / MESSAGES as f64;
            let what = format!("{authors} authors, bodies of {length} bytes");
            println!("{what:<44} {:>14.0} {:>14.1}", bytes as f64 / MESSAGES as f64, each(times[ROUNDS / 2]));
        }
    }
}
