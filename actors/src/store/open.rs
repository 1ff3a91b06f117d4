//! Opening the redb file, and opening it again after a failure; what becomes of a damaged one is in `aside`.
//!
//! A new file is made under another name and renamed when it is whole, so a crash in the middle of the first start
//! leaves nothing that looks damaged. Opening reads little. Damage that only shows later, while the node runs, is
//! reported to the caller and remembered in a note beside the file, and the next opening reads everything.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use cairn_crdt::contained::contained;
use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, StorageBackend};

use super::aside::{self, Note, SALVAGED, beside};
use super::fault::{Fault, guarded, watched};
use super::sealing::Seal;
use super::{StoreError, blank, migrations, walk as reads};
use crate::limits::STORE_CACHE;

/// Opens the database in a file, and the file of its journal: the ordinary way, or in tests on a medium that fails when
/// told to.
#[derive(Clone)]
pub(super) struct Opener {
    db: Arc<dyn Fn(File) -> Result<Database, DatabaseError> + Send + Sync>,
    journal: Arc<dyn Fn(File) -> std::io::Result<Box<dyn StorageBackend>> + Send + Sync>,
    seal: Seal,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

impl Opener {
    /// The files themselves.
    pub(super) fn file() -> Self {
        let journal = |file| Ok(Box::new(FileBackend::new(file).map_err(std::io::Error::other)?) as Box<_>);
        Self::of(|file| Builder::new().set_cache_size(STORE_CACHE).create_file(file), journal)
    }

    /// An opener of one's own.
    pub(super) fn of(
        db: impl Fn(File) -> Result<Database, DatabaseError> + Send + Sync + 'static,
        journal: impl Fn(File) -> std::io::Result<Box<dyn StorageBackend>> + Send + Sync + 'static,
    ) -> Self {
        Self { db: Arc::new(db), journal: Arc::new(journal), seal: Seal::NONE }
    }

    /// The same for a store that is sealed.
    pub(super) fn sealed(self, seal: &Seal) -> Self {
        Self { seal: seal.clone(), ..self }
    }

    /// What the store is sealed with.
    pub(super) fn seal(&self) -> &Seal {
        &self.seal
    }

    pub(super) fn open_journal(&self, file: File) -> std::io::Result<Box<dyn StorageBackend>> {
        (self.journal)(file)
    }

    pub(super) fn open(&self, path: &Path) -> Result<Database, Fault> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(redb::Error::Io)?;
        if file.metadata().map_err(redb::Error::Io)?.len() == 0 {
            return Err(Fault::Damaged("the file is empty".into()));
        }
        guarded(|| Ok((self.db)(file)?))
    }
}

/// Makes a store that is whole before it has its name.
pub(super) fn create(path: &Path, seal: &Seal) -> Result<(), Fault> {
    let image = blank::image(seal)?;
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
    path: Arc<Path>,
    opener: Opener,
    slot: RwLock<Slot>,
    /// Damage was seen: what redb knows of the file is not written back to it.
    damaged: AtomicBool,
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
        let path: Arc<Path> = path.into();
        let opened = watched(&path, || guarded(|| first_open(&path, &opener)));
        match opened {
            Ok(db) => {
                let slot = RwLock::new(Slot { db: Some(db), closed: false, generation: 0 });
                Ok(Self { path, opener, slot, damaged: AtomicBool::new(false) })
            }
            Err(fault) => Err(match fault.damage() {
                Some(reason) => watched(&path, || aside::exchange(&path, opener.seal(), reason)),
                None => fault.into_error(),
            }),
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it is sealed with.
    pub(super) fn seal(&self) -> &Seal {
        self.opener.seal()
    }

    /// Runs `f` on the open database; tells which opening it was.
    pub(super) fn with<T>(&self, f: impl FnOnce(&Database) -> Result<T, Fault>) -> (u64, Result<T, Fault>) {
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        let outcome = match &slot.db {
            Some(db) => watched(&self.path, || guarded(|| f(db))),
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
        let db = slot.db.take();
        watched(&self.path, || if self.damaged() { abandon(db) } else { put_down(db) });
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
        let old = slot.db.take();
        let opened = watched(&self.path, || {
            // After a failure there is nothing to write back.
            abandon(old);
            let db = self.opener.open(&self.path)?;
            match guarded(|| reads::glance(&db, self.seal())) {
                Ok(()) => Ok(db),
                Err(fault) => {
                    abandon(Some(db));
                    Err(fault)
                }
            }
        });
        slot.db = Some(opened.map_err(|fault| self.report(fault))?);
        slot.generation = slot.generation.wrapping_add(1);
        Ok(())
    }

    /// Gives free pages back to the file system; answers whether anything was gained. Reads and commits wait meanwhile.
    pub(super) fn compact(&self) -> Result<bool, StoreError> {
        let (generation, outcome) = {
            let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
            let outcome = match &mut slot.db {
                Some(db) => watched(&self.path, || {
                    guarded(|| {
                        let gained = db.compact()?;
                        // Compaction leaves no record of free pages; without one the next opening reads the whole file.
                        migrations::begin(db)?.commit()?;
                        Ok(gained)
                    })
                }),
                None => Err(Fault::Closed),
            };
            (slot.generation, outcome)
        };
        outcome.map_err(|fault| {
            let error = self.report(fault);
            // The next use opens again where this fails.
            let _ = self.reopen(generation);
            error
        })
    }

    /// Whether damage was seen.
    pub(super) fn damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// The error of a fault. Damage is noted, so that the next start looks at everything.
    pub(super) fn report(&self, fault: Fault) -> StoreError {
        let error = fault.into_error();
        if let StoreError::Damaged { reason } = &error {
            tracing::error!(reason, "the store is damaged");
            self.damaged.store(true, Ordering::Relaxed);
            if let Err(e) = aside::write(&self.path, &Note::Check(reason.clone())) {
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

/// Closes a database that is in order.
fn put_down(db: Option<Database>) {
    let closed = guarded(|| {
        drop(db);
        Ok(())
    });
    if let Err(fault) = closed {
        tracing::warn!(?fault, "the store did not close in order");
    }
}

/// Closes a database without writing anything. redb writes what it knows of free pages when a database is dropped, and
/// where that is damaged may panic while it cleans up after a panic, which ends the process; while a panic unwinds it
/// does not write. Everything that was committed is at rest.
pub(super) fn abandon(db: Option<Database>) {
    if let Some(db) = db {
        let unwound = contained(move || -> () {
            let _db = db;
            resume_unwind(Box::new("closed without writing"));
        });
        drop(unwound);
    }
}

fn first_open(path: &Path, opener: &Opener) -> Result<Database, Fault> {
    match path.symlink_metadata() {
        // The exchange for what was saved of a damaged one was cut short.
        Err(e) if e.kind() == ErrorKind::NotFound && beside(path, SALVAGED).exists() => {
            let named = std::fs::rename(beside(path, SALVAGED), path).and_then(|()| crate::data::sync_folder(path));
            named.map_err(redb::Error::Io)?;
        }
        Err(e) if e.kind() == ErrorKind::NotFound => create(path, opener.seal())?,
        Err(e) => return Err(redb::Error::Io(e).into()),
        Ok(_) => {}
    }
    let check = aside::begin_check(path)?;
    let mut db = opener.open(path)?;
    let outcome = guarded(|| {
        let seal = opener.seal();
        seal.fits(&db)?;
        migrations::migrate(&db, seal)?;
        reads::glance(&db, seal)?;
        if check {
            db.check_integrity()?;
            reads::verify(&db.begin_read()?, seal)?;
        }
        Ok(())
    });
    match outcome {
        Ok(()) if check => aside::end_check(path).map(|()| db),
        Ok(()) => Ok(db),
        Err(fault) if fault.damage().is_some() => {
            abandon(Some(db));
            Err(fault)
        }
        Err(fault) => {
            put_down(Some(db));
            // Nothing was checked, and that says nothing about the file.
            if check && matches!(fault, Fault::Refused(_)) {
                aside::write(path, &Note::Check("a check was begun".into())).map_err(redb::Error::Io)?;
            }
            Err(fault)
        }
    }
}
