//! Backups of folders with a passphrase: sealed, brought back with the passphrase of then, and never the other way round.

use cairn_crdt::vault::{Cost, DataKey};

use super::*;
use crate::vault::{self, lock_of};

const WORDS: &str = "correct horse battery staple";

/// A folder with a passphrase, and what it holds.
fn sealed(path: &Path) -> (DataFolder, Dump) {
    let held = filled(path);
    let mut folder = DataFolder::open(path).unwrap();
    folder.unlock(None).unwrap();
    vault::set(&mut folder, WORDS, Cost::LEAST).unwrap();
    (folder, held)
}

fn back_up(folder: &DataFolder, file: &Path) {
    crate::care::back_up_folder(folder, NOW, file).unwrap();
}

fn shows(file: &Path, word: &[u8]) -> bool {
    std::fs::read(file).unwrap().windows(word.len()).any(|w| w == word)
}

fn held_by(folder: &DataFolder) -> Dump {
    dump(&RedbStore::open_sealed(&folder.store(), folder.seal()).unwrap())
}

fn key_of(path: &Path, words: &str) -> DataKey {
    lock_of(path).unwrap().unwrap().open(words).unwrap()
}

#[test]
fn a_sealed_backup_shows_nothing_and_comes_back_elsewhere_with_its_passphrase() {
    let dir = tempfile::tempdir().unwrap();
    let (data, new, file) = (dir.path().join("data"), dir.path().join("new"), dir.path().join("file"));
    let (mut folder, held) = sealed(&data);
    back_up(&folder, &file);
    let id = folder.device_key().unwrap().id();
    assert!(!shows(&file, &[2; 300]) && !shows(&file, b"Post 3") && !shows(&file, b"cairn device key"));
    assert!(!shows(&file, id.to_string().as_bytes()), "not even whose it is");

    assert!(matches!(restored(&file, &new, false), Err(BackupError::Sealed(_))));
    let another = DataKey::new(&[9; 32]);
    let mut to = DataFolder::open(&new).unwrap();
    assert!(matches!(restore(&mut to, &file, Some(another), false, NOW), Err(BackupError::Sealed(_))));
    assert_eq!(names(&new), ["cairn.lock"]);
    let lock = BackupReader::lock(&file).unwrap().unwrap();
    let key = lock.open(WORDS).unwrap();
    let outcome = restore(&mut to, &file, Some(key.clone()), false, NOW).unwrap();
    assert_eq!((outcome.id, outcome.entries), (id, 60));
    to.unlock(Some(key)).unwrap();
    assert_eq!(held_by(&to), held);
    assert_eq!(to.device_key().unwrap().id(), id);
    assert_eq!(key_of(&new, WORDS).tag(), lock.tag(), "the folder has the passphrase of the backup");
}

#[test]
fn the_folders_own_passphrase_goes_on_to_count() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file, plain) = (dir.path().join("data"), dir.path().join("file"), dir.path().join("plain"));
    let (mut folder, held) = sealed(&data);
    back_up(&folder, &file);
    vault::change(&data, WORDS, "another four words here", Cost::LEAST).unwrap();
    // Of the same key: no passphrase is needed, and the newer one stays.
    restore(&mut folder, &file, None, true, NOW).unwrap();
    assert_eq!(held_by(&folder), held);
    assert_eq!(key_of(&data, "another four words here"), folder.seal().key().cloned().unwrap());
    // One that is not sealed is sealed as the folder is.
    let other = dir.path().join("other");
    filled(&other);
    let store = RedbStore::open(&store_path(&other)).unwrap();
    save(&other, &Seal::NONE, &store, NOW, &plain).unwrap();
    assert_eq!(BackupReader::lock(&plain).unwrap(), None);
    restore(&mut folder, &plain, None, true, NOW).unwrap();
    assert_eq!(held_by(&folder), dump(&store));
    assert!(!shows(&store_path(&data), &[2; 300]) && !shows(&key_path(&data), b"seed"));
    // A node whose key is not the folder's saves nothing that could not be brought back.
    let wrong = Seal::from(DataKey::new(&[9; 32]));
    for seal in [Seal::NONE, wrong] {
        assert!(save(&data, &seal, &MemoryStore::new(), NOW, &dir.path().join("c")).is_err());
    }
}

#[test]
fn a_changed_block_of_a_sealed_backup_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file, new) = (dir.path().join("data"), dir.path().join("file"), dir.path().join("new"));
    let (folder, _) = sealed(&data);
    back_up(&folder, &file);
    let good = std::fs::read(&file).unwrap();
    let key = folder.seal().key().cloned();
    let changed = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        restore(&mut DataFolder::open(&new).unwrap(), &file, key.clone(), false, NOW).unwrap_err()
    };
    for at in (16..good.len()).step_by(good.len() / 50) {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        let error = changed(&bytes);
        assert!(matches!(error, BackupError::Damaged { .. } | BackupError::Truncated { .. }), "byte {at}: {error}");
        assert!(matches!(changed(&good[..at]), BackupError::Truncated { .. }), "cut to {at}");
    }
    // Somebody without the key makes checks that fit, and leaves a block out.
    let mut blocks: Vec<(u8, Vec<u8>)> = Vec::new();
    let mut rest = &good[16..];
    while let Some((&kind, more)) = rest.split_first() {
        let (len, more) = more.split_first_chunk::<4>().unwrap();
        let (body, more) = more.split_at(u32::from_be_bytes(*len) as usize);
        blocks.push((kind, body.to_vec()));
        rest = &more[32..];
    }
    let settings = blocks.iter().position(|(kind, _)| *kind == 3).unwrap();
    blocks.remove(settings);
    let (mut made_up, mut check) = (good[..16].to_vec(), [0u8; 32]);
    for (kind, body) in &blocks {
        check = cairn_crdt::ids::domain_hash("cairn 2026 backup block", &[&check, &[*kind], body]);
        made_up.push(*kind);
        made_up.extend_from_slice(&(body.len() as u32).to_be_bytes());
        made_up.extend_from_slice(body);
        made_up.extend_from_slice(&check);
    }
    let error = changed(&made_up);
    assert!(error.to_string().contains("does not open with its key"), "{error}");
    assert_eq!(names(&new), ["cairn.lock"]);
}
