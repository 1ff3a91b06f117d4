//! Care for what a node keeps: checking it, saving it to a file, bringing it back, giving room back.
//!
//! Checks and backups read beside a running node, from one moment of its store. Whatever changes the store under it is
//! done between two lives of the node (`lives`) or, where none runs, by the one command.

pub mod backup;
pub mod checkup;
pub mod file;
pub mod room;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

pub use self::file::BackupError;

use crate::api::{ApiError, Checkup, Compacted};
use crate::data::DataFolder;
use crate::handle::{Care, Reply};
use crate::lives::{Order, Renew, Renewed};
use crate::store::{RedbStore, Store, StoreError};
use crate::vault;
use crate::wiring::Wiring;

impl From<BackupError> for ApiError {
    fn from(e: BackupError) -> Self {
        let code = match &e {
            BackupError::Exists(_) => "file_exists",
            BackupError::InUse(_) => "folder_in_use",
            BackupError::Foreign(_) => "not_a_backup",
            BackupError::Newer(_) => "backup_newer",
            BackupError::Truncated { .. } => "backup_incomplete",
            BackupError::Sealed(_) => "backup_sealed",
            BackupError::Damaged { .. } => "backup_damaged",
            BackupError::Full(_) | BackupError::Store(StoreError::Full) => "disk_full",
            BackupError::Io { .. } | BackupError::Data(_) | BackupError::Store(_) => "backup_failed",
        };
        Self::new(code, e.to_string())
    }
}

/// Does what a running node was asked, or orders what needs a new life. Blocks. `turn` is given up before the answer.
pub(crate) fn perform(care: Care, wiring: &Arc<Wiring>, turn: impl Sized) -> Option<Order> {
    let data = wiring.status().data;
    match care {
        Care::Check(all, reply) => {
            let checkup = check(wiring, all);
            drop(turn);
            // Whoever asked may have gone, here and below.
            let _ = reply.send(checkup);
            None
        }
        Care::BackUp(to, reply) => {
            let saved = backup::save(&data, &wiring.seal, wiring.store.as_ref(), wiring.env.now_ms(), &to);
            drop(turn);
            let _ = reply.send(saved.map_err(ApiError::from));
            None
        }
        Care::Restore(from, replace, reply) => {
            match backup::prepare(&data, &wiring.seal, &from, None, replace, wiring.env.now_ms()) {
                Ok(restored) => Some(order(Renew::default(), reply, move |renewed| {
                    let mut restored = restored;
                    restored.kept = renewed.kept;
                    restored
                })),
                Err(e) => {
                    drop(turn);
                    let _ = reply.send(Err(e.into()));
                    None
                }
            }
        }
        Care::Repair(reply) => {
            Some(order(Renew { verify: true, compact: false }, reply, |renewed| renewed.repaired.into_iter().collect()))
        }
        Care::Compact(reply) => {
            let nothing = Compacted { before: 0, after: 0 };
            Some(order(Renew { verify: false, compact: true }, reply, move |renewed| {
                renewed.compacted.unwrap_or(nothing)
            }))
        }
    }
}

fn order<T: Send + 'static>(
    renew: Renew,
    reply: Reply<T>,
    answer: impl FnOnce(Renewed) -> T + Send + 'static,
) -> Order {
    Order { renew, done: Box::new(move |outcome| drop(reply.send(outcome.map(answer)))) }
}

/// Opens the store of a data folder; `verify`: reads and checks everything in it. Where it is damaged, what can be
/// saved of it takes its place, and a sentence says so.
///
/// # Errors
/// [`StoreError`] where it cannot be opened all the same.
pub fn open_store(folder: &DataFolder, verify: bool) -> Result<(RedbStore, Option<String>), StoreError> {
    let (path, seal) = (folder.store(), folder.seal());
    if seal.key().is_none() && vault::lock_path(folder.path()).exists() {
        // So that nothing is taken for damage that only has no key.
        return Err(StoreError::Sealed);
    }
    if verify && path.exists() {
        RedbStore::verify_next(&path)?;
    }
    let mut sentences = Vec::new();
    // The store may be damaged and its journal too.
    while sentences.len() < 2 {
        match RedbStore::open_sealed(&path, seal) {
            Err(e @ StoreError::Corrupt { .. }) => {
                sentences.push(format!("{e}. Other devices bring back what they hold."));
            }
            other => return Ok((other?, (!sentences.is_empty()).then(|| sentences.join(" ")))),
        }
    }
    Ok((RedbStore::open_sealed(&path, seal)?, Some(sentences.join(" "))))
}

/// Checks everything in a data folder on which no node runs, repairs what is damaged, and checks again.
///
/// # Errors
/// [`StoreError`].
pub fn repair_folder(folder: &DataFolder, all: bool) -> Result<Checkup, StoreError> {
    let mut repaired = None;
    if folder.store().exists() {
        let (store, sentence) = open_store(folder, true)?;
        store.close();
        repaired = sentence;
    }
    let mut checkup = checkup::check_folder(folder, all)?;
    checkup.repaired(repaired.into_iter().collect());
    Ok(checkup)
}

/// Gives room back in a data folder on which no node runs.
///
/// # Errors
/// [`StoreError`].
pub fn compact_folder(folder: &DataFolder) -> Result<Compacted, StoreError> {
    let (store, _) = open_store(folder, false)?;
    compact(folder, &store)
}

/// Gives room back.
///
/// # Errors
/// [`StoreError`].
pub fn compact(folder: &DataFolder, store: &RedbStore) -> Result<Compacted, StoreError> {
    let length = || std::fs::metadata(folder.store()).map_or(0, |m| m.len());
    let before = length();
    store.compact()?;
    Ok(Compacted { before, after: length() })
}

/// Saves a data folder on which no node runs. `now` in milliseconds since 1970.
///
/// # Errors
/// [`BackupError`].
pub fn back_up_folder(folder: &DataFolder, now: u64, to: &Path) -> Result<crate::api::BackedUp, BackupError> {
    let (store, _) = open_store(folder, false)?;
    backup::save(folder.path(), folder.seal(), &store, now, to)
}

fn check(wiring: &Wiring, all: bool) -> Result<Checkup, ApiError> {
    let status = wiring.status();
    let found = wiring.store.examine(all).map_err(|e| ApiError::new("store_failed", e.to_string()))?;
    let mut findings = checkup::around(&status.data, &wiring.seal);
    findings.extend(checkup::running(status.port, status.troubles));
    Ok(checkup::told(findings, &found, &status.data))
}
