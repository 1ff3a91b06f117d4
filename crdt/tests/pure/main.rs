//! The pure half from outside, in one binary: each file of tests is a module.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on fails"
)]

mod chat_gone;
mod chat_hostile;
mod chat_order;
mod chat_pages;
mod chat_records;
#[path = "../common/mod.rs"]
mod common;
mod control_log;
mod frozen;
mod guard;
mod guard_bytes;
mod guard_random;
mod guard_use;
mod needs_newer;
mod sealed;
mod small_kinds;
mod vectors;
#[path = "../world/mod.rs"]
mod world;
