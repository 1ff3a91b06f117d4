//! Sealed stores: nothing that was written can be read in any file of the folder, what was exchanged or put back is damage,
//! and without the right key the files stay as they are.

use std::path::{Path, PathBuf};

use cairn_crdt::vault::DataKey;
use redb::{Database, ReadableDatabase, ReadableTable};

use super::super::conformance::{ALL, Author, dump, put, sealed};
use super::super::tables::{PAYLOADS, SCHEMA, SCHEMA_KEY, small};
use super::super::{RedbStore, Seal, Store, StoreError, Table, Write};
use super::names;

/// What must be found nowhere.
const WORD: &[u8] = b"planted word of a person";

fn open(path: &Path) -> RedbStore {
    RedbStore::open_sealed(path, &sealed()).unwrap()
}

fn other() -> Seal {
    DataKey::new(&[6; 32]).into()
}

/// The names of files of a folder in which a word stands.
fn with_word(folder: &Path, word: &[u8]) -> Vec<String> {
    let found = |name: &String| {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        bytes.windows(word.len()).any(|w| w == word)
    };
    names(folder).into_iter().filter(found).collect()
}

/// Writes the word wherever something can be written.
fn write_words(store: &RedbStore, author: &mut Author) {
    let mut batch: Vec<Write> = super::super::tables::SMALL
        .into_iter()
        .map(|table| put(table, b"key", &[WORD, b" in a row"].concat()))
        .collect();
    batch.extend((0..5).map(|_| author.append(&[b"before ", WORD].concat())));
    store.commit(&batch).unwrap();
}

fn copied(path: &Path) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    for name in names(path.parent().unwrap()) {
        std::fs::copy(path.parent().unwrap().join(&name), dir.path().join(&name)).unwrap();
    }
    let copy = dir.path().join("cairn.redb");
    (dir, copy)
}

#[test]
fn no_file_shows_what_was_written_at_any_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cairn.redb");
    // The search would find it.
    let plain = RedbStore::open(&path).unwrap();
    plain.rest().unwrap();
    let mut author = Author::new(1, 1, 1);
    write_words(&plain, &mut author);
    assert_eq!(with_word(dir.path(), WORD), ["cairn.redb.journal"]);
    drop(plain);
    assert_eq!(with_word(dir.path(), WORD), ["cairn.redb", "cairn.redb.journal"]);
    names(dir.path()).iter().for_each(|name| std::fs::remove_file(dir.path().join(name)).unwrap());

    let store = open(&path);
    let mut author = Author::new(1, 1, 1);
    let nothing = |when: &str| assert_eq!(with_word(dir.path(), WORD), [""; 0], "{when}");
    write_words(&store, &mut author);
    nothing("without a journal");
    store.rest().unwrap();
    write_words(&store, &mut author);
    assert!(store.journals());
    nothing("in the journal");
    // As after a crash: what the journal holds is replayed.
    let held = dump(&store);
    let (crashed, copy) = copied(&path);
    let again = open(&copy);
    assert_eq!(dump(&again), held);
    assert_eq!(with_word(crashed.path(), WORD), [""; 0]);
    drop(again);
    store.rest().unwrap();
    nothing("in redb");
    store.commit(&author.appends(100, 2_000)).unwrap();
    store.commit(&[Write::Erase { space: author.space, log: author.log, from: 1, upto: 105 }]).unwrap();
    store.compact().unwrap();
    nothing("compacted");
    assert_eq!(store.entries(&author.space, &author.log, 1, ALL).unwrap().len(), 110);
    store.verify().unwrap();
    drop(store);
    nothing("closed");
    assert_eq!(with_word(dir.path(), &author.log.device.0), ["cairn.redb"], "keys are ids, and in the clear");
}

#[test]
fn the_right_key_alone_opens_it_and_nothing_else_touches_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cairn.redb");
    let plain = dir.path().join("plain.redb");
    let fill = |store: RedbStore| {
        write_words(&store, &mut Author::new(1, 1, 1));
        dump(&store)
    };
    let held = (fill(open(&path)), fill(RedbStore::open(&plain).unwrap()));
    let before = names(dir.path());
    // Asked for again and again, also with a check that was wanted: no check that was not done counts as one.
    RedbStore::verify_next(&path).unwrap();
    for _ in 0..5 {
        assert_eq!(RedbStore::open(&path).unwrap_err(), StoreError::Sealed);
        assert_eq!(RedbStore::open_sealed(&path, &other()).unwrap_err(), StoreError::OtherKey);
    }
    assert_eq!(RedbStore::open_sealed(&plain, &sealed()).unwrap_err(), StoreError::NotSealed);
    assert_eq!(RedbStore::examine_file(&path, &Seal::NONE, true).unwrap_err(), StoreError::Sealed);
    std::fs::remove_file(dir.path().join("cairn.redb.check")).unwrap();
    assert_eq!(names(dir.path()), before);
    assert_eq!((dump(&open(&path)), dump(&RedbStore::open(&plain).unwrap())), held);
    assert_eq!(RedbStore::examine_file(&path, &sealed(), true).unwrap().damage, []);
    // A damaged one is not set aside by somebody who could save nothing of it.
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at..].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let error = RedbStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Sealed | StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn a_build_that_knows_nothing_of_seals_takes_it_for_a_newer_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cairn.redb");
    drop(open(&path));
    let db = Database::open(&path).unwrap();
    let meta = db.begin_read().unwrap().open_table(small(Table::Meta)).unwrap();
    let schema = meta.get(SCHEMA_KEY).unwrap().unwrap().value().to_vec();
    assert!(u32::from_be_bytes(schema.try_into().unwrap()) > SCHEMA);
}

/// Changes the rows of a table behind the store's back.
fn tamper(path: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let db = Database::open(path).unwrap();
    let txn = db.begin_write().unwrap();
    change(&txn);
    txn.commit().unwrap();
}

fn value(txn: &redb::WriteTransaction, table: Table, key: &[u8]) -> Vec<u8> {
    txn.open_table(small(table)).unwrap().get(key).unwrap().unwrap().value().to_vec()
}

#[test]
fn exchanged_rows_are_damage_and_saving_the_rest_keeps_it_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cairn.redb");
    let (store, mut author) = (open(&path), Author::new(1, 1, 1));
    let words =
        [put(Table::Peers, b"ann", b"Ann's name"), put(Table::Peers, b"bob", WORD), put(Table::Void, b"bob", b"x")];
    store.commit(&words).unwrap();
    store.commit(&author.appends(9, 40)).unwrap();
    drop(store);
    // Bob's name under Ann's key, and a row of another table.
    tamper(&path, |txn| {
        let bob = value(txn, Table::Peers, b"bob");
        txn.open_table(small(Table::Peers)).unwrap().insert(&b"ann"[..], bob.as_slice()).unwrap();
        let moved = value(txn, Table::Void, b"bob");
        txn.open_table(small(Table::Durable)).unwrap().insert(&b"bob"[..], moved.as_slice()).unwrap();
        // The payload of one entry behind another.
        let mut payloads = txn.open_table(PAYLOADS).unwrap();
        let sixth = payloads.get(&super::super::tables::entry_key(1, 6)).unwrap().unwrap().value().to_vec();
        payloads.insert(&super::super::tables::entry_key(1, 7), sixth.as_slice()).unwrap();
    });
    let store = open(&path);
    for (table, key) in [(Table::Peers, b"ann"), (Table::Durable, b"bob")] {
        assert!(matches!(store.get(table, key), Err(StoreError::Damaged { .. })), "{table:?}");
        assert!(matches!(store.scan(table, b""), Err(StoreError::Damaged { .. })), "{table:?}");
    }
    assert_eq!(store.get(Table::Peers, b"bob").unwrap().as_deref(), Some(WORD));
    assert!(matches!(store.entries(&author.space, &author.log, 1, ALL), Err(StoreError::Damaged { .. })));
    drop(store);
    let found = RedbStore::examine_file(&path, &sealed(), true).unwrap();
    assert_eq!(found.damage.len(), 3, "{:?}", found.damage);
    // The damage left a note: the next start saves what opens in its place.
    let error = RedbStore::open_sealed(&path, &sealed()).unwrap_err();
    let StoreError::Corrupt { saved, .. } = &error else { panic!("{error}") };
    assert_eq!((saved.entries, saved.lost), (6, 3), "{error}");
    let store = open(&path);
    store.verify().unwrap();
    assert_eq!(store.scan(Table::Peers, b"").unwrap(), [(b"bob".to_vec(), WORD.to_vec())]);
    assert_eq!(store.scan(Table::Durable, b"").unwrap(), []);
    assert_eq!(with_word(dir.path(), WORD), [""; 0], "neither what was kept aside nor what was saved shows it");
    drop(store);
    assert_eq!(RedbStore::open(&path).unwrap_err(), StoreError::Sealed);
}

#[test]
fn a_log_that_was_put_back_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cairn.redb");
    let (store, mut author) = (open(&path), Author::new(1, 1, 1));
    store.commit(&author.appends(5, 40)).unwrap();
    drop(store);
    // The row of the log as it was then, with what came later still there; then the entries of then with the row of now.
    let table = super::super::tables::LOGS;
    let row = |txn: &redb::WriteTransaction| {
        txn.open_table(table).unwrap().first().unwrap().map(|(k, v)| (*k.value(), *v.value()))
    };
    let mut old = None;
    tamper(&path, |txn| old = row(txn));
    let store = open(&path);
    store.commit(&author.appends(5, 40)).unwrap();
    drop(store);
    let (key, old) = old.unwrap();
    let mut new = None;
    tamper(&path, |txn| {
        new = row(txn);
        txn.open_table(table).unwrap().insert(&key, &old).unwrap();
    });
    assert!(!RedbStore::examine_file(&path, &sealed(), false).unwrap().damage.is_empty());
    tamper(&path, |txn| {
        txn.open_table(table).unwrap().insert(&key, &new.unwrap().1).unwrap();
        for seq in 6..=10 {
            txn.open_table(PAYLOADS).unwrap().remove(&super::super::tables::entry_key(1, seq)).unwrap();
        }
    });
    assert!(!RedbStore::examine_file(&path, &sealed(), false).unwrap().damage.is_empty());
}

#[test]
fn a_record_of_the_journal_that_stands_elsewhere_or_was_made_up_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cairn.redb");
    let store = open(&path);
    store.rest().unwrap();
    for n in 0..3u8 {
        store.commit(&[put(Table::Peers, b"k", &[n; 100])]).unwrap();
    }
    // A crash; then the bodies of two records exchanged, with checks that fit.
    let (_copy, copied) = copied(&path);
    drop(store);
    let journal = copied.with_file_name("cairn.redb.journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    super::super::record::exchange(&mut bytes, 0, 1);
    std::fs::write(&journal, &bytes).unwrap();
    let error = RedbStore::open_sealed(&copied, &sealed()).unwrap_err();
    assert!(error.to_string().contains("a record does not open"), "{error}");
    assert_eq!(open(&copied).get(Table::Peers, b"k").unwrap(), Some(vec![2; 100]), "the third is as it was");
}
