//! The passphrase of a data folder: `passphrase.key`, what is sealed beside the store, and setting, changing and removing.
//!
//! The file is the folder's lock ([`cairn_crdt::vault::Lock`]): the data key under the passphrase. With it the store and its
//! journal (`store::sealing`), `device.key` and `network.key` are sealed; the two files are then a line
//! `cairn sealed file 1` and the sealed bytes, in place of their text. `settings.json` stays readable: it holds names of
//! interfaces, addresses and the look of the window, and the window needs it before it can ask.
//!
//! Setting and removing a passphrase write everything anew in `restore.new` and exchange it as a restored backup is
//! (`data::swap`), so that a crash at any moment leaves the old or the new, whole; what was there before is written over
//! with zeros and removed. Another passphrase seals the data key anew, and nothing else: whoever has an old
//! `passphrase.key` and the old passphrase has the data key.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use cairn_crdt::vault::{Cost, DataKey, Lock, LockError, RANDOM};
use zeroize::Zeroizing;

use crate::care::backup::{self, BackupError};
use crate::data::{DataError, DataFolder, key_path, settings_path, store_path, swap, write_atomically};
use crate::netkeys;
use crate::store::{RedbStore, Seal, Store, StoreError};

/// Name of the lock's file.
pub const LOCK_FILE: &str = "passphrase.key";
/// Largest file that is read as a lock, in bytes.
const LOCK_MAX: u64 = 4096;
/// What a sealed file begins with.
const SEALED_FRONT: &[u8] = b"cairn sealed file 1\n";
/// What a sealed file of any version begins with.
const SEALED_ANY: &[u8] = b"cairn sealed file ";

/// Why a passphrase cannot be set, changed or removed, or a folder not wiped.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is one.
    #[error("this folder has a passphrase already: `cairn passphrase change` takes another one")]
    Has,
    /// There is none.
    #[error("this folder has no passphrase")]
    HasNone,
    /// Copies lie in the folder that would stay readable.
    #[error(
        "these were kept aside unsealed and would stay readable: {}; remove them or move them away first",
        .0.join(", ")
    )]
    Copies(Vec<String>),
    /// The system gave no random numbers for a new key.
    #[error("the system gave no random numbers: {0}")]
    Random(getrandom::Error),
    /// The passphrase.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The data folder.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The file of the network's key.
    #[error(transparent)]
    NetworkKey(#[from] netkeys::KeyFileError),
    /// What is written anew.
    #[error(transparent)]
    Filling(#[from] BackupError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The lock's file in a data folder.
#[must_use]
pub fn lock_path(data: &Path) -> PathBuf {
    data.join(LOCK_FILE)
}

/// The lock of a data folder; `None` where it has no passphrase.
///
/// # Errors
/// [`DataError::DamagedLock`], [`DataError::NewerKey`], or what the system refuses.
pub fn lock_of(data: &Path) -> Result<Option<Lock>, DataError> {
    let path = lock_path(data);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(DataError::io("read", &path)(e)),
    };
    let mut bytes = Vec::new();
    file.take(LOCK_MAX.saturating_add(1)).read_to_end(&mut bytes).map_err(DataError::io("read", &path))?;
    match Lock::parse(&bytes) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Newer) => Err(DataError::NewerKey(path)),
        Err(LockError::Damaged(reason)) => Err(DataError::DamagedLock { path, reason }),
        Err(_) => Err(DataError::DamagedLock { path, reason: "cannot be read" }),
    }
}

/// Seals the bytes of a file of the data folder, for its name.
pub(crate) fn seal_file<'a>(seal: &Seal, path: &Path, bytes: &'a [u8]) -> Cow<'a, [u8]> {
    match seal.key() {
        Some(key) => [SEALED_FRONT, &key.seal(&place(path), bytes)].concat().into(),
        None => bytes.into(),
    }
}

/// The bytes of a file of the data folder as they were before they were sealed.
///
/// # Errors
/// [`DataError::DamagedKey`]: it does not open, or it should be sealed and is not. [`DataError::NoLock`]: it is sealed, and
/// the folder has no passphrase.
pub(crate) fn open_file(seal: &Seal, path: &Path, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, DataError> {
    let damaged = |reason| DataError::DamagedKey { path: path.to_owned(), reason };
    match (seal.key(), bytes.strip_prefix(SEALED_FRONT)) {
        (None, None) if bytes.starts_with(SEALED_ANY) => Err(DataError::NewerKey(path.to_owned())),
        (None, None) => Ok(Zeroizing::new(bytes.to_vec())),
        (None, Some(_)) => Err(DataError::NoLock(path.to_owned())),
        (Some(key), Some(sealed)) => {
            let opened = key.open(&place(path), sealed);
            opened.map(Zeroizing::new).ok_or_else(|| damaged("does not open with the key of this folder"))
        }
        (Some(_), None) if bytes.starts_with(SEALED_ANY) => Err(DataError::NewerKey(path.to_owned())),
        (Some(_), None) => Err(damaged("is not sealed, though this folder has a passphrase")),
    }
}

fn place(path: &Path) -> [&[u8]; 2] {
    [b"file in the folder", path.file_name().map_or(&[][..], |name| name.as_encoded_bytes())]
}

/// Gives a folder a passphrase: everything in it is written anew, sealed, and takes the place of what was there, which is
/// written over and removed. The folder is open with the new key afterwards. Blocks.
///
/// # Errors
/// [`VaultError`]; nothing has changed then, unless the last step fails: opening the folder goes on with it.
pub fn set(folder: &mut DataFolder, passphrase: &str, cost: Cost) -> Result<(), VaultError> {
    if lock_of(folder.path())?.is_some() {
        return Err(VaultError::Has);
    }
    let copies = swap::copies(folder.path());
    if !copies.is_empty() {
        return Err(VaultError::Copies(copies));
    }
    let key = DataKey::new(&*random::<32>()?);
    let lock = Lock::new(passphrase, &key, cost, &*random::<RANDOM>()?)?;
    rewrite(folder, &Seal::from(key.clone()), Some(&lock))?;
    Ok(folder.unlock(Some(key))?)
}

/// Gives a folder another passphrase. The store is not touched. `old` is the one so far.
///
/// # Errors
/// [`LockError::Wrong`] and what else [`VaultError`] says; the old one goes on to count then.
pub fn change(data: &Path, old: &str, new: &str, cost: Cost) -> Result<(), VaultError> {
    let lock = lock_of(data)?.ok_or(VaultError::HasNone)?;
    let key = lock.open(old)?;
    let lock = Lock::new(new, &key, cost, &*random::<RANDOM>()?)?;
    Ok(write_atomically(&lock_path(data), lock.text().as_bytes())?)
}

/// Takes the passphrase from a folder, which is open with its key: everything in it is written anew, unsealed.
///
/// # Errors
/// As [`set`].
pub fn remove(folder: &mut DataFolder) -> Result<(), VaultError> {
    if lock_of(folder.path())?.is_none() {
        return Err(VaultError::HasNone);
    }
    rewrite(folder, &Seal::NONE, None)?;
    Ok(folder.unlock(None)?)
}

/// Writes everything anew and puts it in place.
fn rewrite(folder: &mut DataFolder, seal: &Seal, lock: Option<&Lock>) -> Result<(), VaultError> {
    let data = folder.path().to_owned();
    let new = swap::begin(&data)?;
    let made = write_anew(folder, &new, seal, lock).and_then(|()| Ok(swap::ready_to_replace(&data)?));
    if let Err(e) = made {
        // The error that matters is the first one.
        let _ = swap::abandon(&data);
        return Err(e);
    }
    folder.settle()?;
    Ok(())
}

fn write_anew(folder: &mut DataFolder, new: &Path, seal: &Seal, lock: Option<&Lock>) -> Result<(), VaultError> {
    match lock {
        Some(lock) => write_atomically(&lock_path(new), lock.text().as_bytes())?,
        None => swap::mark_gone(new, LOCK_FILE)?,
    }
    // One that has no key yet gets it now.
    folder.device_key()?;
    for path in [key_path(folder.path()), netkeys::file_in(folder.path())] {
        let to = new.join(path.file_name().unwrap_or_default());
        let bytes = match std::fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            bytes => Zeroizing::new(bytes.map_err(DataError::io("read", &path))?),
        };
        let bytes = open_file(folder.seal(), &path, &bytes)?;
        write_atomically(&to, &seal_file(seal, &to, &bytes))?;
    }
    // It goes along, so that what is in place afterwards is of one making.
    match std::fs::read(settings_path(folder.path())) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        bytes => {
            let bytes = bytes.map_err(DataError::io("read", &settings_path(folder.path())))?;
            write_atomically(&settings_path(new), &bytes)?;
        }
    }
    let store = RedbStore::open_sealed(&folder.store(), folder.seal())?;
    let copied = backup::copy(&store, &store_path(new), seal);
    store.close();
    Ok(copied?)
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, VaultError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(VaultError::Random)?;
    Ok(bytes)
}

/// Destroys all of Cairn in a folder: the lock and the keys are written over and removed first, so that what is sealed is
/// lost from then on; then the rest. What else lies there stays. Whoever keeps copies, and the medium in blocks that it has
/// put away, keeps them.
///
/// # Errors
/// What the system refuses; what is left is removed by another call.
pub fn wipe(folder: DataFolder) -> Result<(), VaultError> {
    let data = folder.path().to_owned();
    for path in [lock_path(&data), key_path(&data), netkeys::file_in(&data)] {
        destroy(&path)?;
    }
    swap::remove_all(&data)?;
    drop(folder);
    // Last of all, since it keeps others out.
    destroy(&data.join("cairn.lock"))?;
    match std::fs::remove_dir(&data) {
        // Something of somebody else's is there.
        Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
        gone => Ok(gone.map_err(DataError::io("remove", &data))?),
    }
}

/// Writes zeros over a file, as far as the medium does that, and removes it. A link is only removed.
pub(crate) fn destroy(path: &Path) -> Result<(), DataError> {
    let found = match path.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(DataError::io("remove", path))?,
    };
    if found.is_file()
        && let Err(error) = zeros(path, found.len())
    {
        tracing::warn!(%error, "{} could not be written over before it is removed", path.display());
    }
    std::fs::remove_file(path).map_err(DataError::io("remove", path))?;
    crate::data::sync_folder(path).map_err(DataError::io("remove", path))
}

fn zeros(path: &Path, len: u64) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.rewind()?;
    let block = vec![0; 64 * 1024];
    let mut left = len;
    while left > 0 {
        let n = usize::try_from(left).unwrap_or(block.len()).min(block.len());
        file.write_all(block.get(..n).unwrap_or(&block))?;
        left = left.saturating_sub(n as u64);
    }
    file.sync_all()
}

#[cfg(test)]
mod tests;
