//! Room given back by itself: the store's file does not shrink when messages are erased, so now and then it is looked how
//! much of it is free, and where that is more than two thirds the file is compacted.
//!
//! The writer looks when nothing was written for a while, once after its start and again after something was erased or
//! cut. Everything waits for a compaction, so a store that uses much is left for the next start, and one that uses very
//! much for a person (`cairn doctor --compact`). Where the disk is nearly full nothing is moved about.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::api::Compacted;
use crate::limits::{COMPACT_GAIN, COMPACT_IDLE, COMPACT_USED, DISK_LOW};
use crate::store::{Room, Store, StoreError, Table, Write};

/// Key of [`Table::Meta`] under which it stands that the next start is to compact.
const AT_START: &[u8] = b"compact";

/// What became of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// There is not enough to be gained, or the disk is nearly full.
    Left,
    /// It would take too long now: the next start does it.
    Later,
    /// Room was given back.
    Done(Compacted),
}

/// Whether so much is to be gained that it is worth the wait. `free`: what the disk has left, if that is known. Less than
/// two thirds is not: pages of redb that are longer than others hold it up, and what it leaves may be twice what is used.
#[must_use]
pub fn worth(room: &Room, free: Option<u64>) -> bool {
    let gain = room.file.saturating_sub(room.used);
    gain >= COMPACT_GAIN && gain / 2 > room.used && free.is_none_or(|free| free >= DISK_LOW)
}

/// Looks whether the store of a running node takes much more than it uses, and compacts it then. Blocks. `data`: where
/// the store lies.
///
/// # Errors
/// [`StoreError`]; nothing is lost then.
pub fn look(store: &dyn Store, data: &Path) -> Result<Look, StoreError> {
    let room = store.room()?;
    if !worth(&room, fs4::available_space(data).ok()) || room.used > COMPACT_USED.1 {
        return Ok(Look::Left);
    }
    if room.used > COMPACT_USED.0 {
        store.commit(&[Write::Put(Table::Meta, AT_START.to_vec(), Vec::new())])?;
        return Ok(Look::Later);
    }
    compact(store, &room).map(Look::Done)
}

/// Compacts a store that no node runs on yet, where an earlier look has found that it is worth it.
///
/// # Errors
/// [`StoreError`]; nothing is lost then.
pub fn at_start(store: &dyn Store, data: &Path) -> Result<Option<Compacted>, StoreError> {
    if store.get(Table::Meta, AT_START)?.is_none() {
        return Ok(None);
    }
    // Whatever comes of it, it is not begun again at every start.
    store.commit(&[Write::Delete(Table::Meta, AT_START.to_vec())])?;
    let room = store.room()?;
    match worth(&room, fs4::available_space(data).ok()) {
        true => compact(store, &room).map(Some),
        false => Ok(None),
    }
}

fn compact(store: &dyn Store, room: &Room) -> Result<Compacted, StoreError> {
    let begun = Instant::now();
    store.compact()?;
    let compacted = Compacted { before: room.file, after: store.room()?.file };
    tracing::info!(before = compacted.before, after = compacted.after, took = ?begun.elapsed(), "the store was compacted");
    Ok(compacted)
}

/// When to look, as the writer goes on.
#[derive(Debug)]
pub(crate) struct Watch {
    idle: Duration,
    due: Option<Instant>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self::after(COMPACT_IDLE)
    }

    /// One that waits so long after what was written.
    pub(crate) fn after(idle: Duration) -> Self {
        Self { idle, due: Instant::now().checked_add(idle) }
    }

    /// Batches were written; `freed`: some of them made room.
    pub(crate) fn wrote(&mut self, freed: bool) {
        if freed || self.due.is_some() {
            self.due = Instant::now().checked_add(self.idle);
        }
    }

    /// How long until it is time, if it will be.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.due.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether it is time; then not again until room is made.
    pub(crate) fn take(&mut self) -> bool {
        self.due.take_if(|at| Instant::now() >= *at).is_some()
    }
}

/// Whether a batch makes room in the store.
pub(crate) fn frees(writes: &[Write]) -> bool {
    writes.iter().any(|w| matches!(w, Write::Erase { .. } | Write::Truncate { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RedbStore;
    use crate::store::conformance::{Author, dump};

    const MB: u64 = 1024 * 1024;

    #[test]
    fn what_is_worth_it() {
        let room = |file, used| Room { file: file * MB, used: used * MB };
        assert!(worth(&room(40, 13), None) && worth(&room(40, 13), Some(DISK_LOW)));
        assert!(!worth(&room(40, 13), Some(DISK_LOW - 1)), "nothing is moved about on a disk that is nearly full");
        assert!(!worth(&room(40, 14), None), "less than two thirds");
        assert!(!worth(&room(18, 3), None), "too little");
        assert!(!worth(&Room::default(), None));
    }

    fn filled(path: &Path, entries: usize) -> (RedbStore, Author) {
        let store = RedbStore::open(path).unwrap();
        let mut author = Author::new(1, 1, 1);
        for _ in 0..entries.div_ceil(100) {
            store.commit(&author.appends(100, 4_000)).unwrap();
        }
        (store, author)
    }

    #[test]
    fn what_was_erased_is_given_back_once_it_is_most_of_the_file_and_the_rest_is_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cairn.redb");
        let (store, author) = filled(&path, 12_000);
        let full = store.room().unwrap();
        assert!(full.used > 40 * MB && full.file >= full.used, "{full:?}");
        assert_eq!(look(&store, dir.path()).unwrap(), Look::Left, "nothing was erased");
        let erase = |from, upto| Write::Erase { space: author.space, log: author.log, from, upto };
        store.commit(&[erase(1, 1_000)]).unwrap();
        assert_eq!(look(&store, dir.path()).unwrap(), Look::Left, "little was erased");
        store.commit(&[erase(1, 11_500)]).unwrap();
        let (held, room) = (dump(&store), store.room().unwrap());
        assert!(room.used < 20 * MB && room.file == full.file, "{room:?}");
        let Look::Done(compacted) = look(&store, dir.path()).unwrap() else { panic!("most of it is free") };
        assert_eq!(compacted.before, full.file);
        assert_eq!(compacted.after, std::fs::metadata(&path).unwrap().len());
        assert!(compacted.after < full.file / 3, "{compacted:?}");
        assert!(dump(&store) == held);
        assert_eq!(look(&store, dir.path()).unwrap(), Look::Left, "once is enough");
        store.verify().unwrap();
        drop(store);
        assert!(dump(&RedbStore::open(&path).unwrap()) == held);
    }

    #[test]
    fn what_uses_much_is_left_for_the_next_start_and_done_there_once() {
        let dir = tempfile::tempdir().unwrap();
        let (store, author) = filled(&dir.path().join("cairn.redb"), 6_000);
        store.commit(&[Write::Erase { space: author.space, log: author.log, from: 1, upto: 6_000 }]).unwrap();
        assert_eq!(at_start(&store, dir.path()).unwrap(), None, "nobody has found it worth it");
        // As a look that finds it too much for now leaves it.
        store.commit(&[Write::Put(Table::Meta, AT_START.to_vec(), Vec::new())]).unwrap();
        let done = at_start(&store, dir.path()).unwrap().unwrap();
        assert!(done.after < done.before / 2, "{done:?}");
        assert_eq!(store.get(Table::Meta, AT_START).unwrap(), None);
        assert_eq!(at_start(&store, dir.path()).unwrap(), None);
    }

    #[test]
    fn it_is_looked_again_only_after_room_was_made() {
        let mut watch = Watch::new();
        assert!(watch.wait().is_some_and(|w| w <= COMPACT_IDLE) && !watch.take());
        watch.due = Some(Instant::now());
        assert!(watch.take() && !watch.take());
        watch.wrote(false);
        assert_eq!(watch.wait(), None);
        watch.wrote(true);
        assert!(watch.wait().is_some());
        let author = Author::new(1, 1, 1);
        assert!(frees(&[Write::Truncate { space: author.space, log: author.log, from: 1 }]));
        assert!(!frees(&[Write::Delete(Table::Peers, Vec::new())]));
    }
}
