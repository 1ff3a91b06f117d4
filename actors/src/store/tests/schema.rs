//! Versions of the schema: a store of schema 1 as it was written then, and one from the future.

use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase};

use super::super::conformance::{ALL, Author, dump, put};
use super::super::tables::{SCHEMA_KEY, small};
use super::super::{RedbStore, Store, StoreError, Table, Write};
use super::filled;

/// A store of schema 1 as `pack` writes it. It is never written again: later builds must read it.
const SCHEMA_1: &[u8] = include_bytes!("../fixtures/schema1.bin");

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

/// What the fixture holds.
fn contents() -> Vec<Write> {
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

fn unpacked() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cairn.redb");
    std::fs::write(&path, unpack(SCHEMA_1)).unwrap();
    (dir, path)
}

#[test]
fn schema_1_is_read() {
    let (_dir, path) = unpacked();
    let old = RedbStore::open(&path).unwrap();
    old.verify().unwrap();
    let memory = super::super::MemoryStore::new();
    memory.commit(&contents()).unwrap();
    assert_eq!(dump(&old), dump(&memory));
    let ann = Author::new(1, 2900, 1);
    assert_eq!(old.entries(&ann.space, &ann.log, 3, ALL).unwrap()[0].received, 1_795_224_667_000);
}

#[test]
fn schema_1_goes_on() {
    let (_dir, path) = unpacked();
    let old = RedbStore::open(&path).unwrap();
    let mut ann = Author::new(1, 2900, 1);
    ann.tip = Some(old.tips(&ann.space).unwrap()[0].1);
    let mut new = Author::new(1, 2900, 3);
    old.commit(&[ann.append(b"four"), new.append(b"one")]).unwrap();
    old.verify().unwrap();
}

#[test]
#[ignore = "writes the fixture: only when a new schema needs one of its own"]
fn write_the_fixture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cairn.redb");
    RedbStore::open(&path).unwrap().commit(&contents()).unwrap();
    let file = std::fs::read(&path).unwrap();
    assert_eq!(unpack(&pack(&file)), file);
    let name = format!("src/store/fixtures/schema{}.bin", super::super::tables::SCHEMA);
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
    set_schema(&path, Some(&2u32.to_be_bytes()));
    let error = RedbStore::open(&path).unwrap_err();
    assert_eq!(error, StoreError::Newer { found: 2, known: 1 });
    assert!(error.to_string().contains("newer Cairn"));
    assert_eq!(super::names(dir.path()), ["cairn.redb"]);
    let db = Database::open(&path).unwrap();
    let value = db.begin_read().unwrap().open_table(small(Table::Meta)).unwrap().get(SCHEMA_KEY).unwrap();
    assert_eq!(value.unwrap().value(), 2u32.to_be_bytes());
    drop(db);
    set_schema(&path, Some(&1u32.to_be_bytes()));
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
