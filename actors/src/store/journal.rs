//! The journal: a file of fixed length beside the redb file. A small batch is made durable by one write and one sync
//! here, a fifth of what a transaction costs; what the journal holds is emptied into redb in groups, and replayed when
//! the store is opened after a crash. Its records are in `record`, what they hold is kept in memory in `pending`.
//!
//! Records of one *generation* stand one after the other from the front on. Redb stores, in the transaction that
//! empties the journal, up to which generation all is in; so what is replayed is exactly what is not in redb yet, and a
//! batch that went straight to redb is never followed by an older one. Every record begins on a page of its own: what
//! is being written never touches what was acknowledged.
//!
//! After a failed write or sync nobody knows what the file holds: it is not trusted again until it was written anew from
//! end to end, and batches go straight to redb meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read};
use std::path::{Path, PathBuf};

use redb::{ReadTransaction, StorageBackend, TableError};

use super::aside::beside;
use super::fault::Fault;
use super::open::Opener;
use super::record::{self, PAGE, Place, Scan};
use super::sealing::Seal;
use super::tables::JOURNAL;
use crate::limits::JOURNAL_SIZE;

/// End of the journal's name.
pub(super) const SUFFIX: &str = ".journal";
/// Key in the table `journal`: 16 random bytes by which a journal belongs to a store.
pub(super) const ID_KEY: &[u8] = b"id";
/// Key in the table `journal`: u64, the generation up to which all is in redb.
pub(super) const EMPTIED_KEY: &[u8] = b"emptied";
/// A journal whose length was changed by whoever is read up to here.
const READ_MAX: u64 = 64 * 1024 * 1024;
/// Written at once where the file is written anew.
const CHUNK: usize = 256 * 1024;

/// What redb says of its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// By which a journal belongs to this store.
    pub id: [u8; 16],
    /// The generation up to which all is in redb.
    pub emptied: u64,
}

/// What redb says of its journal at one moment.
pub(super) fn mark(txn: &ReadTransaction) -> Result<Mark, Fault> {
    let table = match txn.open_table(JOURNAL) {
        Err(TableError::TableDoesNotExist(_)) => return Err(Fault::Damaged("it says nothing of its journal".into())),
        table => table?,
    };
    let (id, emptied) = (table.get(ID_KEY)?, table.get(EMPTIED_KEY)?);
    let id = id.and_then(|v| v.value().try_into().ok());
    let emptied = match emptied {
        Some(value) => value.value().try_into().ok().map(u64::from_be_bytes),
        None => Some(0),
    };
    let (Some(id), Some(emptied)) = (id, emptied) else {
        return Err(Fault::Damaged("what it says of its journal is not right".into()));
    };
    Ok(Mark { id, emptied })
}

/// The journal's file.
pub(super) fn path_of(store: &Path) -> PathBuf {
    beside(store, SUFFIX)
}

/// The bytes of the journal of the store at `store`, on which no store is open.
pub(super) fn read(store: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    File::open(path_of(store))?.take(READ_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a journal holds that is not in redb yet.
pub(super) fn scan(bytes: &[u8], mark: Mark, seal: &Seal) -> Scan {
    record::scan(bytes, first_place(mark), seal)
}

fn first_place(mark: Mark) -> Place {
    Place { id: mark.id, generation: mark.emptied.saturating_add(1), number: 0 }
}

/// The file, and where in it writing stands.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    opener: Opener,
    file: Option<Box<dyn StorageBackend>>,
    /// Whether what is written may be acknowledged.
    trusted: bool,
    place: Place,
    at: u64,
    /// Something stands in the file under this generation, or may.
    used: bool,
    /// A transaction that was to empty it failed, and whether it was kept all the same is not known.
    pub unsettled: bool,
    closed: bool,
}

impl Journal {
    /// Opens the journal of the store at `store` and reads what is not in redb yet. Where there is none it is made
    /// later, by [`Self::renew`].
    pub(super) fn open(store: &Path, opener: &Opener, mark: Mark) -> Result<(Self, Scan), Error> {
        let path = path_of(store);
        let place = first_place(mark);
        let mut journal = Self {
            path,
            opener: opener.clone(),
            file: None,
            trusted: false,
            place,
            at: 0,
            used: false,
            unsettled: false,
            closed: false,
        };
        let file = match OpenOptions::new().read(true).write(true).open(&journal.path) {
            Ok(file) => opener.open_journal(file)?,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok((journal, Scan::default())),
            Err(e) => return Err(e),
        };
        let len = file.len()?;
        let mut bytes = vec![0; usize::try_from(len.min(READ_MAX)).unwrap_or(0)];
        file.read(0, &mut bytes)?;
        let scan = scan(&bytes, mark, opener.seal());
        journal.at = scan.end;
        journal.place.number = scan.next;
        journal.used = journal.at > 0;
        // What was read may be in the system's memory alone.
        journal.trusted = len == JOURNAL_SIZE && (!journal.used || file.sync_data().is_ok());
        journal.file = Some(file);
        Ok((journal, scan))
    }

    /// Whether a record with so long a body may be appended now.
    pub(super) fn takes(&self, body: usize) -> bool {
        let body = body.saturating_add(self.opener.seal().overhead());
        self.trusted && self.at.saturating_add(record::space(body)) <= JOURNAL_SIZE
    }

    /// Appends a record, durable when this returns. After an error the journal is not trusted any more.
    pub(super) fn append(&mut self, body: &[u8]) -> Result<(), Error> {
        let record = record::build(self.place, &self.opener.seal().record(self.place, body))?;
        let file = self.file.as_ref().ok_or(ErrorKind::NotConnected)?;
        self.used = true;
        self.trusted = false;
        file.write(self.at, &record)?;
        file.sync_data()?;
        self.trusted = true;
        self.at = self.at.saturating_add(record.len() as u64);
        self.place.number = self.place.number.saturating_add(1);
        Ok(())
    }

    /// Takes back what may have been written of a record whose batch is refused after all. Best effort: a medium that
    /// fails for good keeps what it likes.
    pub(super) fn retract(&mut self) {
        if !self.trusted
            && let Some(file) = &self.file
            && file.len().is_ok_and(|len| len >= self.at.saturating_add(PAGE as u64))
        {
            let _ = file.write(self.at, &[0; PAGE]).and_then(|()| file.sync_data());
        }
    }

    /// The generation that has to be marked as emptied by the next transaction of redb; `None` where nothing was
    /// written under it.
    pub(super) fn to_mark(&self) -> Option<u64> {
        self.used.then_some(self.place.generation)
    }

    /// All that was written is in redb: the next generation begins at the front.
    pub(super) fn emptied(&mut self) {
        self.place.generation = self.place.generation.saturating_add(1);
        (self.place.number, self.at, self.used) = (0, 0, false);
    }

    /// The generation under which is written.
    pub(super) fn generation(&self) -> u64 {
        self.place.generation
    }

    /// Makes the file, or writes it anew, where it is not to be trusted. Everything in it must be in redb.
    pub(super) fn renew(&mut self) -> Result<(), Error> {
        if self.trusted || self.closed {
            return Ok(());
        }
        if self.used {
            return Err(ErrorKind::InvalidInput.into());
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // A handle that has seen a failure is not asked again.
        self.file = None;
        let file = self.opener.open_journal(options.open(&self.path)?)?;
        let written = (|| {
            file.set_len(0)?;
            // Real zeros: a sync of what is written later then waits for no change of the file system's own.
            let zeros = vec![0; CHUNK];
            let mut at = 0u64;
            while at < JOURNAL_SIZE {
                let n = usize::try_from(JOURNAL_SIZE.saturating_sub(at)).unwrap_or(CHUNK).min(CHUNK);
                file.write(at, zeros.get(..n).unwrap_or(&zeros))?;
                at = at.saturating_add(n as u64);
            }
            file.sync_data()?;
            crate::data::sync_folder(&self.path)
        })();
        if let Err(error) = written {
            // Part of a journal is of no use, and on a full disk in the way.
            let _ = file.set_len(0);
            return Err(error);
        }
        (self.file, self.trusted) = (Some(file), true);
        Ok(())
    }

    /// Writes the file anew where there is one, so that nothing of what stood in it is left. Everything in it must be in
    /// redb.
    pub(super) fn wipe(&mut self) -> Result<(), Error> {
        if self.file.is_none() {
            return Ok(());
        }
        self.trusted = false;
        self.renew()
    }

    /// Lets go of the file.
    pub(super) fn close(&mut self) {
        (self.file, self.trusted, self.closed) = (None, false, true);
    }

    pub(super) fn closed(&self) -> bool {
        self.closed
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether batches are made durable here.
    #[cfg(test)]
    pub(super) fn trusted(&self) -> bool {
        self.trusted
    }
}
