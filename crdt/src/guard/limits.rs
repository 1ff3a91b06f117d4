//! Every bound of the guard, with the reason for its size. A verdict depends on them, so each is part of payload
//! version 1: change one only together with the version.

/// Largest change in bytes: the largest payload of an entry.
pub const MAX_BYTES: usize = crate::entry::MAX_PAYLOAD;
/// Most Automerge dependencies: those of an entry in other logs, and the author's own previous change.
pub const MAX_DEPS: u64 = crate::entry::MAX_DEPS as u64 + 1;
/// Most operations of a change, and so most values of a column. 9,900 operations cost 5 ms to check; Automerge encodes
/// more than 10,000 by another path.
pub const MAX_OPS: u64 = 10_000;
/// Most predecessors of all operations of a change together: some conflicts resolved at every place still fit.
pub const MAX_PREDS: u64 = 40_000;
/// Longest actor id in bytes. Cairn's are 32.
pub const MAX_ACTOR: usize = 64;
/// Most foreign actors that a change names: at most one an operation is of use.
pub const MAX_ACTORS: u64 = 10_000;
/// Longest commit message in bytes. Cairn writes none; other Automerge tools write a line.
pub const MAX_MESSAGE: usize = 512;
/// Longest key of a map in bytes.
pub const MAX_KEY: usize = 512;
/// Longest name of a mark in bytes.
pub const MAX_MARK_NAME: usize = 128;
/// Most bytes of a string column once its runs are written out: a 250 kB key in a run of 9,000 took 2.26 GB and 7.5 s.
pub const MAX_EXPANDED: u64 = 4 * 1024 * 1024;
/// Greatest operation counter at which a change may start. Near 2^32 one small change stops every later commit.
pub const MAX_START_OP: u64 = 1 << 31;
/// Latest timestamp: 2^53, what a JavaScript number holds. Extremes panic, even in later honest commits.
pub const MAX_TIME: i64 = 1 << 53;
/// Deepest nesting of objects; the root is 0. Reading a document recurses: 2,000 levels abort the process.
pub const MAX_DEPTH: u8 = 32;
/// Longest string of one element of a text in bytes, the longest grapheme clusters included. One element of 200 kB
/// makes a later text update take 23 s.
pub const MAX_ELEMENT: usize = 64;
/// Most marks of a change.
pub const MAX_MARKS: usize = 200;
/// Most steps through the element tree to order the marks of a change: 26 ms.
pub const MAX_MARK_STEPS: u32 = 2_000_000;
/// Greatest magnitude of a counter's start and of one increment: no sum of a document's operations can overflow.
pub const MAX_COUNT: i64 = 1 << 40;
/// Most operations that an index can hold: its references are 31 bits. At 16 bytes and more each this is 34 GB, far
/// beyond what any budget of operations lets into a document.
pub const MAX_INDEXED: usize = (1 << 31) - 1;
