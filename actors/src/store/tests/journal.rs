//! The journal: what is in it is read, survives, is emptied in order, and is done without where it fails.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::conformance::{ALL, Author, dump, put};
use super::super::{Item, MemoryStore, RedbStore, Seal, Store, StoreError, Table, Write, record};
use super::faults::{Plan, batches, failing, sample, states};
use super::names;
use crate::limits::JOURNAL_SIZE;

const JOURNAL: &str = "cairn.redb.journal";

/// A store whose journal is made, in a folder of its own.
fn journaled() -> (tempfile::TempDir, PathBuf, RedbStore) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cairn.redb");
    let store = RedbStore::open(&path).unwrap();
    assert!(!store.journals(), "one command makes no journal");
    store.rest().unwrap();
    assert!(store.journals());
    (dir, path, store)
}

/// What a kill leaves: the files as they are while the store is open.
fn killed(path: &Path) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    for name in names(path.parent().unwrap()) {
        std::fs::copy(path.with_file_name(&name), dir.path().join(&name)).unwrap();
    }
    let copy = dir.path().join("cairn.redb");
    (dir, copy)
}

fn written_to(journal: &Path) -> usize {
    std::fs::read(journal).unwrap().chunks(record::PAGE).filter(|page| page.iter().any(|b| *b != 0)).count()
}

#[test]
fn a_batch_in_the_journal_is_there_at_once_and_after_a_kill() {
    let (dir, path, store) = journaled();
    let memory = MemoryStore::new();
    let (mut ann, mut bob) = (Author::new(1, 1, 1), Author::new(2, 2, 2));
    let batches = [
        vec![ann.append(b"one"), put(Table::Peers, b"k", b"old"), put(Table::Peers, b"gone", b"x")],
        vec![ann.append(b"two"), bob.append(b"un"), put(Table::Peers, b"k", b"new")],
        vec![Write::Delete(Table::Peers, b"gone".to_vec()), put(Table::Said, b"", b"")],
    ];
    for (n, batch) in batches.iter().enumerate() {
        store.commit(batch).unwrap();
        memory.commit(batch).unwrap();
        assert_eq!(written_to(&dir.path().join(JOURNAL)), n + 1, "it is in the journal");
        assert_eq!(dump(&store), dump(&memory));
        let (_copy, copied) = killed(&path);
        let copy = RedbStore::open(&copied).unwrap();
        assert_eq!(dump(&copy), dump(&memory));
        copy.verify().unwrap();
    }
    // Half in redb, half in the journal.
    store.rest().unwrap();
    store.commit(&[ann.append(b"three"), put(Table::Peers, b"a", b"a")]).unwrap();
    memory.commit(&[ann.append(b"not the same")]).unwrap_err();
    assert_eq!(store.entries(&ann.space, &ann.log, 3, ALL).unwrap().len(), 1);
    assert_eq!(store.entries(&ann.space, &ann.log, 1, 1).unwrap().len(), 1, "pages are bounded");
    assert_eq!(store.tips(&ann.space).unwrap()[0].1.seq, 3);
    assert_eq!(store.spaces().unwrap(), [ann.space, bob.space]);
    let mut items = Vec::new();
    store
        .snapshot(&mut |item| {
            items.push(match item {
                Item::Row(table, key, value) => format!("{table:?} {key:?} {value:?}"),
                Item::Entry(stored) => stored.entry.hash().to_string(),
            });
            true
        })
        .unwrap();
    let before = items.len();
    assert_eq!(before, 3 + 4, "rows and entries, each once");
    let found = store.examine(true).unwrap();
    assert_eq!((found.entries, found.damage.len()), (4, 0));
}

#[test]
fn it_is_emptied_when_it_is_full_and_when_the_store_is_closed() {
    let (dir, path, store) = journaled();
    let memory = MemoryStore::new();
    let mut author = Author::new(1, 1, 1);
    let pages = usize::try_from(JOURNAL_SIZE).unwrap() / record::PAGE;
    for n in 0..pages + 20 {
        let batch = [author.append(b"some words"), put(Table::Durable, &[n as u8], &n.to_be_bytes())];
        store.commit(&batch).unwrap();
        memory.commit(&batch).unwrap();
    }
    assert!(dump(&store) == dump(&memory));
    let (_copy, copied) = killed(&path);
    assert!(dump(&RedbStore::open(&copied).unwrap()) == dump(&memory), "only what is not in redb is replayed");
    drop(store);
    // Closed in order, the file alone is all.
    std::fs::remove_file(dir.path().join(JOURNAL)).unwrap();
    let store = RedbStore::open(&path).unwrap();
    store.verify().unwrap();
    assert!(dump(&store) == dump(&memory));
}

#[test]
fn what_goes_straight_to_redb_is_not_overtaken() {
    let (_dir, path, store) = journaled();
    let mut author = Author::new(1, 1, 1);
    store.commit(&[author.append(b"one"), put(Table::Peers, b"k", b"in the journal")]).unwrap();
    let two = author.append(b"two");
    let cut = Write::Truncate { space: author.space, log: author.log, from: 1 };
    store.commit(&[two, cut, put(Table::Peers, b"k", b"straight")]).unwrap();
    let mut large = Author::new(1, 2, 2);
    store.commit(&large.appends(40, 5_000)).unwrap();
    store.commit(&[put(Table::Peers, b"l", b"in the journal again")]).unwrap();
    let held = dump(&store);
    let (_copy, copied) = killed(&path);
    for _ in 0..2 {
        let copy = RedbStore::open(&copied).unwrap();
        assert_eq!(dump(&copy), held);
        assert_eq!(copy.get(Table::Peers, b"k").unwrap().unwrap(), b"straight");
        assert_eq!(copy.tips(&author.space).unwrap().len(), 1);
    }
}

#[test]
fn compacting_leaves_nothing_in_it() {
    let (dir, path, store) = journaled();
    let mut author = Author::new(1, 1, 1);
    store.commit(&[author.append(b"a secret")]).unwrap();
    let journal = dir.path().join(JOURNAL);
    assert_eq!(written_to(&journal), 1);
    store.commit(&[Write::Erase { space: author.space, log: author.log, from: 1, upto: 1 }]).unwrap();
    store.compact().unwrap();
    assert_eq!((written_to(&journal), store.journals()), (0, true));
    store.commit(&[author.append(b"goes on")]).unwrap();
    let (_copy, copied) = killed(&path);
    assert_eq!(RedbStore::open(&copied).unwrap().tips(&author.space).unwrap()[0].1.seq, 2);
}

#[cfg(unix)]
#[test]
fn it_is_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, _, _store) = journaled();
    let mode = std::fs::metadata(dir.path().join(JOURNAL)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// One access fails, or all from there on: nothing acknowledged is lost, nothing refused is kept, and once the medium is
/// well again so is the journal.
#[test]
fn a_failing_journal_is_done_without() {
    for (k, for_good) in (0..14).flat_map(|k| [(k, false), (k, true)]) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cairn.redb");
        let plan = Plan::new();
        let store = RedbStore::open_with(&path, failing(&plan)).unwrap();
        store.rest().unwrap();
        let memory = MemoryStore::new();
        let mut author = Author::new(1, 1, 1);
        let first = [author.append(b"one"), put(Table::Peers, b"k", b"1")];
        store.commit(&first).unwrap();
        memory.commit(&first).unwrap();
        plan.set(k, for_good);
        for n in 0..3u8 {
            let tip = author.tip;
            let batch = [author.append(&[n; 50]), put(Table::Peers, b"k", &[n])];
            match store.commit(&batch) {
                Ok(()) => memory.commit(&batch).unwrap(),
                Err(error) => {
                    assert_eq!(error, StoreError::Full, "access {k}");
                    author.tip = tip;
                }
            }
            if !for_good {
                assert_eq!(dump(&store), dump(&memory), "access {k}");
            }
        }
        plan.set(u64::MAX, false);
        assert_eq!(dump(&store), dump(&memory), "access {k}, for good: {for_good}");
        store.rest().unwrap();
        assert!(store.journals(), "access {k}: written anew, it is used again");
        let last = [author.append(b"last")];
        store.commit(&last).unwrap();
        memory.commit(&last).unwrap();
        let (_copy, copied) = killed(&path);
        assert_eq!(dump(&RedbStore::open(&copied).unwrap()), dump(&memory), "access {k}");
        drop(store);
        let store = RedbStore::open(&path).unwrap();
        store.verify().unwrap();
        assert_eq!(dump(&store), dump(&memory), "access {k}");
    }
}

/// A large batch goes to redb with what the journal holds, and one access fails: both are kept, or the journal's alone.
#[test]
fn one_failed_access_while_it_is_emptied_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second, third) = batches();
    let small = [put(Table::Peers, b"k", b"newer"), put(Table::Said, b"s", b"said")];
    let states = states(&[&first[..], &small].concat(), &second);
    let started = |plan: &Arc<Plan>, path: &Path| {
        let store = RedbStore::open_with(path, failing(plan)).unwrap();
        store.commit(&first).unwrap();
        store.rest().unwrap();
        store.commit(&small).unwrap();
        store
    };
    let plan = Plan::new();
    let store = started(&plan, &dir.path().join("all"));
    plan.set(u64::MAX, false);
    store.commit(&second).unwrap();
    let total = plan.seen.load(Ordering::SeqCst);
    for (k, for_good) in sample(total).flat_map(|k| [(k, false), (k, true)]) {
        let path = dir.path().join(format!("{k} {for_good}"));
        let plan = Plan::new();
        let store = started(&plan, &path);
        plan.set(k, for_good);
        let outcome = store.commit(&second);
        if for_good {
            drop(store);
            plan.set(u64::MAX, false);
            let store = RedbStore::open(&path).unwrap_or_else(|e| panic!("access {k}: {e}"));
            store.verify().unwrap();
            let found = dump(&store);
            assert!(found == states.after || (outcome.is_err() && found == states.before), "access {k}");
            continue;
        }
        match outcome {
            Ok(()) => assert!(dump(&store) == states.after, "access {k}"),
            Err(error) => {
                assert_eq!(error, StoreError::Full, "access {k}");
                assert!(dump(&store) == states.before, "access {k}: nothing of the batch is kept");
                store.commit(&second).unwrap();
            }
        }
        store.commit(&third).unwrap();
        let held = dump(&store);
        let (_copy, copied) = {
            let copy = tempfile::tempdir().unwrap();
            let to = copy.path().join("cairn.redb");
            std::fs::copy(&path, &to).unwrap();
            std::fs::copy(path.with_file_name(format!("{k} {for_good}.journal")), copy.path().join(JOURNAL)).unwrap();
            (copy, to)
        };
        let copy = RedbStore::open(&copied).unwrap();
        copy.verify().unwrap();
        assert!(dump(&copy) == held, "access {k}");
    }
}

#[test]
fn a_journal_that_cannot_be_made_is_done_without() {
    for k in 0..12 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cairn.redb");
        let plan: Arc<Plan> = Plan::new();
        let store = RedbStore::open_with(&path, failing(&plan)).unwrap();
        plan.set(k, true);
        let made = store.rest();
        let accesses = plan.seen.load(Ordering::SeqCst);
        plan.set(u64::MAX, false);
        if made.is_ok() {
            assert!(accesses > 8, "{accesses}");
            return;
        }
        assert_eq!((made, store.journals()), (Err(StoreError::Full), false), "access {k}");
        store.commit(&[put(Table::Peers, b"k", b"v")]).unwrap();
        drop(store);
        let store = RedbStore::open(&path).unwrap();
        assert_eq!(store.get(Table::Peers, b"k").unwrap().unwrap(), b"v");
        store.rest().unwrap();
        assert!(store.journals());
    }
}

/// Three batches in a journal, after a kill.
fn three() -> (tempfile::TempDir, PathBuf, Author, tempfile::TempDir) {
    let (dir, path, store) = journaled();
    let mut author = Author::new(1, 1, 1);
    for n in 0..3u8 {
        store.commit(&[author.append(&[n; 100]), put(Table::Peers, &[n], &[n])]).unwrap();
    }
    let (copy, copied) = killed(&path);
    drop(store);
    (copy, copied, author, dir)
}

fn change(path: &Path, at: usize, change: impl Fn(&mut u8)) {
    let journal = path.with_file_name(JOURNAL);
    let mut bytes = std::fs::read(&journal).unwrap();
    change(&mut bytes[at]);
    std::fs::write(&journal, bytes).unwrap();
}

#[test]
fn a_torn_tail_is_dropped_and_written_over() {
    let (dir, path, author, _) = three();
    change(&path, 2 * record::PAGE + 300, |b| *b ^= 1);
    assert_eq!(RedbStore::examine_file(&path, &Seal::NONE, true).unwrap().damage, []);
    assert_eq!(RedbStore::examine_file(&path, &Seal::NONE, true).unwrap().entries, 2);
    let store = RedbStore::open(&path).unwrap();
    assert!(store.journals());
    assert_eq!(store.tips(&author.space).unwrap()[0].1.seq, 2);
    assert_eq!(names(dir.path()), ["cairn.redb", JOURNAL]);
}

#[test]
fn a_damaged_journal_is_reported_and_kept() {
    let (dir, path, mut author, _) = three();
    change(&path, record::PAGE + 300, |b| *b ^= 1);
    let damaged = std::fs::read(dir.path().join(JOURNAL)).unwrap();
    let found = RedbStore::examine_file(&path, &Seal::NONE, true).unwrap();
    assert!(found.damage.iter().any(|d| d.reason.contains("journal")), "{found:?}");
    let error = RedbStore::open(&path).unwrap_err();
    let StoreError::Corrupt { kept, saved, reason } = &error else { panic!("{error}") };
    assert!(reason.contains("its journal: records are missing"), "{reason}");
    assert!(kept.contains("cairn.redb.damaged-2") && kept.ends_with(".journal"), "{kept}");
    assert_eq!(std::fs::read(kept).unwrap(), damaged);
    // The entry behind the gap does not follow, its row is kept.
    assert_eq!((saved.entries, saved.lost, saved.rows), (1, 1, 2));
    let store = RedbStore::open(&path).unwrap();
    store.verify().unwrap();
    assert_eq!(store.tips(&author.space).unwrap()[0].1.seq, 1);
    assert_eq!(store.scan(Table::Peers, b"").unwrap().len(), 2);
    store.rest().unwrap();
    author.tip = Some(store.tips(&author.space).unwrap()[0].1);
    store.commit(&[author.append(b"goes on")]).unwrap();
    assert_eq!(names(dir.path()).len(), 3);
}

#[test]
fn the_journal_of_another_store_is_kept_and_not_replayed() {
    let (dir, path, _, _) = three();
    std::fs::remove_file(&path).unwrap();
    let error = RedbStore::open(&path).unwrap_err();
    assert!(error.to_string().contains("it belongs to another store"), "{error}");
    let store = RedbStore::open(&path).unwrap();
    assert_eq!(store.spaces().unwrap(), []);
    assert_eq!(names(dir.path()).len(), 2);
}

#[test]
fn a_damaged_store_is_saved_together_with_its_journal() {
    let (dir, path, store) = journaled();
    let mut author = Author::new(1, 1, 1);
    store.commit(&author.appends(50, 2_000)).unwrap();
    store.commit(&[author.append(b"in the journal"), put(Table::Outbox, b"o", b"waits")]).unwrap();
    let (copy, copied) = killed(&path);
    drop((store, dir));
    RedbStore::verify_next(&copied).unwrap();
    // What is in redb is damaged in a page that no log stands on.
    let mut bytes = std::fs::read(&copied).unwrap();
    let at = bytes.windows(8).rposition(|w| w == 20u64.to_be_bytes()).unwrap();
    bytes[at..at + 8].fill(0xa5);
    std::fs::write(&copied, &bytes).unwrap();
    let mut opened = RedbStore::open(&copied);
    let mut reports = 0;
    while let Err(error) = &opened {
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        reports += 1;
        assert!(reports < 3, "{error}");
        opened = RedbStore::open(&copied);
    }
    assert!(reports > 0, "the damage was seen");
    let store = opened.unwrap();
    assert_eq!(store.get(Table::Outbox, b"o").unwrap().unwrap(), b"waits", "after {reports} reports");
    store.verify().unwrap();
    drop(copy);
}
