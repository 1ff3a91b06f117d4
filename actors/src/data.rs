//! The data folder: where it is, that only its owner may look into it, that only one Cairn runs on it, and the key of
//! this device.
//!
//! | file | holds |
//! |---|---|
//! | `cairn.lock` | nothing; locked while a Cairn runs on the folder |
//! | `device.key` | the device key, owner-only |
//! | `passphrase.key` | the key that all is sealed with, under the passphrase; not there without one; see `vault` |
//! | `network.key` | the network's key, owner-only; not there while the network is open; see `netkeys` |
//! | `cairn.redb` | the store |
//! | `cairn.redb.journal` | what was saved last, until it is in the store; belongs to it |
//! | `settings.json` | the settings, see `settings` |
//! | `cairn.sock` | the local socket, where the folder can hold one |
//! | `cairn.redb.damaged-TIME` | a store that was damaged, kept aside |
//! | `replaced-TIME` | what a restored backup has replaced, kept aside; see `swap` |
//!
//! The key file is text: a line `cairn device key 1`, a line `id` with the public key (for people), a line `seed` with
//! the secret one, a line `check` with a checksum of the lines before it. Ids are in their text form. A damaged key
//! file is never written over: it may be all that is left of somebody's identity.

pub(crate) mod swap;

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{base32, domain_hash, from_base32};
use cairn_crdt::vault::DataKey;
use zeroize::Zeroizing;

use crate::store::Seal;
use crate::vault;

/// First line of a key file.
const KEY_VERSION: &str = "cairn device key 1";
/// Largest key file in bytes; a whole one has 185.
const KEY_FILE_MAX: u64 = 4096;
/// Domain of the key file's checksum.
const KEY_CHECK: &str = "cairn 2026 device key file";

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No folder was named and the environment names no home.
    #[error("there is no home folder to keep data in: name a folder with --data")]
    NoHome,
    /// Another process has the folder.
    #[error("another Cairn is running on this data folder ({})", .0.display())]
    InUse(PathBuf),
    /// The path is not a folder.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// The key file is not what was written. It is left as it is.
    #[error("the key of this device is damaged: {} {reason}; put a copy back, or move it away to become a new device", path.display())]
    DamagedKey {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: &'static str,
    },
    /// The key file was written by a newer Cairn.
    #[error("{} was written by a newer Cairn", .0.display())]
    NewerKey(PathBuf),
    /// The folder has a passphrase, and its key is not at hand.
    #[error("{} is locked with a passphrase", .0.display())]
    Locked(PathBuf),
    /// The key is not that of the folder.
    #[error("the passphrase of {} was exchanged meanwhile: try again", .0.display())]
    OtherLock(PathBuf),
    /// The file that holds the key under the passphrase is not what was written. It is left as it is.
    #[error("the passphrase's file is damaged: {} {reason}; put a copy back: without it nothing here can be read", path.display())]
    DamagedLock {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: &'static str,
    },
    /// Something is sealed, and the file of the passphrase is missing.
    #[error("{} is sealed, but passphrase.key, which holds the key under the passphrase, is missing: put it back", .0.display())]
    NoLock(PathBuf),
    /// The system gave no random numbers for a new key.
    #[error("the system gave no random numbers: {0}")]
    Random(getrandom::Error),
    /// The disk is full.
    #[error("the disk is full: {} cannot be written", .0.display())]
    Full(PathBuf),
    /// The operating system refused.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
}

impl DataError {
    pub(crate) fn io<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full(path.to_owned()),
            _ => Self::Io { what, path: path.to_owned(), error },
        }
    }
}

/// The data folder, held by this process until dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    warnings: Vec<String>,
    seal: Seal,
    _lock: File,
}

/// The folder that is used when none is named: `$XDG_DATA_HOME/cairn`, else `~/.local/share/cairn`; on macOS
/// `~/Library/Application Support/Cairn`; on Windows `%LOCALAPPDATA%\Cairn`.
///
/// # Errors
/// [`DataError::NoHome`] where the environment names none of these.
pub fn default_path() -> Result<PathBuf, DataError> {
    default_path_from(std::env::consts::OS, |name| std::env::var_os(name)).ok_or(DataError::NoHome)
}

fn default_path_from(os: &str, var: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // A relative path would depend on where Cairn was started.
    let folder = |name| var(name).map(PathBuf::from).filter(|path: &PathBuf| path.has_root());
    match os {
        "windows" => folder("LOCALAPPDATA").map(|path| path.join("Cairn")),
        "macos" => folder("HOME").map(|path| path.join("Library/Application Support/Cairn")),
        _ => folder("XDG_DATA_HOME")
            .or_else(|| folder("HOME").map(|path| path.join(".local/share")))
            .map(|path| path.join("cairn")),
    }
}

/// Says where the system has no file modes, so that keeping others out is up to the folder's own permissions.
#[must_use]
pub fn modes_warning() -> Option<&'static str> {
    (!cfg!(unix)).then_some(
        "this system has no owner-only files: whoever may read your user folder can read Cairn's data and key",
    )
}

impl DataFolder {
    /// Makes the folder if there is none, owner-only, and takes it for this process.
    ///
    /// # Errors
    /// [`DataError::InUse`] if another process has it; otherwise what the system refuses.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let mut warnings = Vec::from_iter(modes_warning().map(String::from));
        let path = std::path::absolute(path).map_err(DataError::io("find", path))?;
        make_folder(&path, &mut warnings)?;
        let lock_path = path.join("cairn.lock");
        let lock = owner_only(OpenOptions::new().write(true).create(true).truncate(false))
            .open(&lock_path)
            .map_err(DataError::io("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataError::InUse(path)),
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => {
                warnings.push(format!("{} is on a medium without locks: never start two Cairns on it", path.display()))
            }
            Err(TryLockError::Error(e)) => return Err(DataError::io("lock", &lock_path)(e)),
        }
        let mut folder = Self { path, warnings, seal: Seal::NONE, _lock: lock };
        // What an attempt that was cut short has left.
        swap::abandon(&folder.path)?;
        folder.settle()?;
        Ok(folder)
    }

    /// Puts in place what was made whole and lies ready (a backup, or what was sealed with a passphrase or is no more);
    /// answers where what was here before is kept, if it is. Opening the folder does so too, with a warning.
    ///
    /// # Errors
    /// What the system refuses; it is gone on with the next time.
    pub fn settle(&mut self) -> Result<Option<PathBuf>, DataError> {
        let kept = swap::finish(&self.path)?;
        if let Some(kept) = &kept {
            let sentence = format!("A backup was restored; what was here before is kept in {}.", kept.display());
            self.warnings.push(sentence);
        }
        Ok(kept)
    }

    /// Takes the key of a folder that has a passphrase; one that has none needs none, and takes none.
    ///
    /// # Errors
    /// [`DataError::Locked`] without the key of one that has, [`DataError::OtherLock`] with another's,
    /// [`DataError::DamagedLock`] and what the system refuses.
    pub fn unlock(&mut self, key: Option<DataKey>) -> Result<(), DataError> {
        self.seal = match (vault::lock_of(&self.path)?, key) {
            (None, _) => Seal::NONE,
            (Some(_), None) => return Err(DataError::Locked(self.path.clone())),
            (Some(lock), Some(key)) if lock.tag() == key.tag() => key.into(),
            (Some(_), Some(_)) => return Err(DataError::OtherLock(self.path.clone())),
        };
        Ok(())
    }

    /// What the folder is sealed with, as far as it was unlocked.
    #[must_use]
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a person should know about it, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The same, for whoever tells a person: each is told once.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        store_path(&self.path)
    }

    /// The local socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_path(&self.path)
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        settings_path(&self.path)
    }

    /// The key file.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        key_path(&self.path)
    }

    /// The key of this device; made at the first start. A file that others may read is made owner-only again, with a
    /// warning.
    ///
    /// # Errors
    /// [`DataError::DamagedKey`] and [`DataError::NewerKey`], with the file left as it is; else what the system
    /// refuses.
    pub fn device_key(&mut self) -> Result<DeviceKey, DataError> {
        let path = self.key_file();
        match File::open(&path) {
            Ok(file) => {
                self.narrow(&file, &path)?;
                let mut text = Zeroizing::new(Vec::new());
                file.take(KEY_FILE_MAX.saturating_add(1))
                    .read_to_end(&mut text)
                    .map_err(DataError::io("read", &path))?;
                parse_key(&vault::open_file(&self.seal, &path, &text)?, &path)
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                if self.store().exists() {
                    self.warnings.push(format!("{} is missing: this is a new device now", path.display()));
                }
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(DataError::Random)?;
                let key = DeviceKey::from_seed(&seed);
                write_atomically(&path, &vault::seal_file(&self.seal, &path, key_text(&key).as_bytes()))?;
                Ok(key)
            }
            Err(e) => Err(DataError::io("read", &path)(e)),
        }
    }

    #[cfg(unix)]
    fn narrow(&mut self, file: &File, path: &Path) -> Result<(), DataError> {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map_err(DataError::io("read", path))?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            let narrow = std::fs::Permissions::from_mode(0o600);
            file.set_permissions(narrow).map_err(DataError::io("protect", path))?;
            self.warnings.push(format!(
                "others could read {} (mode {mode:03o}); it is owner-only again, but the key may have been copied",
                path.display()
            ));
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn narrow(&mut self, _file: &File, _path: &Path) -> Result<(), DataError> {
        Ok(())
    }
}

/// The store in a data folder.
#[must_use]
pub fn store_path(data: &Path) -> PathBuf {
    data.join("cairn.redb")
}

/// The key in a data folder.
#[must_use]
pub fn key_path(data: &Path) -> PathBuf {
    data.join("device.key")
}

/// The local socket in a data folder.
#[must_use]
pub fn socket_path(data: &Path) -> PathBuf {
    data.join("cairn.sock")
}

/// The settings in a data folder.
#[must_use]
pub fn settings_path(data: &Path) -> PathBuf {
    data.join("settings.json")
}

fn make_folder(path: &Path, warnings: &mut Vec<String>) -> Result<(), DataError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match path.metadata() {
        Ok(found) if !found.is_dir() => return Err(DataError::NotAFolder(path.to_owned())),
        Ok(found) => protect_folder(path, &found, warnings)?,
        Err(e) if e.kind() == ErrorKind::NotFound => builder.create(path).map_err(DataError::io("make", path))?,
        Err(e) => return Err(DataError::io("open", path)(e)),
    }
    Ok(())
}

/// A folder of ours, or an empty one, is made owner-only. One with other things in it may be shared for a reason: the
/// person is told.
#[cfg(unix)]
fn protect_folder(path: &Path, found: &std::fs::Metadata, warnings: &mut Vec<String>) -> Result<(), DataError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let empty = std::fs::read_dir(path).map_err(DataError::io("read", path))?.next().is_none();
    if empty || path.join("device.key").exists() {
        let narrow = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(path, narrow).map_err(DataError::io("protect", path))?;
        if !empty {
            warnings
                .push(format!("others could look into {} (mode {mode:03o}); it is owner-only again", path.display()));
        }
    } else {
        warnings.push(format!("others can look into {} (mode {mode:03o})", path.display()));
    }
    Ok(())
}

#[cfg(not(unix))]
fn protect_folder(_path: &Path, _found: &std::fs::Metadata, _warnings: &mut Vec<String>) -> Result<(), DataError> {
    Ok(())
}

fn key_text(key: &DeviceKey) -> String {
    let body = format!("{KEY_VERSION}\nid {}\nseed {}\n", key.id(), base32(&key.seed()));
    let check = checksum(&body);
    format!("{body}check {check}\n")
}

fn checksum(body: &str) -> String {
    base32(&domain_hash(KEY_CHECK, &[body.as_bytes()])[..16])
}

pub(crate) fn parse_key(bytes: &[u8], path: &Path) -> Result<DeviceKey, DataError> {
    let damaged = |reason| DataError::DamagedKey { path: path.to_owned(), reason };
    if bytes.len() as u64 > KEY_FILE_MAX {
        return Err(damaged("is too long"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("is not text"))?;
    // An editor may have changed the line ends.
    let text = text.replace("\r\n", "\n");
    let mut lines = text.lines();
    match lines.next() {
        Some(KEY_VERSION) => {}
        Some(other)
            if other.strip_prefix("cairn device key ").is_some_and(|v| v.parse::<u32>().is_ok_and(|v| v > 1)) =>
        {
            return Err(DataError::NewerKey(path.to_owned()));
        }
        Some(_) => return Err(damaged("does not start like a key file")),
        None => return Err(damaged("is empty")),
    }
    let mut value = |name: &str| lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let (Some(id), Some(seed), Some(check)) = (value("id"), value("seed"), value("check")) else {
        return Err(damaged("is not complete"));
    };
    if checksum(&format!("{KEY_VERSION}\nid {id}\nseed {seed}\n")) != check {
        return Err(damaged("does not match its checksum"));
    }
    let seed = from_base32::<32>(seed).ok_or_else(|| damaged("has no seed"))?;
    let key = DeviceKey::from_seed(&seed);
    if key.id().to_string() == id { Ok(key) } else { Err(damaged("names another key than it holds")) }
}

/// Writes a file owner-only so that after a crash there is the old one or the new one, whole.
///
/// # Errors
/// [`DataError::Full`] and [`DataError::Io`]; the old file is as it was then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    // A left-over may have a wider mode, or be a link to somewhere else.
    match std::fs::remove_file(&new) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(DataError::io("replace", &new)(e)),
        _ => {}
    }
    let written = owner_only(OpenOptions::new().write(true).create_new(true)).open(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(e) = written.and_then(|()| std::fs::rename(&new, path)) {
        // The error that matters is the first one.
        let _ = std::fs::remove_file(&new);
        return Err(DataError::io("write", path)(e));
    }
    sync_folder(path).map_err(DataError::io("write", path))
}

/// Makes a rename beside `path` durable.
///
/// # Errors
/// What the system refuses.
pub(crate) fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        // On Windows a folder cannot be opened as a file, and NTFS journals the rename.
        Some(folder) if cfg!(unix) => {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder)?.sync_all()
        }
        _ => Ok(()),
    }
}

pub(crate) fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_paths_by_system() {
        let vars = |list: &'static [(&'static str, &'static str)]| {
            move |name: &str| list.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v))
        };
        let both = vars(&[("HOME", "/home/ann"), ("XDG_DATA_HOME", "/data")]);
        assert_eq!(default_path_from("linux", both), Some("/data/cairn".into()));
        let relative = vars(&[("HOME", "/home/ann"), ("XDG_DATA_HOME", "data")]);
        assert_eq!(default_path_from("linux", relative), Some("/home/ann/.local/share/cairn".into()));
        let home = vars(&[("HOME", "/Users/ann")]);
        assert_eq!(default_path_from("macos", home), Some("/Users/ann/Library/Application Support/Cairn".into()));
        assert_eq!(default_path_from("windows", vars(&[("LOCALAPPDATA", "/x")])), Some(Path::new("/x").join("Cairn")));
        assert_eq!(default_path_from("linux", vars(&[])), None);
    }

    #[test]
    fn one_cairn_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/data");
        let first = DataFolder::open(&path).unwrap();
        let error = DataFolder::open(&path).unwrap_err();
        assert!(matches!(&error, DataError::InUse(p) if *p == path));
        assert!(error.to_string().starts_with("another Cairn is running on this data folder"));
        drop(first);
        DataFolder::open(&path).unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert!(matches!(DataFolder::open(&file), Err(DataError::NotAFolder(_))));
    }

    #[test]
    fn the_key_stays_and_its_damage_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let mut data = DataFolder::open(&dir.path().join("d")).unwrap();
        let key = data.device_key().unwrap();
        assert_eq!(data.device_key().unwrap().seed(), key.seed());
        let path = data.key_file();
        let good = std::fs::read_to_string(&path).unwrap();
        assert_eq!(good.lines().next(), Some(KEY_VERSION));
        std::fs::write(&path, good.replace('\n', "\r\n")).unwrap();
        assert_eq!(data.device_key().unwrap().seed(), key.seed());

        let other = key_text(&DeviceKey::from_seed(&[9; 32]));
        let body = other.replace(other.lines().nth(1).unwrap(), good.lines().nth(1).unwrap());
        let body = body.split("check").next().unwrap();
        let mixed = format!("{body}check {}\n", checksum(body));
        let mut bad = vec![Vec::new(), b"garbage".to_vec(), vec![0; 185], vec![0xff; 10_000], mixed.into_bytes()];
        bad.extend((0..good.len() - 1).map(|n| good.as_bytes()[..n].to_vec()));
        for at in (0..good.len() - 1).step_by(7) {
            let mut flipped = good.clone().into_bytes();
            flipped[at] ^= 1;
            bad.push(flipped);
        }
        for bytes in bad {
            std::fs::write(&path, &bytes).unwrap();
            let error = data.device_key().unwrap_err();
            assert!(matches!(&error, DataError::DamagedKey { path: p, .. } if *p == path), "{error} {bytes:?}");
            assert!(error.to_string().contains("device.key"));
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "never written over");
        }
        std::fs::write(&path, good.replacen("key 1", "key 2", 1)).unwrap();
        assert!(matches!(data.device_key(), Err(DataError::NewerKey(_))));
    }

    #[test]
    fn a_lost_key_beside_a_store_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut data = DataFolder::open(dir.path()).unwrap();
        std::fs::write(data.store(), "x").unwrap();
        data.device_key().unwrap();
        assert!(data.warnings().iter().any(|w| w.contains("is missing")), "{:?}", data.warnings());
    }

    #[test]
    fn an_atomic_write_replaces_and_cleans_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(dir.path().join("f.new"), "left over").unwrap();
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(matches!(write_atomically(&dir.path().join("none/f"), b""), Err(DataError::Io { .. })));
    }

    #[cfg(unix)]
    mod modes {
        use super::*;
        use std::os::unix::fs::PermissionsExt;

        fn mode(path: &Path) -> u32 {
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777
        }

        fn set(path: &Path, mode: u32) {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }

        #[test]
        fn everything_is_owner_only_and_repaired() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a/b");
            let mut data = DataFolder::open(&path).unwrap();
            let key = data.device_key().unwrap();
            assert_eq!(data.warnings(), [""; 0]);
            assert_eq!((mode(&path), mode(&data.key_file()), mode(&path.join("cairn.lock"))), (0o700, 0o600, 0o600));
            drop(data);
            set(&path, 0o755);
            set(&path.join("device.key"), 0o644);
            let mut data = DataFolder::open(&path).unwrap();
            assert_eq!(data.device_key().unwrap().seed(), key.seed());
            assert_eq!((mode(&path), mode(&data.key_file())), (0o700, 0o600));
            assert_eq!(data.warnings().len(), 2);
            assert!(data.warnings()[1].contains("mode 644"), "{:?}", data.warnings());
        }

        #[test]
        fn a_folder_with_other_things_is_left_as_it_is() {
            let dir = tempfile::tempdir().unwrap();
            set(dir.path(), 0o755);
            std::fs::write(dir.path().join("letter"), "x").unwrap();
            let data = DataFolder::open(dir.path()).unwrap();
            assert_eq!(mode(dir.path()), 0o755);
            assert!(data.warnings()[0].contains("others can look into"));
        }
    }
}
