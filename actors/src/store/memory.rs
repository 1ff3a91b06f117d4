//! The store of simulations: in memory, with the semantics of a disk. What was committed survives, what was not is
//! gone; commits can be made to fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use cairn_crdt::ids::{LogId, SpaceId};

use super::tables::{SCHEMA, SCHEMA_KEY};
use super::{Examination, Item, Row, Store, StoreError, Stored, Table, Tip, Write};

/// A store in memory. Clones share it, as two handles on one disk would.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    shared: Arc<(Mutex<Shared>, Condvar)>,
}

#[derive(Debug)]
struct Shared {
    disk: Disk,
    /// Commits that will fail, and how.
    failing: Option<(u64, StoreError)>,
    full: bool,
    free: Option<u64>,
    commits: u64,
    /// Commits that may still be made before the next one waits; `None`: any number.
    passes: Option<u64>,
}

#[derive(Debug, Clone, Default)]
struct Disk {
    logs: BTreeMap<(SpaceId, LogId), Vec<Stored>>,
    small: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        let mut disk = Disk::default();
        disk.small.insert((Table::Meta, SCHEMA_KEY.to_vec()), SCHEMA.to_be_bytes().to_vec());
        Self::on(disk)
    }

    fn on(disk: Disk) -> Self {
        let shared = Shared { disk, failing: None, full: false, free: None, commits: 0, passes: None };
        Self { shared: Arc::new((Mutex::new(shared), Condvar::new())) }
    }

    /// A copy that holds exactly what was committed, as a machine finds it after a power cut. The old handle, and
    /// whatever still writes to it, has no part in the copy; faults are not copied.
    #[must_use]
    pub fn crash(&self) -> Self {
        Self::on(self.lock().disk.clone())
    }

    /// Makes the next `n` commits fail with `error` and keep nothing.
    pub fn fail_commits(&self, n: u64, error: StoreError) {
        self.lock().failing = (n > 0).then_some((n, error));
    }

    /// Fills the disk or makes room: while it is full every commit fails with [`StoreError::Full`].
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// Lets so many commits through, the next one waits; `None`: all. For a writer in a thread of its own.
    pub fn let_through(&self, commits: Option<u64>) {
        self.lock().passes = commits;
        self.shared.1.notify_all();
    }

    /// Sets how many bytes the disk says to have left.
    pub fn set_free(&self, free: Option<u64>) {
        self.lock().free = free;
    }

    /// Commits that were kept so far.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A log as a batch under way leaves it: so many of the entries it had, and the tips of those appended.
struct Draft {
    old: usize,
    new: Vec<Tip>,
}

impl Disk {
    /// Whether every append of the batch follows its log.
    fn check(&self, batch: &[Write]) -> Result<(), StoreError> {
        let mut drafts: BTreeMap<(SpaceId, LogId), Draft> = BTreeMap::new();
        let log = |id: &(SpaceId, LogId)| self.logs.get(id).map_or(&[][..], Vec::as_slice);
        for write in batch {
            let id = match write {
                Write::Append { entry, .. } => (entry.header().space, entry.header().log),
                Write::Truncate { space, log, .. } => (*space, *log),
                _ => continue,
            };
            let draft = drafts.entry(id).or_insert_with(|| Draft { old: log(&id).len(), new: Vec::new() });
            match write {
                Write::Append { entry, .. } => {
                    let old = log(&id).get(..draft.old).and_then(tip_of);
                    draft.new.push(super::follow(draft.new.last().or(old.as_ref()), entry)?);
                }
                Write::Truncate { from, .. } => {
                    draft.new.truncate(before(*from).saturating_sub(draft.old));
                    draft.old = draft.old.min(before(*from));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn truncate(&mut self, id: (SpaceId, LogId), from: u64) {
        if let Some(log) = self.logs.get_mut(&id) {
            log.truncate(before(from));
            if log.is_empty() {
                self.logs.remove(&id);
            }
        }
    }

    fn erase(&mut self, id: (SpaceId, LogId), from: u64, upto: u64) {
        let log = self.logs.get_mut(&id).map_or(&mut [][..], Vec::as_mut_slice);
        for stored in log.iter_mut().take(usize::try_from(upto).unwrap_or(usize::MAX)).skip(before(from)) {
            Arc::make_mut(&mut stored.entry).payload = None;
        }
    }
}

/// Entries before the one numbered `from`.
fn before(from: u64) -> usize {
    usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX)
}

impl Shared {
    fn fault(&mut self) -> Result<(), StoreError> {
        if self.full {
            return Err(StoreError::Full);
        }
        let Some((left, error)) = self.failing.take() else { return Ok(()) };
        let left = left.saturating_sub(1);
        self.failing = (left > 0).then(|| (left, error.clone()));
        Err(error)
    }
}

impl Store for MemoryStore {
    fn commit(&self, batch: &[Write]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        super::check_reserved(batch)?;
        let waits = |shared: &mut Shared| shared.passes == Some(0);
        let shared = self.shared.1.wait_while(self.lock(), waits);
        let mut shared = shared.unwrap_or_else(PoisonError::into_inner);
        shared.passes = shared.passes.map(|n| n.saturating_sub(1));
        shared.disk.check(batch)?;
        shared.fault()?;
        for write in batch {
            match write {
                Write::Append { entry, received } => {
                    let log = shared.disk.logs.entry((entry.header().space, entry.header().log)).or_default();
                    log.push(Stored { entry: entry.clone(), received: *received });
                }
                Write::Truncate { space, log, from } => shared.disk.truncate((*space, *log), *from),
                Write::Erase { space, log, from, upto } => shared.disk.erase((*space, *log), *from, *upto),
                Write::Put(table, key, value) => {
                    shared.disk.small.insert((*table, key.clone()), value.clone());
                }
                Write::Delete(table, key) => {
                    shared.disk.small.remove(&(*table, key.clone()));
                }
            }
        }
        shared.commits = shared.commits.saturating_add(1);
        Ok(())
    }

    fn spaces(&self) -> Result<Vec<SpaceId>, StoreError> {
        let mut spaces: Vec<SpaceId> = self.lock().disk.logs.keys().map(|(space, _)| *space).collect();
        spaces.dedup();
        Ok(spaces)
    }

    fn tips(&self, space: &SpaceId) -> Result<Vec<(LogId, Tip)>, StoreError> {
        let shared = self.lock();
        let of_space = shared.disk.logs.iter().filter(|((of, _), _)| of == space);
        Ok(of_space.filter_map(|((_, log), entries)| Some((*log, tip_of(entries)?))).collect())
    }

    fn sizes(&self, space: &SpaceId) -> Result<Vec<(LogId, u64)>, StoreError> {
        let shared = self.lock();
        let of_space = shared.disk.logs.iter().filter(|((of, _), _)| of == space);
        let size =
            |entries: &[Stored]| entries.iter().map(|s| super::stored_len(&s.entry)).fold(0, u64::saturating_add);
        Ok(of_space.map(|((_, log), entries)| (*log, size(entries))).filter(|(_, bytes)| *bytes > 0).collect())
    }

    fn free(&self) -> Option<u64> {
        self.lock().free
    }

    fn entries(&self, space: &SpaceId, log: &LogId, from: u64, max_bytes: usize) -> Result<Vec<Stored>, StoreError> {
        let shared = self.lock();
        let Some(entries) = shared.disk.logs.get(&(*space, *log)) else { return Ok(Vec::new()) };
        let mut total = 0usize;
        let mut answer: Vec<Stored> = Vec::new();
        for stored in entries.get(before(from)..).unwrap_or_default() {
            total = total.saturating_add(super::encoded_len(&stored.entry));
            if total > max_bytes && !answer.is_empty() {
                break;
            }
            answer.push(stored.clone());
        }
        Ok(answer)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().disk.small.get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        let shared = self.lock();
        let rows = shared.disk.small.range((table, prefix.to_vec())..);
        let rows = rows.take_while(|((of, key), _)| *of == table && key.starts_with(prefix));
        Ok(rows.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn snapshot(&self, each: &mut dyn FnMut(Item<'_>) -> bool) -> Result<(), StoreError> {
        let disk = self.lock().disk.clone();
        let own = |table: Table, key: &[u8]| table == Table::Meta && key == SCHEMA_KEY;
        let rows = disk.small.iter().filter(|((table, key), _)| !own(*table, key));
        let _ = rows.map(|((table, key), value)| Item::Row(*table, key, value)).all(&mut *each)
            && disk.logs.into_values().flatten().map(Item::Entry).all(each);
        Ok(())
    }

    fn examine(&self, _all: bool) -> Result<Examination, StoreError> {
        let mut found = Examination::default();
        let mut last = None;
        self.snapshot(&mut |item| {
            match item {
                Item::Row(..) => found.rows = found.rows.saturating_add(1),
                Item::Entry(stored) => {
                    let log = Some(stored.entry.header().log);
                    found.logs = found.logs.saturating_add(u64::from(std::mem::replace(&mut last, log) != log));
                    found.entries = found.entries.saturating_add(1);
                    found.erased = found.erased.saturating_add(u64::from(stored.entry.payload.is_none()));
                    found.bytes = found.bytes.saturating_add(super::stored_len(&stored.entry));
                }
            }
            true
        })?;
        Ok(found)
    }

    fn compact(&self) -> Result<bool, StoreError> {
        self.lock().fault().map(|()| false)
    }
}

fn tip_of(log: &[Stored]) -> Option<Tip> {
    log.last().map(|stored| super::tip_after(&stored.entry))
}
