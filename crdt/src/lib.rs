//! Cairn's data and protocol, pure: ids, entries and logs, document kinds, the guard before Automerge, replication
//! state machines, membership, sealing, networks, safety numbers, names, delivery arithmetic.
//!
//! This crate never touches a socket, a file, a clock or a source of randomness: time, random bytes and keys come in
//! as arguments, so that every test is one function call and every run can be repeated. `clippy.toml` beside the
//! manifest bans the rest, and ordered maps are the only maps here.

pub mod author;
pub mod codec;
pub mod contained;
pub mod document;
pub mod entry;
pub mod epochs;
pub mod fork;
pub mod frontier;
pub mod guard;
pub mod hlc;
pub mod identity;
pub mod ids;
pub mod kinds;
pub mod known;
pub mod ledger;
pub mod membership;
pub mod names;
pub mod netkey;
pub mod network;
pub mod period;
pub mod planted;
pub mod replica;
pub mod roster;
pub mod safety;
pub mod seal;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod spans;
pub mod statement;
pub mod sync;
pub mod vault;
pub mod verdict;
pub mod writer;
