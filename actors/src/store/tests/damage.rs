//! Damaged files are reported and set aside, never written over; what can be saved of them is saved.

use std::path::Path;

use super::super::conformance::{ALL, Author, put};
use super::super::{RedbStore, Seal, Store, StoreError, Stored, Table};
use super::{filled, names};

/// Opens a damaged file: it must be kept under another name, byte for byte, and then a store opens with what could be
/// saved, which is part of what was written. Answers how many entries.
fn is_set_aside(path: &Path, what: &str, written: &[Stored]) -> usize {
    let damaged = std::fs::read(path).unwrap();
    let error = RedbStore::open(path).expect_err(what);
    let StoreError::Corrupt { kept, reason, saved } = &error else { panic!("{what}: {error}") };
    assert!(!reason.is_empty() && kept.contains("cairn.redb.damaged-2"), "{what}: {error}");
    assert!(error.to_string().contains(kept), "the error names the file: {error}");
    let now = std::fs::read(kept).unwrap();
    assert_eq!(now.len(), damaged.len(), "{what}");
    // redb may have marked the header as being repaired; nothing behind it may differ.
    assert!(now.iter().zip(&damaged).skip(4096).all(|(a, b)| a == b), "{what}");
    let new = RedbStore::open(path).unwrap();
    new.verify().unwrap();
    let author = Author::new(1, 1, 1);
    let read = new.entries(&author.space, &author.log, 1, ALL).unwrap();
    assert_eq!(read.len() as u64, saved.entries, "{what}");
    assert!(written.starts_with(&read), "{what}");
    drop(new);
    assert_eq!(names(path.parent().unwrap()).len(), 2, "{what}: nothing else is left");
    std::fs::remove_file(path).unwrap();
    std::fs::remove_file(kept).unwrap();
    read.len()
}

fn written(path: &Path) -> Vec<Stored> {
    let (store, author) = (RedbStore::open(path).unwrap(), Author::new(1, 1, 1));
    store.entries(&author.space, &author.log, 1, ALL).unwrap()
}

#[test]
fn garbage_truncation_and_zeroed_pages() {
    let (_dir, path, _) = filled();
    let written = written(&path);
    let good = std::fs::read(&path).unwrap();
    let mut cases: Vec<(String, Vec<u8>)> = vec![
        ("empty".into(), vec![]),
        ("garbage".into(), (0..100_000u32).flat_map(u32::to_le_bytes).collect()),
        ("text".into(), b"not a store at all\n".to_vec()),
        ("zeros".into(), vec![0; good.len()]),
        ("all but the header zeroed".into(), {
            let mut bytes = good.clone();
            bytes[4096..].fill(0);
            bytes
        }),
        ("the header is garbage behind its magic".into(), {
            let mut bytes = good.clone();
            bytes[9..512].fill(0xa5);
            bytes
        }),
        ("all but the header is garbage".into(), {
            let mut bytes = good.clone();
            bytes[4096..].fill(0xa5);
            bytes
        }),
    ];
    for len in [1, 8, 9, 63, 320, 4095, 4096, 8192, good.len() / 2, good.len() - 4096, good.len() - 1] {
        cases.push((format!("cut to {len}"), good[..len].to_vec()));
    }
    for (what, bytes) in cases {
        std::fs::write(&path, &bytes).unwrap();
        is_set_aside(&path, &what, &written);
    }
}

/// A damaged page costs what stands on it and what follows in the same log, not more.
#[test]
fn what_is_in_order_is_saved() {
    let (dir, path, mut author) = filled();
    let other = {
        let store = RedbStore::open(&path).unwrap();
        let mut other = Author::new(2, 2, 2);
        store.commit(&[author.append(&[0xee; 300])]).unwrap();
        store.commit(&author.appends(20, 300)).unwrap();
        store.commit(&other.appends(50, 300)).unwrap();
        store.commit(&[put(Table::Briefings, b"b", b"briefing"), put(Table::Meta, b"port", b"xx")]).unwrap();
        other
    };
    let (written, good) = (written(&path), std::fs::read(&path).unwrap());
    // Whatever copies of the page there are, all of them.
    let mut bytes = good;
    while let Some(at) = bytes.windows(300).position(|w| w == [0xee; 300]) {
        bytes[at + 7] ^= 1;
    }
    std::fs::write(&path, &bytes).unwrap();
    let found = RedbStore::examine_file(&path, &Seal::NONE, true).unwrap();
    assert!(!found.damage.is_empty() && std::fs::read(&path).unwrap() == bytes, "looking changes nothing");

    RedbStore::verify_next(&path).unwrap();
    let error = RedbStore::open(&path).unwrap_err();
    let StoreError::Corrupt { saved, .. } = &error else { panic!("{error}") };
    let store = RedbStore::open(&path).unwrap();
    let read = store.entries(&author.space, &author.log, 1, ALL).unwrap();
    assert!(written.starts_with(&read) && (read.len(), written.len()) == (300, 321), "{}", read.len());
    assert_eq!(store.entries(&other.space, &other.log, 1, ALL).unwrap().len(), 50, "the other log lost nothing");
    assert_eq!(store.get(Table::Briefings, b"b").unwrap().unwrap(), b"briefing");
    assert_eq!(store.get(Table::Peers, &[4]).unwrap().unwrap(), b"peer");
    assert_eq!(
        (saved.logs, saved.entries, saved.lost),
        (2, read.len() as u64 + 50, (written.len() - read.len()) as u64)
    );
    assert!(error.to_string().contains(&format!("{} entries were saved of it, at least", saved.entries)), "{error}");
    let found = store.examine(true).unwrap();
    assert_eq!((found.damage, found.entries), (vec![], saved.entries));
    drop(store);

    // Cut short at every step of the exchange, the next opening goes on.
    let salvaged = dir.path().join("cairn.redb.salvaged");
    std::fs::rename(&path, &salvaged).unwrap();
    let again = RedbStore::open(&path).unwrap();
    assert_eq!(again.entries(&author.space, &author.log, 1, ALL).unwrap(), read);
    drop(again);
    std::fs::copy(&path, &salvaged).unwrap();
    std::fs::write(dir.path().join("cairn.redb.salvaging"), "half of").unwrap();
    std::fs::write(&path, &bytes).unwrap();
    RedbStore::verify_next(&path).unwrap();
    assert!(matches!(RedbStore::open(&path), Err(StoreError::Corrupt { .. })));
    assert_eq!(RedbStore::open(&path).unwrap().entries(&author.space, &author.log, 1, ALL).unwrap(), read);
    let left = names(dir.path());
    assert!(!left.iter().any(|n| n.contains("salvag") || n.contains("check")), "{left:?}");
}

#[test]
fn two_damaged_files_both_keep_a_name() {
    let (dir, path, _) = filled();
    for _ in 0..3 {
        std::fs::write(&path, "garbage").unwrap();
        assert!(matches!(RedbStore::open(&path), Err(StoreError::Corrupt { .. })));
    }
    assert_eq!(names(dir.path()).len(), 3 + 1);
}

/// Damages one page after the other. Whatever the page: no panic, no wrong answer; either the opening notices, or a
/// read does and then the next opening, or the page was not in use.
#[test]
fn any_damaged_page_is_noticed_or_harmless() {
    let (dir, path, author) = filled();
    let good = std::fs::read(&path).unwrap();
    let whole = RedbStore::open(&path).unwrap();
    let entries = whole.entries(&author.space, &author.log, 1, ALL).unwrap();
    drop(whole);
    let (mut at_open, mut at_read, mut harmless, mut saved) = (0, 0, 0, 0);
    for page in 1..good.len() / 4096 {
        let range = page * 4096..(page + 1) * 4096;
        if good[range.clone()].iter().all(|b| *b == 0) {
            continue;
        }
        let mut bytes = good.clone();
        if page % 2 == 0 {
            bytes[range].fill(0);
        } else {
            // The keys and values of a leaf come after its head.
            bytes[range].iter_mut().skip(1500).step_by(700).for_each(|b| *b ^= 0x40);
        }
        std::fs::write(&path, &bytes).unwrap();
        match RedbStore::open(&path) {
            Err(StoreError::Corrupt { kept, .. }) => {
                at_open += 1;
                saved += self::saved(&path, &entries);
                std::fs::remove_file(kept).unwrap();
            }
            Err(error) => panic!("page {page}: {error}"),
            Ok(store) => match store.entries(&author.space, &author.log, 1, ALL) {
                Ok(read) => {
                    harmless += 1;
                    assert_eq!(read, entries, "page {page}");
                }
                Err(StoreError::Damaged { .. }) => {
                    at_read += 1;
                    drop(store);
                    let error = RedbStore::open(&path).expect_err("the next opening looks at everything");
                    let StoreError::Corrupt { kept, .. } = error else { panic!("page {page}: {error}") };
                    saved += self::saved(&path, &entries);
                    std::fs::remove_file(kept).unwrap();
                }
                Err(error) => panic!("page {page}: {error}"),
            },
        }
        let _ = std::fs::remove_file(&path);
        let _ = std::fs::remove_file(dir.path().join("cairn.redb.check"));
    }
    assert!(at_open > 0 && at_read > 10, "{at_open} at open, {at_read} at read, {harmless} harmless");
    let mean = saved / (at_open + at_read) * 100 / entries.len();
    assert!(mean > 15, "{mean} of 100 entries saved, in the mean");
}

/// What was saved is part of what was written; how many entries.
fn saved(path: &Path, entries: &[Stored]) -> usize {
    let store = RedbStore::open(path).unwrap();
    store.verify().unwrap();
    let author = Author::new(1, 1, 1);
    let read = store.entries(&author.space, &author.log, 1, ALL).unwrap();
    assert!(entries.starts_with(&read));
    read.len()
}

/// Bytes flipped at random, most of them where the structure is. The answer may be any, but there must be one, and
/// what is read must be what was written.
#[test]
fn flipped_bytes_never_give_wrong_entries() {
    use rand::{RngExt, SeedableRng};
    let (dir, path, author) = filled();
    let good = std::fs::read(&path).unwrap();
    let entries = {
        let store = RedbStore::open(&path).unwrap();
        store.entries(&author.space, &author.log, 1, ALL).unwrap()
    };
    let pages: Vec<usize> =
        (0..good.len() / 4096).filter(|p| good[p * 4096..].iter().take(64).any(|b| *b != 0)).collect();
    for seed in 0..100 {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = good.clone();
        for _ in 0..rng.random_range(1..6) {
            let page = pages[rng.random_range(0..pages.len())];
            let within = if rng.random() { rng.random_range(0..64) } else { rng.random_range(0..4096) };
            if let Some(byte) = bytes.get_mut(page * 4096 + within) {
                *byte = rng.random();
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(store) = RedbStore::open(&path)
            && let Ok(read) = store.entries(&author.space, &author.log, 1, ALL)
        {
            let differs = entries.iter().zip(&read).position(|(a, b)| a != b);
            assert!(read == entries || read.is_empty(), "seed {seed}, entry {differs:?} of {}", read.len());
        }
        for name in names(dir.path()) {
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
    }
}

#[test]
fn a_false_alarm_keeps_the_store() {
    let (dir, path, author) = filled();
    let note = dir.path().join("cairn.redb.check");
    std::fs::write(&note, "a read failed").unwrap();
    let store = RedbStore::open(&path).unwrap();
    assert!(!note.exists());
    assert_eq!(store.tips(&author.space).unwrap(), [(author.log, author.tip.unwrap())]);
}

#[test]
fn a_store_in_use_and_a_path_that_is_none() {
    let (dir, path, _) = filled();
    let first = RedbStore::open(&path).unwrap();
    assert_eq!(RedbStore::open(&path).unwrap_err(), StoreError::InUse);
    drop(first);
    assert!(RedbStore::open(&path).unwrap().get(Table::Peers, &[0]).unwrap().is_some());
    assert!(matches!(RedbStore::open(dir.path()), Err(StoreError::Io(_))));
    assert!(matches!(RedbStore::open(&dir.path().join("none/cairn.redb")), Err(StoreError::Io(_))));
    assert_eq!(names(dir.path()), ["cairn.redb"]);
}

#[test]
fn a_first_start_that_was_cut_short_leaves_nothing_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cairn.redb");
    std::fs::write(dir.path().join("cairn.redb.new"), "half of").unwrap();
    RedbStore::open(&path).unwrap();
    assert_eq!(names(dir.path()), ["cairn.redb"]);
}
