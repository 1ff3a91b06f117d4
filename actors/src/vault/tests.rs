//! Tests of the passphrase of a folder: what is sealed, what a crash at each step leaves, what a wrong or damaged lock does.

use std::path::{Path, PathBuf};

use cairn_crdt::netkey::{NetworkKey, Ring};

use super::*;
use crate::settings::Settings;
use crate::store::conformance::{Author, Dump, dump, put};
use crate::store::{Table, Write};

const WORDS: &str = "correct horse battery staple";
const OTHER: &str = "another four words here";
const PLANTED: &[u8] = b"planted word of a person";

/// A folder with something in every file.
fn filled(path: &Path) -> Dump {
    let mut folder = DataFolder::open(path).unwrap();
    folder.device_key().unwrap();
    let mut ring = Ring::default();
    let key = NetworkKey::from_secret(&[3; 32]);
    ring.set(key.clone(), key.network(), 1_000).unwrap();
    netkeys::save(&ring, &netkeys::file_in(path), folder.seal()).unwrap();
    Settings::default().save(&settings_path(path)).unwrap();
    let store = RedbStore::open(&store_path(path)).unwrap();
    store.rest().unwrap();
    let mut author = Author::new(1, 1, 1);
    let mut batch = vec![put(Table::Outbox, b"o", PLANTED), put(Table::Keys, b"k", &[7; 32])];
    batch.extend((0..20).map(|_| author.append(&[PLANTED, b" said"].concat())));
    batch.push(Write::Append { entry: author.entry(None), received: 9 });
    store.commit(&batch).unwrap();
    dump(&store)
}

fn held(folder: &DataFolder) -> Dump {
    dump(&RedbStore::open_sealed(&folder.store(), folder.seal()).unwrap())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every file under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for name in names(folder) {
        let path = folder.join(name);
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

/// Files in which something stands that must not be readable.
fn readable(folder: &Path) -> Vec<PathBuf> {
    let seed = b"seed ".to_vec();
    let secret = cairn_crdt::ids::base32(&[3; 32]).into_bytes();
    let words = [PLANTED.to_vec(), seed, secret, vec![7; 32]];
    let shows = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        words.iter().any(|word| bytes.windows(word.len()).any(|w| w == word))
    };
    files(folder).into_iter().filter(shows).collect()
}

fn unlocked(path: &Path, words: &str) -> DataFolder {
    let mut folder = DataFolder::open(path).unwrap();
    let lock = lock_of(path).unwrap();
    folder.unlock(lock.map(|lock| lock.open(words).unwrap())).unwrap();
    folder
}

const WHOLE: [&str; 6] = ["cairn.lock", "cairn.redb", "device.key", "network.key", "passphrase.key", "settings.json"];

#[test]
fn a_passphrase_is_set_changed_and_removed_and_all_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let before = filled(dir.path());
    assert_eq!(readable(dir.path()).len(), 4, "store, journal and two keys");
    let mut folder = unlocked(dir.path(), "");
    let id = folder.device_key().unwrap().id();
    set(&mut folder, WORDS, Cost::LEAST).unwrap();
    assert_eq!(readable(dir.path()), Vec::<PathBuf>::new());
    assert_eq!(names(dir.path()), WHOLE);
    assert_eq!(held(&folder), before);
    assert!(matches!(set(&mut folder, WORDS, Cost::LEAST), Err(VaultError::Has)));
    drop(folder);

    let mut folder = DataFolder::open(dir.path()).unwrap();
    assert!(matches!(folder.unlock(None), Err(DataError::Locked(_))));
    assert!(matches!(folder.unlock(Some(DataKey::new(&[1; 32]))), Err(DataError::OtherLock(_))));
    assert!(matches!(folder.device_key(), Err(DataError::NoLock(_))), "sealed, and no key at hand");
    drop(folder);
    let mut folder = unlocked(dir.path(), WORDS);
    assert_eq!(folder.device_key().unwrap().id(), id);
    assert!(netkeys::load(&netkeys::file_in(dir.path()), folder.seal()).unwrap().key().is_some());

    let store = std::fs::read(store_path(dir.path())).unwrap();
    assert!(matches!(change(dir.path(), OTHER, OTHER, Cost::LEAST), Err(VaultError::Lock(LockError::Wrong))));
    assert!(matches!(change(dir.path(), WORDS, "short", Cost::LEAST), Err(VaultError::Lock(LockError::Passphrase(_)))));
    change(dir.path(), WORDS, OTHER, Cost::LEAST).unwrap();
    assert_eq!(std::fs::read(store_path(dir.path())).unwrap(), store, "only the lock is another");
    assert_eq!(lock_of(dir.path()).unwrap().unwrap().open(WORDS), Err(LockError::Wrong));
    drop(folder);
    let mut folder = unlocked(dir.path(), OTHER);
    assert_eq!(held(&folder), before);

    remove(&mut folder).unwrap();
    assert_eq!(names(dir.path()), WHOLE.into_iter().filter(|name| *name != LOCK_FILE).collect::<Vec<_>>());
    assert!(matches!(remove(&mut folder), Err(VaultError::HasNone)));
    assert!(matches!(change(dir.path(), OTHER, WORDS, Cost::LEAST), Err(VaultError::HasNone)));
    assert_eq!((held(&folder), folder.device_key().unwrap().id()), (before, id));
}

#[test]
fn what_was_kept_aside_unsealed_is_named_and_nothing_is_set() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let mut folder = unlocked(dir.path(), "");
    let aside = ["cairn.redb.damaged-20261121T013107Z", "replaced-20261121T013107Z"];
    std::fs::write(dir.path().join(aside[0]), PLANTED).unwrap();
    std::fs::create_dir(dir.path().join(aside[1])).unwrap();
    let error = set(&mut folder, WORDS, Cost::LEAST).unwrap_err();
    assert!(aside.iter().all(|name| error.to_string().contains(name)), "{error}");
    assert!(lock_of(dir.path()).unwrap().is_none() && folder.device_key().is_ok());
}

/// Copies a folder as it lies there: what a crash at this moment leaves.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in names(from) {
        match from.join(&name).is_dir() {
            true => copy(&from.join(&name), &to.join(&name)),
            false => drop(std::fs::copy(from.join(&name), to.join(&name)).unwrap()),
        }
    }
}

/// Every state that a crash can leave while everything is exchanged: before it is ready, and after each of the steps that
/// `swap::finish` takes then, made by hand; after each the next opening finds the old or the new, whole.
fn crash_at_each_step(from: &Path, words: &str, to: Option<&Lock>, seal: &Seal, before: &Dump, id: &str) {
    let made = tempfile::tempdir().unwrap();
    copy(from, made.path());
    let mut folder = unlocked(made.path(), words);
    let new = swap::begin(made.path()).unwrap();
    write_anew(&mut folder, &new, seal, to).unwrap();
    drop(folder);
    // Not ready: the old counts, and what was made is gone.
    let crashed = tempfile::tempdir().unwrap();
    copy(made.path(), crashed.path());
    let folder = unlocked(crashed.path(), words);
    assert!(!crashed.path().join("restore.new").exists() && held(&folder) == *before);
    drop(folder);

    swap::ready_to_replace(made.path()).unwrap();
    let parts = ["cairn.redb.journal", "device.key", "network.key", "settings.json", "cairn.redb", "passphrase.key"];
    for n in 0..14usize {
        let crashed = tempfile::tempdir().unwrap();
        copy(made.path(), crashed.path());
        let (here, ready, out) =
            (crashed.path().to_owned(), crashed.path().join("restore.ready"), crashed.path().join("outgoing-old"));
        let mut left = n;
        let mut step = |f: &dyn Fn()| {
            if left > 0 {
                left -= 1;
                f();
            }
        };
        step(&|| std::fs::create_dir(&out).unwrap());
        for part in parts {
            let goes = ready.join(part).exists() || ready.join(format!("{part}.gone")).exists() || part == parts[0];
            if here.join(part).exists() && goes {
                step(&|| std::fs::rename(here.join(part), out.join(part)).unwrap());
            }
            if ready.join(part).exists() {
                step(&|| std::fs::rename(ready.join(part), here.join(part)).unwrap());
            }
        }
        let folder = DataFolder::open(&here);
        drop(folder.unwrap());
        let mut folder = unlocked(&here, if to.is_some() { WORDS } else { "" });
        assert_eq!(held(&folder), *before, "{n}");
        assert_eq!(folder.device_key().unwrap().id().to_string(), id, "{n}");
        assert_eq!(names(&here).iter().any(|name| name == LOCK_FILE), to.is_some(), "{n}");
        assert!(!names(&here).iter().any(|name| name.starts_with("outgoing") || name.starts_with("restore")), "{n}");
        if to.is_some() {
            assert_eq!(readable(&here), Vec::<PathBuf>::new(), "{n}");
        }
    }
}

#[test]
fn a_crash_at_any_step_of_setting_and_removing_leaves_the_old_or_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let before = filled(dir.path());
    let mut folder = unlocked(dir.path(), "");
    let id = folder.device_key().unwrap().id().to_string();
    drop(folder);
    let key = DataKey::new(&[8; 32]);
    let lock = Lock::new(WORDS, &key, Cost::LEAST, &[2; RANDOM]).unwrap();
    crash_at_each_step(dir.path(), "", Some(&lock), &key.into(), &before, &id);
    set(&mut unlocked(dir.path(), ""), WORDS, Cost::LEAST).unwrap();
    crash_at_each_step(dir.path(), WORDS, None, &Seal::NONE, &before, &id);
}

#[test]
fn what_a_crash_left_of_the_old_is_destroyed_at_the_next_opening() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    set(&mut unlocked(dir.path(), ""), WORDS, Cost::LEAST).unwrap();
    let out = dir.path().join("outgoing-old");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("cairn.redb"), PLANTED).unwrap();
    drop(DataFolder::open(dir.path()).unwrap());
    assert_eq!(names(dir.path()), WHOLE);
}

#[test]
fn a_damaged_lock_is_told_and_left_and_a_missing_one_too() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    set(&mut unlocked(dir.path(), ""), WORDS, Cost::LEAST).unwrap();
    let good = std::fs::read(lock_path(dir.path())).unwrap();
    let open = || {
        let mut folder = DataFolder::open(dir.path()).unwrap();
        folder.unlock(None).and_then(|()| folder.device_key().map(drop)).unwrap_err()
    };
    for bytes in [b"".to_vec(), good[..40].to_vec(), vec![b'x'; 9_000], [&good[..], b"more"].concat()] {
        std::fs::write(lock_path(dir.path()), &bytes).unwrap();
        let error = open();
        assert!(matches!(error, DataError::DamagedLock { .. }) && error.to_string().contains(LOCK_FILE), "{error}");
        assert_eq!(std::fs::read(lock_path(dir.path())).unwrap(), bytes);
    }
    std::fs::write(lock_path(dir.path()), String::from_utf8(good).unwrap().replacen("lock 1", "lock 2", 1)).unwrap();
    assert!(matches!(open(), DataError::NewerKey(_)));
    std::fs::remove_file(lock_path(dir.path())).unwrap();
    let error = open();
    assert!(matches!(error, DataError::NoLock(_)) && error.to_string().contains("missing"), "{error}");
    // Nor is the store taken for a damaged one.
    let mut folder = DataFolder::open(dir.path()).unwrap();
    folder.unlock(None).unwrap();
    assert!(matches!(crate::care::open_store(&folder, true), Err(StoreError::Sealed)));
    assert!(matches!(crate::care::repair_folder(&folder, true), Err(StoreError::Sealed)));
    assert!(folder.store().exists());
}

#[test]
fn exchanged_and_unsealed_files_beside_the_store_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let (plain, network) = (std::fs::read(key_path(dir.path())).unwrap(), netkeys::file_in(dir.path()));
    let mut folder = unlocked(dir.path(), "");
    set(&mut folder, WORDS, Cost::LEAST).unwrap();
    let sealed = std::fs::read(&network).unwrap();
    for bytes in [plain, sealed[..sealed.len() - 1].to_vec(), sealed, b"cairn sealed file 2\nx".to_vec()] {
        std::fs::write(key_path(dir.path()), &bytes).unwrap();
        let error = folder.device_key().unwrap_err();
        assert!(matches!(error, DataError::DamagedKey { .. } | DataError::NewerKey(_)), "{error}");
        assert_eq!(std::fs::read(key_path(dir.path())).unwrap(), bytes, "never written over");
    }
}

#[test]
fn wiping_leaves_nothing_of_cairn_and_all_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let (data, shared) = (dir.path().join("a"), dir.path().join("b"));
    for path in [&data, &shared] {
        filled(path);
        set(&mut unlocked(path, ""), WORDS, Cost::LEAST).unwrap();
        std::fs::create_dir(path.join("replaced-20261121T013107Z")).unwrap();
        std::fs::write(path.join("replaced-20261121T013107Z/cairn.redb"), b"old").unwrap();
        std::fs::write(path.join("cairn.redb.damaged-20261121T013107Z"), b"old").unwrap();
    }
    std::fs::write(shared.join("letter.txt"), b"mine").unwrap();
    wipe(DataFolder::open(&data).unwrap()).unwrap();
    assert!(!data.exists());
    wipe(DataFolder::open(&shared).unwrap()).unwrap();
    assert_eq!(names(&shared), ["letter.txt"]);
}

#[test]
fn what_is_destroyed_is_written_over_first() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("a"), dir.path().join("b"));
    std::fs::write(&file, vec![b'x'; 200_000]).unwrap();
    // A second name shows what became of the bytes.
    std::fs::hard_link(&file, &link).unwrap();
    destroy(&file).unwrap();
    assert!(!file.exists() && std::fs::read(&link).unwrap() == vec![0; 200_000]);
    destroy(&file).unwrap();
}
