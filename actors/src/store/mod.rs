//! What the node keeps: a small trait with two stores behind it, `redb` on disk and `memory` for simulation, the
//! latter with crash semantics (what was not committed is gone).
//!
//! Writes go through one writer (the storage actor) in batches; each is durable, all or nothing. Reads are concurrent,
//! bounded and cheap.

pub mod memory;
pub mod redb;
pub mod tables;

mod aside;
mod batch;
mod blank;
mod examine;
mod fault;
mod journal;
mod migrations;
mod open;
mod overlay;
mod pending;
mod record;
mod salvage;
mod sealing;
mod walk;

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
mod tests;

pub(crate) use self::aside::utc;
pub use self::examine::{Damage, Examination};
pub use self::memory::MemoryStore;
pub use self::redb::RedbStore;
pub use self::salvage::Salvaged;
pub use self::sealing::Seal;

use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{EntryHash, LogId, SpaceId};

/// Small tables of key and value. Keys and values are the owner's business; their formats stand in `tables`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Schema version (key `schema`, the store's own), incarnation history, remembered port.
    Meta,
    /// Networks and where this node stands with each.
    Networks,
    /// Devices: name, addresses, when last seen.
    Peers,
    /// What other devices hold durably: (space, device, log) to sequence number.
    Durable,
    /// Messages said while no node ran, to be signed by the next.
    Outbox,
    /// Entries admitted but void, with the reason.
    Void,
    /// Messages said here: (space, message) to the segment they are in, so that a retry says nothing twice.
    Said,
    /// The latest signed statement of each device: (space, device) to the statement.
    Statements,
    /// Logs that forked: (space, log) to the proofs; with the hash of the first entry, a part of a lost branch.
    Forks,
    /// What is gone of each space, and since when: space to record.
    Retired,
    /// What was written for people when sides met again: id to record.
    Briefings,
    /// Secrets of epochs: (space, epoch) to secret.
    Keys,
    /// This device's prekeys with their private halves.
    Prekeys,
}

/// One write of a batch. The writes of a batch count in their order.
#[derive(Debug, Clone)]
pub enum Write {
    /// Appends an entry to its log: its sequence number must be the tip's plus one.
    Append {
        /// The entry.
        entry: std::sync::Arc<Entry>,
        /// When it was received, milliseconds since 1970.
        received: u64,
    },
    /// Cuts a log: it keeps the entries before `from`, and its tip is the last of them; `from` 1 removes the log. The
    /// cut entries are gone with their payloads. Changes nothing where the log is shorter or not there.
    Truncate {
        /// The log's space.
        space: SpaceId,
        /// The log.
        log: LogId,
        /// Sequence number of the first entry to go.
        from: u64,
    },
    /// Erases the payloads of entries `from` to `upto`, both included, that are in the log by then; the entries stay,
    /// and the chain with them. Changes nothing where there is nothing to erase.
    Erase {
        /// The log's space.
        space: SpaceId,
        /// The log.
        log: LogId,
        /// Sequence number of the first entry.
        from: u64,
        /// Sequence number of the last one.
        upto: u64,
    },
    /// Sets a key.
    Put(Table, Vec<u8>, Vec<u8>),
    /// Removes a key.
    Delete(Table, Vec<u8>),
}

/// The end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Entries in the log.
    pub seq: u64,
    /// Hash of the last.
    pub hash: EntryHash,
    /// Stamp of the last.
    pub hlc: Hlc,
}

/// An entry as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The entry.
    pub entry: std::sync::Arc<Entry>,
    /// When it became durable here, milliseconds since 1970.
    pub received: u64,
}

/// Why the store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No space left on the medium.
    #[error("the disk is full: nothing more can be saved until there is room")]
    Full,
    /// The file is damaged; it was kept aside under the name given, and what could be saved of it is in its place.
    #[error("the store is damaged ({reason}); it was kept aside as {kept}, and {saved}")]
    Corrupt {
        /// What was found.
        reason: String,
        /// Where the damaged file is now.
        kept: String,
        /// What the new file holds of it.
        saved: Salvaged,
    },
    /// Damage that showed while the store was open. The file stays where it is; the next opening reads all of it and
    /// sets it aside where that confirms the damage.
    #[error("the store is damaged ({reason}): start Cairn again, and it will be checked and kept aside")]
    Damaged {
        /// What was found.
        reason: String,
    },
    /// Another process has it open.
    #[error("another Cairn is running on this data folder")]
    InUse,
    /// Written by a newer Cairn.
    #[error("the store was written by a newer Cairn (schema {found}, this one knows {known})")]
    Newer {
        /// The schema found.
        found: u32,
        /// The newest schema known.
        known: u32,
    },
    /// The store is sealed, and there is no key. It is as it was, here and below.
    #[error("the store is sealed with a passphrase")]
    Sealed,
    /// The key is not that of the store.
    #[error("the store is sealed with another key: it does not belong to this folder's passphrase")]
    OtherKey,
    /// There is a key, and the store is not sealed: somebody has put another one in its place.
    #[error("the store is not sealed, though this folder has a passphrase: it was exchanged")]
    NotSealed,
    /// An append that does not follow the log's tip: a bug, refused whole.
    #[error("an entry does not follow its log")]
    Gap,
    /// A write to a key that is the store's own: a bug, refused whole.
    #[error("the key is the store's own")]
    Reserved,
    /// The operating system refused.
    #[error("the store failed: {0}")]
    Io(String),
}

/// Something that a snapshot holds.
#[derive(Debug)]
pub enum Item<'a> {
    /// A row of a small table.
    Row(Table, &'a [u8], &'a [u8]),
    /// An entry; those of a log come in order, one log after the other.
    Entry(Stored),
}

/// What a store takes on its medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Length of the file in bytes.
    pub file: u64,
    /// Bytes of it that are in use; more may be where it is at least half of the file.
    pub used: u64,
}

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// A store.
pub trait Store: Send + Sync + 'static {
    /// Commits a batch durably, all or nothing. Blocks.
    ///
    /// # Errors
    /// [`StoreError`]; nothing of the batch is kept then.
    fn commit(&self, batch: &[Write]) -> Result<(), StoreError>;
    /// Every space that has entries.
    ///
    /// # Errors
    /// [`StoreError`] where reading fails.
    fn spaces(&self) -> Result<Vec<SpaceId>, StoreError>;
    /// The tips of a space's logs, ascending.
    ///
    /// # Errors
    /// [`StoreError`] where reading fails.
    fn tips(&self, space: &SpaceId) -> Result<Vec<(LogId, Tip)>, StoreError>;
    /// Entries of a log from `from` (a sequence number, from 1) on, until their encodings together exceed `max_bytes`
    /// (always at least one, if there is one).
    ///
    /// # Errors
    /// [`StoreError`] where reading fails.
    fn entries(&self, space: &SpaceId, log: &LogId, from: u64, max_bytes: usize) -> Result<Vec<Stored>, StoreError>;
    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError`] where reading fails.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Keys and values whose keys start with a prefix, ascending.
    ///
    /// # Errors
    /// [`StoreError`] where reading fails.
    fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError>;
    /// Hands everything to `each`, as it was at one moment, until it answers false; commits go on meanwhile. The schema
    /// is not among the rows.
    ///
    /// # Errors
    /// [`StoreError`] where reading fails.
    fn snapshot(&self, each: &mut dyn FnMut(Item<'_>) -> bool) -> Result<(), StoreError>;
    /// Reads and checks everything, as it is at one moment; commits go on meanwhile. `all`: every signature, not only
    /// some of each log.
    ///
    /// # Errors
    /// [`StoreError`] where reading fails for another reason than damage.
    fn examine(&self, all: bool) -> Result<Examination, StoreError>;
    /// Gives room that erased entries left back to the medium; answers whether there was any. Everything else waits
    /// meanwhile. Blocks.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is lost then.
    fn compact(&self) -> Result<bool, StoreError>;
    /// What the store takes and what of that it uses. Reads all of it where less than half seems to be used.
    ///
    /// # Errors
    /// [`StoreError`] where reading fails.
    fn room(&self) -> Result<Room, StoreError> {
        Ok(Room::default())
    }
    /// What each log of a space takes in bytes, ascending.
    ///
    /// # Errors
    /// [`StoreError`] where reading fails.
    fn sizes(&self, space: &SpaceId) -> Result<Vec<(LogId, u64)>, StoreError>;
    /// Bytes that are left on the medium, where that is known.
    fn free(&self) -> Option<u64> {
        None
    }
    /// Puts the store in order while nothing else is to be done: what was laid aside for quick commits goes where it
    /// belongs. Called now and then by whoever commits. Blocks as a commit does.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is lost then.
    fn rest(&self) -> Result<(), StoreError> {
        Ok(())
    }
    /// Lets go of the medium; whatever is asked afterwards fails. For a node that has stopped, since parts of it may
    /// outlive it for a moment.
    fn close(&self) {}
}

/// The tip that `entry` leaves.
fn tip_after(entry: &Entry) -> Tip {
    Tip { seq: entry.header().seq, hash: entry.hash(), hlc: entry.header().hlc }
}

/// The tip after appending `entry`, if it follows `tip`.
fn follow(tip: Option<&Tip>, entry: &Entry) -> Result<Tip, StoreError> {
    let expected = match tip {
        Some(tip) => (tip.seq.checked_add(1).ok_or(StoreError::Gap)?, tip.hash),
        None => (1, EntryHash([0; 32])),
    };
    let found = (entry.header().seq, entry.header().prev);
    if found == expected { Ok(tip_after(entry)) } else { Err(StoreError::Gap) }
}

/// Length of an entry as [`Entry::encode`] writes it.
pub(crate) fn encoded_len(entry: &Entry) -> usize {
    let header = entry.header();
    let lists = header.deps.len().saturating_mul(88).saturating_add(header.control_heads.len().saturating_mul(32));
    FIXED_LEN.saturating_add(lists).saturating_add(entry.payload.as_ref().map_or(0, Vec::len))
}

/// What an entry takes in the store: the lengths of its row and of its payload.
pub(crate) fn stored_len(entry: &Entry) -> u64 {
    // Instead of the flag: when received, has payload, check.
    encoded_len(entry).saturating_add(16) as u64
}

/// What every encoded entry has: header without lists, signature, flag.
const FIXED_LEN: usize =
    cairn_crdt::entry::MAX_HEADER - cairn_crdt::entry::MAX_DEPS * 88 - cairn_crdt::entry::MAX_CONTROL_HEADS * 32
        + 64
        + 1;

/// Refuses a batch that writes the store's own key.
fn check_reserved(batch: &[Write]) -> Result<(), StoreError> {
    let own = |write: &Write| match write {
        Write::Put(Table::Meta, key, _) | Write::Delete(Table::Meta, key) => key == tables::SCHEMA_KEY,
        _ => false,
    };
    if batch.iter().any(own) { Err(StoreError::Reserved) } else { Ok(()) }
}
