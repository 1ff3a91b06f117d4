//! A medium that fails: every single access of a commit in turn, once or for good.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, Builder, StorageBackend};

use super::super::conformance::{Author, Dump, dump, put};
use super::super::open::Opener;
use super::super::{RedbStore, Store, StoreError, Table, Write};

/// When the medium fails.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Accesses until it fails; `u64::MAX`: never.
    left: AtomicU64,
    /// Whether it then fails for good, as when the process dies.
    dead: AtomicBool,
    /// Whether reads count too.
    reads: AtomicBool,
    /// Accesses in all.
    pub seen: AtomicU64,
}

impl Plan {
    pub fn new() -> Arc<Self> {
        let plan = Self::default();
        plan.set(u64::MAX, false);
        Arc::new(plan)
    }

    pub fn set(&self, left: u64, dead: bool) {
        self.left.store(left, Ordering::SeqCst);
        self.dead.store(dead, Ordering::SeqCst);
        self.seen.store(0, Ordering::SeqCst);
    }

    fn access(&self) -> Result<(), Error> {
        self.seen.fetch_add(1, Ordering::SeqCst);
        let left = self.left.load(Ordering::SeqCst);
        match left {
            0 if self.dead.load(Ordering::SeqCst) => Err(ErrorKind::StorageFull.into()),
            0 => {
                self.left.store(u64::MAX, Ordering::SeqCst);
                Err(ErrorKind::StorageFull.into())
            }
            u64::MAX => Ok(()),
            _ => {
                self.left.store(left - 1, Ordering::SeqCst);
                Ok(())
            }
        }
    }
}

#[derive(Debug)]
struct Failing {
    file: FileBackend,
    plan: Arc<Plan>,
}

impl StorageBackend for Failing {
    fn len(&self) -> Result<u64, Error> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        if self.plan.reads.load(Ordering::SeqCst) {
            self.plan.access()?;
        }
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.plan.access()?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> Result<(), Error> {
        self.plan.access()?;
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        // A full disk takes the front of what is written.
        if let Err(e) = self.plan.access() {
            let _ = self.file.write(offset, &data[..data.len() / 2]);
            return Err(e);
        }
        self.file.write(offset, data)
    }
    fn close(&self) -> Result<(), Error> {
        self.file.close()
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

pub(super) fn failing(plan: &Arc<Plan>) -> Opener {
    let (plan, of_journal) = (plan.clone(), plan.clone());
    let db = move |file: File| {
        // A small cache, so that pages are written before the commit and read again after it.
        Builder::new()
            .set_cache_size(256 * 1024)
            .create_with_backend(Failing { file: FileBackend::new(file)?, plan: plan.clone() })
    };
    Opener::of(db, move |file| {
        let file = FileBackend::new(file).map_err(Error::other)?;
        Ok(Box::new(Failing { file, plan: of_journal.clone() }))
    })
}

/// A batch that makes the file grow, cuts a log, erases payloads and removes a log, between two small ones.
pub(super) fn batches() -> (Vec<Write>, Vec<Write>, Vec<Write>) {
    let (mut author, mut forked, mut removed) = (Author::new(1, 1, 1), Author::new(1, 1, 2), Author::new(1, 1, 3));
    let mut first = author.appends(3, 100);
    first.push(put(Table::Peers, b"k", b"old"));
    first.extend(removed.appends(2, 100));
    first.extend(forked.appends(2, 100));
    let common = forked.tip;
    first.extend(forked.appends(20, 3_000));
    let mut second = author.appends(100, 20_000);
    second.push(put(Table::Peers, b"k", b"new"));
    second.push(Write::Truncate { space: forked.space, log: forked.log, from: 3 });
    forked.tip = common;
    second.extend(forked.appends(3, 200));
    second.push(Write::Erase { space: author.space, log: author.log, from: 2, upto: 50 });
    second.push(Write::Truncate { space: removed.space, log: removed.log, from: 1 });
    let third = author.appends(1, 10);
    (first, second, third)
}

pub(super) struct States {
    pub before: Dump,
    pub after: Dump,
}

pub(super) fn states(first: &[Write], second: &[Write]) -> States {
    let memory = super::super::MemoryStore::new();
    memory.commit(first).unwrap();
    let before = dump(&memory);
    memory.commit(second).unwrap();
    States { before, after: dump(&memory) }
}

/// Accesses of the commit of `second`.
fn accesses(path: &Path, first: &[Write], second: &[Write]) -> u64 {
    let plan = Plan::new();
    let store = RedbStore::open_with(path, failing(&plan)).unwrap();
    store.commit(first).unwrap();
    plan.set(u64::MAX, false);
    store.commit(second).unwrap();
    plan.seen.load(Ordering::SeqCst)
}

#[test]
fn one_failed_access_loses_nothing_and_the_store_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second, third) = batches();
    let states = states(&first, &second);
    let total = accesses(&dir.path().join("all"), &first, &second);
    assert!(total > 10, "{total}");
    let mut refused = 0;
    for k in sample(total) {
        let path = dir.path().join(format!("{k}"));
        let plan = Plan::new();
        let store = RedbStore::open_with(&path, failing(&plan)).unwrap();
        store.commit(&first).unwrap();
        plan.set(k, false);
        match store.commit(&second) {
            Ok(()) => assert!(dump(&store) == states.after, "access {k}"),
            Err(error) => {
                refused += 1;
                assert_eq!(error, StoreError::Full, "access {k}");
                assert!(dump(&store) == states.before, "access {k}: nothing of the batch is kept");
                store.commit(&second).unwrap();
            }
        }
        store.commit(&third).unwrap();
        let held = dump(&store);
        drop(store);
        let store = RedbStore::open(&path).unwrap();
        store.verify().unwrap();
        assert!(dump(&store) == held, "access {k}");
        drop(store);
        std::fs::remove_file(path).unwrap();
    }
    assert!(refused > 3, "{refused} of {total}");
}

#[test]
fn a_death_at_any_access_leaves_the_old_or_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second, third) = batches();
    let states = states(&first, &second);
    let total = accesses(&dir.path().join("all"), &first, &second);
    for k in sample(total) {
        let path = dir.path().join(format!("{k}"));
        let plan = Plan::new();
        let store = RedbStore::open_with(&path, failing(&plan)).unwrap();
        store.commit(&first).unwrap();
        plan.set(k, true);
        let outcome = store.commit(&second);
        drop(store);
        let store = RedbStore::open(&path).unwrap_or_else(|e| panic!("access {k}: {e}"));
        store.verify().unwrap();
        let found = dump(&store);
        assert!(found == states.after || (outcome.is_err() && found == states.before), "access {k}");
        if found == states.before {
            store.commit(&second).unwrap();
        }
        store.commit(&third).unwrap();
        drop(store);
        std::fs::remove_file(path).unwrap();
    }
}

/// The first and last accesses, where the file grows and the root is written, and some of the many between.
pub(super) fn sample(total: u64) -> impl Iterator<Item = u64> {
    let between = (total / 12).max(1);
    (0..total).filter(move |k| *k < 12 || *k + 12 > total || k % between == 0)
}

#[test]
fn reads_go_on_after_a_failed_read() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second, _) = batches();
    let plan = Plan::new();
    let store = RedbStore::open_with(&dir.path().join("s"), failing(&plan)).unwrap();
    store.commit(&first).unwrap();
    store.commit(&second).unwrap();
    drop(store);
    let store = RedbStore::open_with(&dir.path().join("s"), failing(&plan)).unwrap();
    plan.reads.store(true, Ordering::SeqCst);
    plan.set(2, false);
    let (space, log) = (Author::new(1, 1, 1).space, Author::new(1, 1, 1).log);
    assert_eq!(store.entries(&space, &log, 1, usize::MAX).map(|e| e.len()), Err(StoreError::Full));
    assert_eq!(store.entries(&space, &log, 1, usize::MAX).unwrap().len(), 103);
}

#[test]
fn a_store_that_could_not_be_opened_again_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second, third) = batches();
    let plan = Plan::new();
    let store = RedbStore::open_with(&dir.path().join("s"), failing(&plan)).unwrap();
    store.commit(&first).unwrap();
    plan.set(0, true);
    assert_eq!(store.commit(&second), Err(StoreError::Full));
    assert_eq!(store.commit(&second), Err(StoreError::Full));
    assert!(store.spaces().is_err());
    plan.set(u64::MAX, false);
    assert_eq!(store.spaces().unwrap().len(), 1);
    store.commit(&second).unwrap();
    store.commit(&third).unwrap();
    store.verify().unwrap();
}

#[test]
fn a_new_store_that_does_not_fit_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cairn.redb");
    for k in 0.. {
        let plan = Plan::new();
        plan.set(k, true);
        match RedbStore::open_with(&path, failing(&plan)) {
            Ok(_) => break,
            Err(error) => assert_eq!(error, StoreError::Full, "access {k}"),
        }
        assert!(!dir.path().join("cairn.redb.new").exists(), "access {k}");
        if path.exists() {
            // The new file was whole; only opening it was refused.
            RedbStore::open(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
        }
    }
    RedbStore::open(&path).unwrap();
}
