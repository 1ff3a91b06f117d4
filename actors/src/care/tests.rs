//! Backups: what was saved comes back; what is no whole backup is refused with a sentence, and changes nothing.

use std::path::{Path, PathBuf};

use cairn_crdt::netkey::{NetworkKey, Ring};

use super::backup::{prepare, restore, save};
use super::file::{BackupError, BackupReader, Part};
use crate::data::{DataFolder, key_path, settings_path, store_path};
use crate::netkeys;
use crate::settings::Settings;
use crate::store::conformance::{Author, Dump, dump, put};
use crate::store::{MemoryStore, RedbStore, Seal, Store, Table, Write};

mod sealed;

const NOW: u64 = 1_795_224_667_000;

/// A data folder with something of everything in it.
fn filled(path: &Path) -> Dump {
    let mut folder = DataFolder::open(path).unwrap();
    folder.device_key().unwrap();
    let mut settings = Settings::default();
    settings.set("name", "Post 3").unwrap();
    settings.save(&settings_path(path)).unwrap();
    let store = RedbStore::open(&store_path(path)).unwrap();
    fill(&store);
    dump(&store)
}

fn fill(store: &dyn Store) {
    let mut authors: Vec<_> = (1..4).map(|n| Author::new(n % 2, u32::from(n), n)).collect();
    for round in 0..4u8 {
        let mut batch = vec![put(Table::Peers, &[round], &[round; 300]), put(Table::Meta, b"port", b"xx")];
        batch.push(put(Table::Briefings, &[round; 40], b""));
        authors.iter_mut().for_each(|a| batch.extend(a.appends(5, 20_000)));
        store.commit(&batch).unwrap();
    }
    let erase = Write::Erase { space: authors[0].space, log: authors[0].log, from: 2, upto: 9 };
    store.commit(&[erase]).unwrap();
}

fn saved(dir: &Path) -> (PathBuf, Dump) {
    let (data, file) = (dir.join("data"), dir.join("a.cairn-backup"));
    let held = filled(&data);
    let store = RedbStore::open(&store_path(&data)).unwrap();
    let backed_up = save(&data, &Seal::NONE, &store, NOW, &file).unwrap();
    assert_eq!(backed_up.bytes, std::fs::metadata(&file).unwrap().len());
    assert_eq!((backed_up.entries, backed_up.created), (60, NOW));
    (file, held)
}

fn restored(file: &Path, data: &Path, replace: bool) -> Result<crate::api::Restored, BackupError> {
    restore(&mut DataFolder::open(data).unwrap(), file, None, replace, NOW)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_empty_folder_gets_everything_back() {
    let dir = tempfile::tempdir().unwrap();
    let (file, held) = saved(dir.path());
    let new = dir.path().join("new");
    let outcome = restored(&file, &new, false).unwrap();
    assert_eq!((outcome.entries, outcome.created, outcome.kept), (60, NOW, None));
    let store = RedbStore::open(&store_path(&new)).unwrap();
    store.verify().unwrap();
    assert_eq!(dump(&store), held);
    for of in [key_path, settings_path] {
        let bytes = |data: &str| std::fs::read(of(&dir.path().join(data))).unwrap();
        assert_eq!(bytes("new"), bytes("data"));
    }
    assert_eq!(names(&new), ["cairn.lock", "cairn.redb", "device.key", "settings.json"]);
}

#[test]
fn a_folder_in_use_is_replaced_only_when_told_and_then_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (file, held) = saved(dir.path());
    let other = dir.path().join("other");
    filled(&other);
    let key = std::fs::read(key_path(&other)).unwrap();
    assert!(matches!(restored(&file, &other, false), Err(BackupError::InUse(_))));
    assert_eq!(std::fs::read(key_path(&other)).unwrap(), key);
    let kept = restored(&file, &other, true).unwrap().kept.unwrap();
    assert_eq!(dump(&RedbStore::open(&store_path(&other)).unwrap()), held);
    assert_ne!(std::fs::read(key_path(&other)).unwrap(), key);
    assert_eq!(std::fs::read(key_path(&kept)).unwrap(), key);
    RedbStore::open(&store_path(&kept)).unwrap().verify().unwrap();
}

#[test]
fn the_key_of_the_network_goes_along_and_none_removes_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let (data, open, new) = (dir.path().join("data"), dir.path().join("open"), dir.path().join("new"));
    filled(&data);
    filled(&open);
    let (mut ring, key) = (Ring::default(), NetworkKey::from_secret(&[1; 32]));
    ring.set(key.clone(), key.network(), NOW).unwrap();
    netkeys::save(&ring, &netkeys::file_in(&data), &Seal::NONE).unwrap();
    let [keyed, keyless] = [(&data, "a"), (&open, "b")].map(|(folder, name)| {
        let file = dir.path().join(name);
        save(folder, &Seal::NONE, &MemoryStore::new(), NOW, &file).unwrap();
        file
    });
    restored(&keyed, &new, false).unwrap();
    assert_eq!(netkeys::load(&netkeys::file_in(&new), &Seal::NONE).unwrap(), ring);
    restored(&keyless, &new, true).unwrap();
    assert_eq!(netkeys::load(&netkeys::file_in(&new), &Seal::NONE).unwrap(), ring, "a restore opens no network");
    let found = super::checkup::around(&new, &Seal::NONE);
    assert!(found.iter().any(|f| f.check == "network_key" && f.health == crate::api::Health::Ok), "{found:?}");
}

#[test]
fn settings_that_were_not_there_do_not_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    filled(&data);
    filled(&other);
    std::fs::remove_file(settings_path(&data)).unwrap();
    let file = dir.path().join("b");
    save(&data, &Seal::NONE, &MemoryStore::new(), NOW, &file).unwrap();
    let kept = restored(&file, &other, true).unwrap().kept.unwrap();
    assert_eq!(Settings::load(&settings_path(&other)).unwrap(), Settings::default());
    assert_eq!(Settings::load(&settings_path(&kept)).unwrap().name.as_deref(), Some("Post 3"));
}

/// What is saved is one moment: commits of the meantime are not in it, and a store in memory gives the same file.
#[test]
fn a_backup_is_one_moment_of_any_store() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = saved(dir.path());
    let memory = MemoryStore::new();
    fill(&memory);
    let from_memory = dir.path().join("b");
    save(&dir.path().join("data"), &Seal::NONE, &memory, NOW, &from_memory).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(&from_memory).unwrap());

    let store = RedbStore::open(&store_path(&dir.path().join("data"))).unwrap();
    let (before, mut items, mut late) = (dump(&store), 0, Author::new(1, 9, 9));
    store
        .snapshot(&mut |_| {
            if items == 3 {
                store.commit(&late.appends(3, 10)).unwrap();
            }
            items += 1;
            true
        })
        .unwrap();
    assert_eq!(items, 60 + 4 + 4 + 1, "entries, rows of two tables, the port");
    assert_ne!(dump(&store), before, "the commit was not held up");
}

#[test]
fn no_file_is_replaced_and_none_left_half() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = saved(dir.path());
    let before = std::fs::read(&file).unwrap();
    let data = dir.path().join("data");
    assert!(matches!(save(&data, &Seal::NONE, &MemoryStore::new(), NOW, &file), Err(BackupError::Exists(_))));
    assert_eq!(std::fs::read(&file).unwrap(), before);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "it holds the key");
    }
    // What a crash has left of an earlier one is in nobody's way.
    let other = dir.path().join("b");
    std::fs::write(dir.path().join("b.part"), "half of").unwrap();
    save(&data, &Seal::NONE, &MemoryStore::new(), NOW, &other).unwrap();
    let broken = MemoryStore::new();
    broken.commit(&[put(Table::Peers, b"k", &vec![0; 20 * 1024 * 1024])]).unwrap();
    assert!(save(&data, &Seal::NONE, &broken, NOW, &dir.path().join("c")).is_err(), "a row larger than any block");
    assert!(matches!(save(&data, &Seal::NONE, &broken, NOW, &dir.path().join("none/c")), Err(BackupError::Io { .. })));
    assert_eq!(names(dir.path()), ["a.cairn-backup", "b", "data"]);
}

/// Refused with the error that `is` wants, and nothing in the folder has changed.
fn refused(dir: &Path, bytes: &[u8], what: &str, is: impl Fn(&BackupError) -> bool) {
    let (file, new) = (dir.join("bad"), dir.join("refused"));
    std::fs::write(&file, bytes).unwrap();
    let error = restored(&file, &new, false).expect_err(what);
    assert!(is(&error), "{what}: {error:?}");
    assert!(error.to_string().contains("bad"), "{what}: the sentence names the file: {error}");
    assert_eq!(names(&new), ["cairn.lock"], "{what}");
}

#[test]
fn what_is_no_whole_backup_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = saved(dir.path());
    let good = std::fs::read(&file).unwrap();
    let refuse = |bytes: &[u8], what: &str, is: fn(&BackupError) -> bool| refused(dir.path(), bytes, what, is);
    type Is = fn(&BackupError) -> bool;
    let foreign: Is = |e| matches!(e, BackupError::Foreign(_));
    let newer: Is = |e| matches!(e, BackupError::Newer(_));
    let truncated: Is = |e| matches!(e, BackupError::Truncated { .. });
    let damaged: Is = |e| matches!(e, BackupError::Damaged { .. });
    refuse(b"", "empty", foreign);
    refuse(b"PK\x03\x04 some archive of another program", "foreign", foreign);
    refuse(&[0; 100_000], "zeros", foreign);
    refuse(&[b"cairn backup 03\n", &good[16..]].concat(), "newer", newer);
    refuse(&[b"cairn backup 00\n", &good[16..]].concat(), "older than any", foreign);
    for len in [1, 9, 15, 16, 20, 21, 60, 200, good.len() / 2, good.len() - 1] {
        refuse(&good[..len], &format!("cut to {len}"), truncated);
    }
    refuse(&[&good[..], b"x"].concat(), "more follows", damaged);
    let mut huge = good.clone();
    huge[17..21].copy_from_slice(&u32::MAX.to_be_bytes());
    refuse(&huge, "a block of 4 GiB", damaged);
    for at in (16..good.len()).step_by(good.len() / 40) {
        let mut flipped = good.clone();
        flipped[at] ^= 0x20;
        refuse(&flipped, &format!("byte {at}"), |e| {
            matches!(e, BackupError::Damaged { .. } | BackupError::Truncated { .. } | BackupError::Newer(_))
        });
    }
}

/// Parts that are in order by themselves, put together as no backup is.
#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = saved(dir.path());
    let mut reader = BackupReader::open(&file, &[]).unwrap();
    let parts: Vec<Part> = std::iter::from_fn(|| reader.next_part().unwrap()).collect();
    assert!(parts.len() > 6, "{}", parts.len());
    let records: Vec<_> = parts.iter().filter(|p| matches!(p, Part::Records(_))).collect();
    let (head, key, settings, end) = (&parts[0], &parts[1], &parts[2], parts.last().unwrap());
    let Part::Head(h) = head else { panic!() };
    let newer = Part::Head(super::file::Head { schema: 99, ..h.clone() });
    let stranger = Part::Head(super::file::Head { id: Author::new(1, 1, 1).log.device, ..h.clone() });
    let odd = Part::Settings(b"{\"scale\": 700}".to_vec());
    let no_key = Part::NetworkKey(b"cairn network key 1\n".to_vec());
    let cases: [(&str, Vec<&Part>); 10] = [
        ("a bad network key", vec![head, key, &no_key, end]),
        ("no head", vec![key, end]),
        ("no key", vec![head, settings, end]),
        ("another key", vec![&stranger, key, end]),
        ("a newer schema", vec![&newer, key, end]),
        ("bad settings", vec![head, key, &odd, end]),
        ("settings twice", vec![head, key, settings, settings, end]),
        ("a part of the records is missing", [&[head, key][..], &records[1..], &[end]].concat()),
        ("another order", [&[head, key][..], &[records[2], records[1]], &[end]].concat()),
        ("twice the same", [&[head, key][..], &records[..], &records[..], &[end]].concat()),
    ];
    for (what, parts) in cases {
        let made = dir.path().join("made");
        let mut writer = super::file::BackupWriter::begin(&made, None).unwrap();
        parts.iter().for_each(|part| writer.part(part).unwrap());
        writer.finish().unwrap();
        let bytes = std::fs::read(&made).unwrap();
        std::fs::remove_file(&made).unwrap();
        refused(dir.path(), &bytes, what, |e| matches!(e, BackupError::Damaged { .. } | BackupError::Newer(_)));
    }
}

#[test]
fn a_restore_that_was_cut_short_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let (file, held) = saved(dir.path());
    let other = dir.path().join("other");
    filled(&other);
    prepare(&other, &Seal::NONE, &file, None, true, NOW).unwrap();
    // The process ends here; whoever opens the folder next finds the new one.
    let folder = DataFolder::open(&other).unwrap();
    assert!(folder.warnings().iter().any(|w| w.contains("A backup was restored")), "{:?}", folder.warnings());
    assert_eq!(dump(&RedbStore::open(&store_path(&other)).unwrap()), held);
}
