//! The key of a data folder that has a passphrase: the passphrase is read from the file that `--passphrase-file` names, else
//! asked for at the terminal, and never taken from an argument or from standard input, which belongs to the verb.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cairn_actors::api::ApiError;
use cairn_actors::care::BackupError;
use cairn_actors::store::Seal;
use cairn_actors::vault::{self, VaultError};
use cairn_crdt::vault::{DataKey, Lock, LockError};
use zeroize::Zeroizing;

use super::config::data_error;
use super::secret;
use super::text::note;

/// The file that the arguments name: said once, when they are read.
static FILE: OnceLock<PathBuf> = OnceLock::new();

/// How often one may try at the terminal.
const TRIES: usize = 3;

/// The arguments name a file.
pub fn from_file(path: PathBuf) {
    // It is said once.
    let _ = FILE.set(path);
}

/// The key of a data folder; `None` where it has no passphrase.
///
/// # Errors
/// `locked` where nobody can be asked, `wrong_passphrase`, and what reading answers.
pub fn key(data: &Path) -> Result<Option<DataKey>, ApiError> {
    match vault::lock_of(data).map_err(|e| data_error(&e))? {
        None => Ok(None),
        Some(lock) => open(&lock, FILE.get().map(PathBuf::as_path), "The passphrase of this folder", || locked(data))
            .map(|(key, _)| Some(key)),
    }
}

/// The key where a file that holds the passphrase was named: the window asks by itself otherwise.
///
/// # Errors
/// As [`key`].
pub fn given(data: &Path) -> Result<Option<DataKey>, ApiError> {
    if FILE.get().is_some() { key(data) } else { Ok(None) }
}

/// The same as what files of the folder are sealed with.
///
/// # Errors
/// As [`key`].
pub fn seal(data: &Path) -> Result<Seal, ApiError> {
    Ok(key(data)?.map_or(Seal::NONE, Seal::from))
}

/// The key of a data folder that has a passphrase, and the passphrase.
///
/// # Errors
/// As [`key`]; `no_passphrase` where it has none.
pub fn passphrase(data: &Path) -> Result<(DataKey, Zeroizing<String>), ApiError> {
    let lock = vault::lock_of(data).map_err(|e| data_error(&e))?.ok_or_else(|| vault_error(&VaultError::HasNone))?;
    open(&lock, FILE.get().map(PathBuf::as_path), "The passphrase of this folder", || locked(data))
}

/// Opens a lock with a passphrase from a file, or from the terminal; `refused` says that there is neither.
///
/// # Errors
/// As [`key`].
pub fn open(
    lock: &Lock,
    file: Option<&Path>,
    what: &str,
    refused: impl Fn() -> ApiError,
) -> Result<(DataKey, Zeroizing<String>), ApiError> {
    if let Some(file) = file {
        own(file)?;
        let text = secret::read(Some(file), what)?;
        return Ok((lock.open(&text).map_err(lock_error)?, text));
    }
    if !io::stdin().is_terminal() {
        return Err(refused());
    }
    for left in (0..TRIES).rev() {
        let text = secret::once(what)?;
        match lock.open(&text) {
            Ok(key) => return Ok((key, text)),
            Err(LockError::Wrong) if left > 0 => note("cairn: the passphrase is wrong"),
            Err(e) => return Err(lock_error(e)),
        }
    }
    Err(lock_error(LockError::Wrong))
}

/// A file that others can read holds no secret.
#[cfg(unix)]
fn own(path: &Path) -> Result<(), ApiError> {
    use std::os::unix::fs::MetadataExt;
    let found = path.metadata().map_err(|e| ApiError::new("io", format!("{} can't be read: {e}", path.display())))?;
    let mode = found.mode() & 0o777;
    if found.is_file() && mode & 0o077 != 0 {
        let sentence = format!("others can read {} (mode {mode:03o}): make it yours alone (chmod 600)", path.display());
        return Err(ApiError::new("passphrase_file", sentence));
    }
    Ok(())
}

#[cfg(not(unix))]
fn own(_path: &Path) -> Result<(), ApiError> {
    Ok(())
}

fn locked(data: &Path) -> ApiError {
    let shown = data.display();
    ApiError::new(
        "locked",
        format!("{shown} is locked with a passphrase: --passphrase-file names a file that holds it"),
    )
}

/// A lock that does not open, in the node's terms.
#[must_use]
pub fn lock_error(e: LockError) -> ApiError {
    use cairn_crdt::netkey::PassphraseError;
    let code = match e {
        LockError::Wrong => "wrong_passphrase",
        LockError::Passphrase(PassphraseError::Memory) => "system",
        LockError::Passphrase(_) => "bad_passphrase",
        LockError::Damaged(_) | LockError::Newer => "bad_lock",
    };
    ApiError::new(code, e.to_string())
}

/// What setting, changing and removing answers, in the node's terms.
#[must_use]
pub fn vault_error(e: &VaultError) -> ApiError {
    let code: String = match e {
        VaultError::Has => "has_passphrase".into(),
        VaultError::HasNone => "no_passphrase".into(),
        VaultError::Copies(_) => "unsealed_copies".into(),
        VaultError::Random(_) => "system".into(),
        VaultError::Lock(e) => return lock_error(*e),
        VaultError::Data(e) => return data_error(e),
        VaultError::NetworkKey(e) => return super::network_key::key_file_error(e),
        VaultError::Filling(BackupError::Full(_)) => "disk_full".into(),
        VaultError::Filling(_) => "store_failed".into(),
        VaultError::Store(e) => super::care::store_error(e).code,
    };
    ApiError::new(&code, e.to_string())
}
