//! The file of a network's key, `network.key` in the data folder, beside the device key and as much for its owner alone.
//!
//! It is text: a line `cairn network key 1`, a line `network` with the id that the first key gave, a line `key` with the
//! secret and since when it is the present one, a line `old` for each key that is accepted for a while longer with the
//! secret and until when, and a line `check` with a checksum of the lines before it. Ids and secrets are base32, times
//! milliseconds since 1970. Where there is no file, the network of the device is open. A damaged file is never written
//! over and keeps a node from starting: to go on without it would be to announce in the open what was sealed.
//!
//! A running node reads it again when it is told that settings changed ([`crate::handle::Handle::settings_changed`]), so
//! no request carries a key.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use cairn_crdt::ids::{NetworkId, base32, domain_hash, from_base32};
use cairn_crdt::netkey::{MAX_OLD, NetworkKey, Old, Ring, RingError};
use zeroize::Zeroizing;

use crate::api::ApiError;
use crate::data::{DataError, sync_folder, write_atomically};
use crate::store::Seal;
use crate::vault;

/// First line of the file.
const FILE_VERSION: &str = "cairn network key 1";
/// What it is in any version.
const FILE_FRONT: &str = "cairn network key ";
/// Largest file in bytes; a whole one has at most 400.
const FILE_MAX: u64 = 4096;
/// Domain of its checksum.
const FILE_CHECK: &str = "cairn 2026 network key file";

/// Why the keys of the network cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file is not what was written. It is left as it is.
    #[error("the network key is damaged: {} {reason}; put a copy back, or move it away and set the key again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: &'static str,
    },
    /// The file was written by a newer Cairn.
    #[error("{} was written by a newer Cairn", .0.display())]
    Newer(PathBuf),
    /// The file cannot be read or written.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// The file in a data folder.
#[must_use]
pub fn file_in(data: &Path) -> PathBuf {
    data.join("network.key")
}

/// Reads the file; where there is none, no key. Makes a file that others may read owner-only again.
///
/// # Errors
/// [`KeyFileError`]; the file is as it was.
pub fn load(path: &Path, seal: &Seal) -> Result<Ring, KeyFileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Ring::default()),
        Err(e) => return Err(DataError::io("read", path)(e).into()),
    };
    narrow(&file, path)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
    file.take(FILE_MAX.saturating_add(1)).read_to_end(&mut bytes).map_err(DataError::io("read", path))?;
    parse(&vault::open_file(seal, path, &bytes)?, path)
}

/// Keeps the keys; without one the file goes. A damaged file is not written over.
///
/// # Errors
/// [`KeyFileError`]; the old file is as it was.
pub fn save(ring: &Ring, path: &Path, seal: &Seal) -> Result<(), KeyFileError> {
    load(path, seal)?;
    match text(ring) {
        Some(text) => Ok(write_atomically(path, &vault::seal_file(seal, path, text.as_bytes()))?),
        None => match std::fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(DataError::io("remove", path)(e).into()),
            _ => Ok(sync_folder(path).map_err(DataError::io("remove", path))?),
        },
    }
}

#[cfg(unix)]
fn narrow(file: &File, path: &Path) -> Result<(), DataError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata().map_err(DataError::io("read", path))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(DataError::io("protect", path))?;
        tracing::warn!("others could read {} (mode {mode:03o}); it is owner-only again", path.display());
    }
    Ok(())
}

#[cfg(not(unix))]
fn narrow(_file: &File, _path: &Path) -> Result<(), DataError> {
    Ok(())
}

fn text(ring: &Ring) -> Option<Zeroizing<String>> {
    let (key, since, network) = (ring.key()?, ring.since()?, ring.network()?);
    let secret = |key: &NetworkKey| Zeroizing::new(base32(key.secret()));
    let mut text = Zeroizing::new(String::with_capacity(1024));
    text.push_str(&format!("{FILE_VERSION}\nnetwork {network}\nkey "));
    text.push_str(&secret(key));
    text.push_str(&format!(" {since}\n"));
    for old in ring.old() {
        text.push_str("old ");
        text.push_str(&secret(&old.key));
        text.push_str(&format!(" {}\n", old.until));
    }
    let check = checksum(&text);
    text.push_str(&format!("check {check}\n"));
    Some(text)
}

fn checksum(body: &str) -> String {
    base32(&domain_hash(FILE_CHECK, &[body.as_bytes()])[..16])
}

/// Reads the text of a file; `path` is only named in errors.
///
/// # Errors
/// [`KeyFileError::Damaged`] and [`KeyFileError::Newer`].
pub fn parse(bytes: &[u8], path: &Path) -> Result<Ring, KeyFileError> {
    let damaged = |reason| KeyFileError::Damaged { path: path.to_owned(), reason };
    if bytes.len() as u64 > FILE_MAX {
        return Err(damaged("is too long"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("is not text"))?;
    // An editor may have changed the line ends.
    let text = Zeroizing::new(text.replace("\r\n", "\n"));
    match text.lines().next() {
        Some(FILE_VERSION) => {}
        Some(other) if other.strip_prefix(FILE_FRONT).is_some_and(|v| v.parse::<u32>().is_ok_and(|v| v > 1)) => {
            return Err(KeyFileError::Newer(path.to_owned()));
        }
        Some(_) => return Err(damaged("does not start like a key file")),
        None => return Err(damaged("is empty")),
    }
    let (body, check) = text.rsplit_once("check ").ok_or_else(|| damaged("is not complete"))?;
    if check.strip_suffix('\n').unwrap_or(check) != checksum(body) {
        return Err(damaged("does not match its checksum"));
    }
    read(body).ok_or_else(|| damaged("has no key"))
}

fn read(body: &str) -> Option<Ring> {
    let mut lines = body.lines().skip(1);
    let network = NetworkId(from_base32(lines.next()?.strip_prefix("network ")?)?);
    let (key, since) = entry(lines.next()?.strip_prefix("key ")?)?;
    let old: Option<Vec<Old>> =
        lines.map(|l| entry(l.strip_prefix("old ")?)).map(|e| e.map(|(key, until)| Old { key, until })).collect();
    Some(Ring::new(key, since, network, old.filter(|old| old.len() <= MAX_OLD)?))
}

fn entry(text: &str) -> Option<(NetworkKey, u64)> {
    let (secret, time) = text.split_once(' ')?;
    let secret = Zeroizing::new(from_base32::<32>(secret)?);
    Some((NetworkKey::from_secret(&secret), time.parse().ok()?))
}

/// What keeps keys as they are, in the node's terms.
#[must_use]
pub fn ring_error(e: RingError) -> ApiError {
    let code = match e {
        RingError::HasKey => "has_network_key",
        RingError::NoKey => "no_network_key",
        RingError::Same => "same_network_key",
    };
    ApiError::new(code, e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Ring {
        let key = |n: u8| NetworkKey::from_secret(&[n; 32]);
        let mut ring = Ring::default();
        ring.set(key(1), key(1).network(), 1_000).unwrap();
        ring.change(key(2), 2_000, 9_000).unwrap();
        ring.change(key(3), 3_000, 10_000).unwrap();
        ring
    }

    #[test]
    fn keys_are_kept_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = file_in(dir.path());
        assert!(load(&path, &Seal::NONE).unwrap().is_open());
        save(&ring(), &path, &Seal::NONE).unwrap();
        assert_eq!(load(&path, &Seal::NONE).unwrap(), ring());
        let good = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, good.replace('\n', "\r\n")).unwrap();
        assert_eq!(load(&path, &Seal::NONE).unwrap(), ring());
        save(&Ring::default(), &path, &Seal::NONE).unwrap();
        save(&Ring::default(), &path, &Seal::NONE).unwrap();
        assert!(!path.exists() && load(&path, &Seal::NONE).unwrap().is_open());
    }

    #[test]
    fn a_damaged_file_is_told_and_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = file_in(dir.path());
        save(&ring(), &path, &Seal::NONE).unwrap();
        let good = std::fs::read(&path).unwrap();
        let mut bad = vec![Vec::new(), b"garbage".to_vec(), vec![0xff; 100], vec![b'a'; 10_000]];
        bad.extend((0..good.len() - 1).map(|n| good[..n].to_vec()));
        for at in 0..good.len() - 1 {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            bad.push(flipped);
        }
        for bytes in bad {
            std::fs::write(&path, &bytes).unwrap();
            let error = load(&path, &Seal::NONE).unwrap_err();
            assert!(matches!(&error, KeyFileError::Damaged { .. } | KeyFileError::Newer(_)), "{error} {bytes:?}");
            assert!(error.to_string().contains("network.key"), "{error}");
            assert!(save(&ring(), &path, &Seal::NONE).is_err() && save(&Ring::default(), &path, &Seal::NONE).is_err());
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
        std::fs::write(&path, String::from_utf8(good).unwrap().replacen("key 1", "key 2", 1)).unwrap();
        assert!(matches!(load(&path, &Seal::NONE), Err(KeyFileError::Newer(_))));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = file_in(dir.path());
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        save(&ring(), &path, &Seal::NONE).unwrap();
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        load(&path, &Seal::NONE).unwrap();
        assert_eq!(mode(), 0o600);
    }
}
