//! The store on disk: one redb file. Opening, moving a damaged file aside and opening again after a failure is in
//! `open`, what a batch does in `batch`, the walks and checks in `walk`; here are commits and reads.
//!
//! redb refuses everything after its first failed write until it is opened again. So a batch that fails (a full disk)
//! is followed by a reopening here, and reads go on. Whether a failed batch was kept after all, because the failure
//! came after the decisive write, is looked up; the caller is told the truth.

use std::path::Path;

use cairn_crdt::ids::{LogId, SpaceId};
use redb::{ReadTransaction, ReadableDatabase};

use super::aside::{self, Note};
use super::batch::{apply, kept};
use super::examine::{examine, examine_file};
use super::fault::{Fault, io_error};
use super::migrations::begin;
use super::open::{Medium, Opener};
use super::tables::{self, LOGS, small};
use super::walk::{ascending, out_of_order, row_of, snapshot, verify, walk};
use super::{Examination, Item, Row, Store, StoreError, Stored, Table, Tip, Write};

/// A store in a redb file.
#[derive(Debug)]
pub struct RedbStore {
    medium: Medium,
}

impl RedbStore {
    /// Opens the store at `path`, or makes a new one where there is no file.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]: the file was damaged and now has the name given; opening again makes a new one.
    /// [`StoreError::InUse`], [`StoreError::Newer`], [`StoreError::Full`], [`StoreError::Io`]: the file is as it was.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { medium: Medium::open(path, Opener::file())? })
    }

    #[cfg(test)]
    pub(super) fn open_with(path: &Path, opener: Opener) -> Result<Self, StoreError> {
        Ok(Self { medium: Medium::open(path, opener)? })
    }

    /// Opens a store whose file is reached in a way of one's own: for trials of media that fail. `open` is called with
    /// the file at `path`, which must not stay empty.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_through(
        path: &Path,
        open: impl Fn(std::fs::File) -> Result<redb::Database, redb::DatabaseError> + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        Ok(Self { medium: Medium::open(path, Opener::of(open))? })
    }

    /// Examines the file at `path`, on which no store is open, as [`Store::examine`] does, and its pages too. The file
    /// is not changed in any way, whatever it is.
    ///
    /// # Errors
    /// [`StoreError`] where reading fails for another reason than damage.
    pub fn examine_file(path: &Path, all: bool) -> Result<Examination, StoreError> {
        examine_file(path, all)
    }

    /// Makes the next opening read and check everything, and save what can be saved where it finds damage.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn verify_next(path: &Path) -> Result<(), StoreError> {
        aside::write(path, &Note::Check("a check was asked for".into())).map_err(|e| io_error(&e))
    }

    /// Reads everything and checks it: that it decodes, that payloads have their hashes, that logs are chains.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with what was found first; the next start then sets the file aside.
    pub fn verify(&self) -> Result<(), StoreError> {
        self.medium.read(verify)
    }

    /// Whether the store is as a batch leaves it.
    #[cfg(test)]
    pub(super) fn holds(&self, batch: &[Write]) -> Result<bool, StoreError> {
        self.read(|txn| kept(txn, batch))
    }

    fn read<T>(&self, f: impl Fn(&ReadTransaction) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.medium.read(f)
    }
}

impl Store for RedbStore {
    fn commit(&self, batch: &[Write]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        super::check_reserved(batch)?;
        let mut second = false;
        loop {
            let (generation, outcome) = self.medium.with(|db| apply(db, batch));
            let fault = match outcome {
                Ok(()) => return Ok(()),
                Err(Fault::Refused(error)) => return Err(error),
                Err(fault) => fault,
            };
            tracing::warn!(?fault, "a commit failed; opening the store again");
            let (retry, error) = (fault.stale() && !second, self.medium.report(fault));
            self.medium.reopen(generation).map_err(|e| if error == StoreError::Full { StoreError::Full } else { e })?;
            if self.read(|txn| kept(txn, batch))? {
                // The failure came after the root was written: one more durable commit settles it.
                let (_, outcome) = self.medium.with(|db| Ok(begin(db)?.commit()?));
                return outcome.map_err(|fault| self.medium.report(fault));
            }
            if !retry {
                return Err(error);
            }
            second = true;
        }
    }

    fn snapshot(&self, each: &mut dyn FnMut(Item<'_>) -> bool) -> Result<(), StoreError> {
        // Opens again what an earlier failure has closed; what is read below is handed on only once.
        self.read(|txn| Ok(txn.open_table(LOGS).map(drop)?))?;
        let (_, outcome) = self.medium.with(|db| snapshot(&db.begin_read()?, each));
        outcome.map_err(|fault| self.medium.report(fault))
    }

    fn examine(&self, all: bool) -> Result<Examination, StoreError> {
        let found = self.read(|txn| examine(txn, all))?;
        if let Some(damage) = found.damage.first() {
            // So that the next start repairs it.
            self.medium.report(Fault::Damaged(damage.to_string()));
        }
        Ok(found)
    }

    fn compact(&self) -> Result<bool, StoreError> {
        self.medium.compact()
    }

    fn close(&self) {
        self.medium.close();
    }

    fn spaces(&self) -> Result<Vec<SpaceId>, StoreError> {
        self.read(|txn| {
            let logs = txn.open_table(LOGS)?;
            let mut spaces = Vec::new();
            let mut from = Some([0; tables::LOG_KEY]);
            while let Some(start) = from {
                let Some(row) = logs.range::<&[u8; tables::LOG_KEY]>(&start..)?.next() else { break };
                let (space, _) = tables::log_of(row?.0.value()).map_err(Fault::undecodable("a log"))?;
                spaces.push(space);
                from = tables::after_prefix(&space.0).map(|next| {
                    let mut key = [0; tables::LOG_KEY];
                    key.iter_mut().zip(next).for_each(|(k, n)| *k = n);
                    key
                });
            }
            Ok(spaces)
        })
    }

    fn tips(&self, space: &SpaceId) -> Result<Vec<(LogId, Tip)>, StoreError> {
        let (first, last) = tables::log_range(space);
        self.read(|txn| {
            let logs = txn.open_table(LOGS)?;
            let mut tips = Vec::new();
            let mut before = None;
            for row in logs.range::<&[u8; tables::LOG_KEY]>(&first..=&last)? {
                let (key, value) = row?;
                ascending(&mut before, *key.value())?;
                let (_, log) = tables::log_of(key.value()).map_err(Fault::undecodable("a log"))?;
                tips.push((log, row_of(key.value(), value.value())?.tip));
            }
            Ok(tips)
        })
    }

    fn entries(&self, space: &SpaceId, log: &LogId, from: u64, max_bytes: usize) -> Result<Vec<Stored>, StoreError> {
        self.read(|txn| {
            let row = {
                let logs = txn.open_table(LOGS)?;
                let key = tables::log_key(space, log);
                let Some(value) = logs.get(&key)? else { return Ok(Vec::new()) };
                row_of(&key, value.value())?
            };
            let mut entries = Vec::new();
            let mut total = 0usize;
            walk(txn, &row, from, |stored| {
                let length = super::encoded_len(&stored.entry);
                total = total.saturating_add(length);
                let room = entries.is_empty() || total <= max_bytes;
                if room {
                    if stored.entry.header().log != *log || stored.entry.header().space != *space {
                        return Err(Fault::Damaged("an entry stands in another log".into()));
                    }
                    entries.push(stored);
                }
                Ok(room)
            })?;
            Ok(entries)
        })
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|txn| Ok(txn.open_table(small(table))?.get(key)?.map(|value| value.value().to_vec())))
    }

    fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        self.read(|txn| {
            let table = txn.open_table(small(table))?;
            let mut rows: Vec<Row> = Vec::new();
            for row in table.range::<&[u8]>(prefix..)? {
                let (key, value) = row?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                if rows.last().is_some_and(|(before, _)| before.as_slice() >= key.value()) {
                    return Err(out_of_order());
                }
                rows.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(rows)
        })
    }
}
