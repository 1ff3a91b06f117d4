//! Opening the redb file, moving a damaged one aside, and opening it again after a failure.
//!
//! A new file is made under another name and renamed when it is whole, so a crash in the middle of the first start
//! leaves nothing that looks damaged. Opening reads little. Damage that only shows later, while the node runs, is
//! reported to the caller and remembered in a note beside the file (`.check`), and the next opening reads everything.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use redb::{Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase};

use super::fault::{Fault, guarded, io_error};
use super::{StoreError, blank, migrations, walk as reads};
use crate::limits::STORE_CACHE;

/// Opens the database in a file: redb's own way, or in tests one whose medium fails when told to.
#[derive(Clone)]
pub(super) struct Opener(Arc<dyn Fn(File) -> Result<Database, DatabaseError> + Send + Sync>);

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

impl Opener {
    /// redb on the file itself.
    pub(super) fn file() -> Self {
        Self::of(|file| Builder::new().set_cache_size(STORE_CACHE).create_file(file))
    }

    /// An opener of one's own.
    pub(super) fn of(f: impl Fn(File) -> Result<Database, DatabaseError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }

    fn open(&self, path: &Path) -> Result<Database, Fault> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(redb::Error::Io)?;
        if file.metadata().map_err(redb::Error::Io)?.len() == 0 {
            return Err(Fault::Damaged("the file is empty".into()));
        }
        guarded(|| Ok((self.0)(file)?))
    }
}

/// Makes a store that is whole before it has its name.
fn create(path: &Path) -> Result<(), Fault> {
    let image = blank::image()?;
    let new = beside(path, ".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let made = options
        .open(&new)
        .and_then(|mut file| {
            file.write_all(&image)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&new, path));
    if let Err(error) = made {
        // Half a file is of no use, and on a full disk in the way. The error that matters is the first one.
        let _ = std::fs::remove_file(&new);
        return Err(redb::Error::Io(error).into());
    }
    Ok(crate::data::sync_folder(path).map_err(redb::Error::Io)?)
}

/// The file, open or to be opened again.
#[derive(Debug)]
pub(super) struct Medium {
    path: PathBuf,
    opener: Opener,
    slot: RwLock<Slot>,
}

#[derive(Debug)]
struct Slot {
    /// `None` while opening again has failed; the next use tries once more.
    db: Option<Database>,
    /// Closed for good.
    closed: bool,
    /// Counts openings, so that of many who saw one failure only the first opens again.
    generation: u64,
}

impl Medium {
    /// Opens or makes the file.
    pub(super) fn open(path: &Path, opener: Opener) -> Result<Self, StoreError> {
        match first_open(path, &opener) {
            Ok(db) => {
                let slot = RwLock::new(Slot { db: Some(db), closed: false, generation: 0 });
                Ok(Self { path: path.to_owned(), opener, slot })
            }
            Err(fault) => Err(match fault.damage() {
                Some(reason) => set_aside(path, reason),
                None => fault.into_error(),
            }),
        }
    }

    /// Runs `f` on the open database; tells which opening it was.
    pub(super) fn with<T>(&self, f: impl FnOnce(&Database) -> Result<T, Fault>) -> (u64, Result<T, Fault>) {
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        let outcome = match &slot.db {
            Some(db) => guarded(|| f(db)),
            None => Err(Fault::Closed),
        };
        (slot.generation, outcome)
    }

    /// Runs `f` on a snapshot, once more where an earlier failure made redb refuse.
    pub(super) fn read<T>(&self, f: impl Fn(&ReadTransaction) -> Result<T, Fault>) -> Result<T, StoreError> {
        let (generation, outcome) = self.with(|db| f(&db.begin_read()?));
        match outcome {
            Err(fault) if fault.stale() => {
                self.reopen(generation)?;
                self.with(|db| f(&db.begin_read()?)).1.map_err(|fault| self.report(fault))
            }
            outcome => outcome.map_err(|fault| self.report(fault)),
        }
    }

    /// Closes the file for good.
    pub(super) fn close(&self) {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        slot.closed = true;
        put_down(slot.db.take());
    }

    /// Opens again, unless somebody did so since `generation`.
    pub(super) fn reopen(&self, generation: u64) -> Result<(), StoreError> {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        if slot.closed {
            return Err(StoreError::Io("it was closed".into()));
        }
        if slot.generation != generation {
            return Ok(());
        }
        put_down(slot.db.take());
        let opened = self.opener.open(&self.path).and_then(|db| reads::glance(&db).map(|()| db));
        slot.db = Some(opened.map_err(|fault| self.report(fault))?);
        slot.generation = slot.generation.wrapping_add(1);
        Ok(())
    }

    /// The error of a fault. Damage is noted, so that the next start looks at everything.
    pub(super) fn report(&self, fault: Fault) -> StoreError {
        let error = fault.into_error();
        if let StoreError::Damaged { reason } = &error {
            tracing::error!(reason, "the store is damaged");
            if let Err(e) = std::fs::write(beside(&self.path, ".check"), reason) {
                tracing::warn!(%e, "cannot note that the store is damaged");
            }
        }
        error
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        self.close();
    }
}

/// Closes a database. redb writes what it knows of free pages when it is closed, and panics where that is damaged; by
/// then everything that was committed is at rest.
fn put_down(db: Option<Database>) {
    let closed = guarded(|| {
        drop(db);
        Ok(())
    });
    if let Err(fault) = closed {
        tracing::warn!(?fault, "the store did not close in order");
    }
}

fn first_open(path: &Path, opener: &Opener) -> Result<Database, Fault> {
    match path.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => create(path)?,
        Err(e) => return Err(redb::Error::Io(e).into()),
        Ok(_) => {}
    }
    let mut db = opener.open(path)?;
    guarded(|| migrations::migrate(&db))?;
    reads::glance(&db)?;
    let note = beside(path, ".check");
    if note.exists() {
        guarded(|| {
            db.check_integrity()?;
            reads::verify(&db.begin_read()?)
        })?;
        std::fs::remove_file(note).map_err(redb::Error::Io)?;
    }
    Ok(db)
}

/// Gives the damaged file a name of its own, which no file has.
fn set_aside(path: &Path, reason: String) -> StoreError {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut suffix = format!(".damaged-{}", utc(seconds));
    let mut kept = beside(path, &suffix);
    for n in 2u32.. {
        if kept.symlink_metadata().is_err() {
            break;
        }
        suffix = format!(".damaged-{}-{n}", utc(seconds));
        kept = beside(path, &suffix);
    }
    let moved = std::fs::rename(path, &kept).and_then(|()| match std::fs::remove_file(beside(path, ".check")) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => crate::data::sync_folder(path),
    });
    match moved {
        Ok(()) => StoreError::Corrupt { reason, kept: kept.display().to_string() },
        Err(e) => io_error(&e),
    }
}

/// The path with something appended to its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Seconds since 1970 as `20261121T013107Z` (days to date: Howard Hinnant, "chrono-compatible low-level date
/// algorithms").
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days.saturating_add(719_468);
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn times_of_damaged_files() {
        assert_eq!(utc(0), "19700101T000000Z");
        assert_eq!(utc(951_827_696), "20000229T123456Z");
        assert_eq!(utc(1_795_224_667), "20261121T013107Z");
    }
}
