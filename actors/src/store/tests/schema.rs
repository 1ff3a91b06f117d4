//! Versions of the schema: stores of every schema as they were written then, and one from the future.

use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase};

use super::super::conformance::{ALL, Author, dump, put};
use super::super::tables::{SCHEMA, SCHEMA_KEY, small};
use super::super::{MemoryStore, RedbStore, Store, StoreError, Table, Write};
use super::filled;

/// Stores as `pack` writes them. They are never written again: later builds must read them.
const SCHEMA_1: &[u8] = include_bytes!("../fixtures/schema1.bin");
const SCHEMA_2: &[u8] = include_bytes!("../fixtures/schema2.bin");
const SCHEMA_3: &[u8] = include_bytes!("../fixtures/schema3.bin");
const SCHEMA_4: &[u8] = include_bytes!("../fixtures/schema4.bin");

const BLOCK: usize = 64;

/// The file without its empty blocks: length u64, then number u32 and bytes of each block of 64 that is not zero.
fn pack(file: &[u8]) -> Vec<u8> {
    let mut out = (file.len() as u64).to_be_bytes().to_vec();
    for (number, block) in (0u32..).zip(file.chunks(BLOCK)).filter(|(_, block)| block.iter().any(|b| *b != 0)) {
        out.extend_from_slice(&number.to_be_bytes());
        out.extend_from_slice(block);
    }
    out
}

fn unpack(packed: &[u8]) -> Vec<u8> {
    let (len, blocks) = packed.split_first_chunk::<8>().unwrap();
    let mut file = vec![0; usize::try_from(u64::from_be_bytes(*len)).unwrap()];
    for block in blocks.chunks(4 + BLOCK) {
        let (number, bytes) = block.split_first_chunk::<4>().unwrap();
        let at = u32::from_be_bytes(*number) as usize * BLOCK;
        file[at..at + bytes.len()].copy_from_slice(bytes);
    }
    file
}

/// What the fixture of schema 1 holds.
fn contents_1() -> Vec<Write> {
    let (mut ann, mut bob) = (Author::new(1, 2900, 1), Author::new(2, 2901, 2));
    let mut writes = vec![
        put(Table::Meta, b"port", &27475u16.to_be_bytes()),
        put(Table::Networks, b"n", b"network"),
        put(Table::Peers, b"p", b"peer"),
        put(Table::Durable, b"d", b"durable"),
        put(Table::Outbox, b"o", b"outbox"),
        put(Table::Void, b"v", b"void"),
        ann.append(b"one"),
        bob.append(b"uno"),
        ann.append(b"two"),
    ];
    writes.push(Write::Append { entry: ann.entry(None), received: 1_795_224_667_000 });
    writes
}

/// What the fixtures of schemas 2 and 3 hold, committed in this order: what was in schema 1, rows of the new tables, erased
/// payloads, a log that was cut and went on, and one that was removed.
fn contents_2() -> Vec<Vec<Write>> {
    let (mut cut, mut gone) = (Author::new(2, 2902, 3), Author::new(3, 2903, 4));
    let mut more = vec![
        put(Table::Said, b"s", b"said"),
        put(Table::Statements, b"st", b"statement"),
        put(Table::Forks, b"f", b"proof"),
        put(Table::Retired, b"r", b"retired"),
        put(Table::Briefings, b"b", b"briefing"),
        cut.append(b"eins"),
    ];
    let common = cut.tip;
    more.extend([cut.append(b"zwei"), gone.append(b"un"), gone.append(b"deux")]);
    cut.tip = common;
    let bob = Author::new(2, 2901, 2);
    let last = vec![
        Write::Truncate { space: cut.space, log: cut.log, from: 2 },
        cut.append(b"andere zwei"),
        Write::Truncate { space: gone.space, log: gone.log, from: 1 },
        Write::Erase { space: bob.space, log: bob.log, from: 1, upto: 1 },
        Write::Erase { space: cut.space, log: cut.log, from: 1, upto: 1 },
    ];
    vec![contents_1(), more, last]
}

/// What the fixture of schema 4 holds: the same, and keys.
fn contents_4() -> Vec<Vec<Write>> {
    let mut all = contents_2();
    all.push(vec![put(Table::Keys, b"k", &[7; 32]), put(Table::Keys, b"l", b""), put(Table::Prekeys, b"p", b"ring")]);
    all
}

fn unpacked(fixture: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cairn.redb");
    std::fs::write(&path, unpack(fixture)).unwrap();
    (dir, path)
}

fn in_memory(batches: &[Vec<Write>]) -> MemoryStore {
    let memory = MemoryStore::new();
    batches.iter().for_each(|batch| memory.commit(batch).unwrap());
    memory
}

#[test]
fn every_schema_is_read() {
    let all =
        [(SCHEMA_1, vec![contents_1()]), (SCHEMA_2, contents_2()), (SCHEMA_3, contents_2()), (SCHEMA_4, contents_4())];
    for (fixture, batches) in all {
        let (_dir, path) = unpacked(fixture);
        for round in ["as it was written", "after the migration"] {
            let old = RedbStore::open(&path).unwrap();
            old.verify().unwrap();
            assert_eq!(dump(&old), dump(&in_memory(&batches)), "{round}");
            let ann = Author::new(1, 2900, 1);
            assert_eq!(old.entries(&ann.space, &ann.log, 3, ALL).unwrap()[0].received, 1_795_224_667_000);
        }
    }
}

#[test]
fn every_schema_goes_on() {
    for fixture in [SCHEMA_1, SCHEMA_2, SCHEMA_3, SCHEMA_4] {
        let (_dir, path) = unpacked(fixture);
        let old = RedbStore::open(&path).unwrap();
        let mut ann = Author::new(1, 2900, 1);
        ann.tip = Some(old.tips(&ann.space).unwrap()[0].1);
        let mut new = Author::new(1, 2900, 3);
        old.commit(&[ann.append(b"four"), new.append(b"one")]).unwrap();
        let erase = Write::Erase { space: ann.space, log: ann.log, from: 1, upto: 3 };
        old.commit(&[erase, put(Table::Forks, b"f", b"new"), put(Table::Briefings, b"b", b"new")]).unwrap();
        let cut = Write::Truncate { space: ann.space, log: ann.log, from: 3 };
        old.commit(&[
            cut,
            put(Table::Statements, b"s", b"new"),
            put(Table::Retired, b"r", b"new"),
            put(Table::Keys, b"n", b"new"),
        ])
        .unwrap();
        old.verify().unwrap();
        let left = old.entries(&ann.space, &ann.log, 1, ALL).unwrap();
        assert!(left.len() == 2 && left.iter().all(|stored| stored.entry.payload.is_none()));
    }
}

#[test]
#[ignore = "writes the fixture: only when a new schema needs one of its own"]
fn write_the_fixture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cairn.redb");
    let store = RedbStore::open(&path).unwrap();
    contents_4().iter().for_each(|batch| store.commit(batch).unwrap());
    drop(store);
    let file = std::fs::read(&path).unwrap();
    assert_eq!(unpack(&pack(&file)), file);
    let name = format!("src/store/fixtures/schema{SCHEMA}.bin");
    std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), pack(&file)).unwrap();
}

fn set_schema(path: &Path, value: Option<&[u8]>) {
    let db = Database::open(path).unwrap();
    let txn = db.begin_write().unwrap();
    {
        let mut meta = txn.open_table(small(Table::Meta)).unwrap();
        match value {
            Some(value) => drop(meta.insert(SCHEMA_KEY, value).unwrap()),
            None => drop(meta.remove(SCHEMA_KEY).unwrap()),
        }
    }
    txn.commit().unwrap();
}

#[test]
fn a_store_of_a_newer_cairn_is_left_alone() {
    let (dir, path, author) = filled();
    let newer = (SCHEMA + 1).to_be_bytes();
    set_schema(&path, Some(&newer));
    let error = RedbStore::open(&path).unwrap_err();
    assert_eq!(error, StoreError::Newer { found: SCHEMA + 1, known: SCHEMA });
    assert!(error.to_string().contains("newer Cairn"));
    assert_eq!(super::names(dir.path()), ["cairn.redb"]);
    let db = Database::open(&path).unwrap();
    let value = db.begin_read().unwrap().open_table(small(Table::Meta)).unwrap().get(SCHEMA_KEY).unwrap();
    assert_eq!(value.unwrap().value(), newer);
    drop(db);
    set_schema(&path, Some(&SCHEMA.to_be_bytes()));
    assert_eq!(RedbStore::open(&path).unwrap().tips(&author.space).unwrap().len(), 1);
}

#[test]
fn a_schema_that_is_none_is_damage() {
    for value in [None, Some(&b"xx"[..])] {
        let (_dir, path, _) = filled();
        set_schema(&path, value);
        assert!(matches!(RedbStore::open(&path), Err(StoreError::Corrupt { .. })));
    }
}
