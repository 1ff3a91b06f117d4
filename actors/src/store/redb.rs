//! The store on disk: one redb file, and beside it a journal for small batches. Opening, moving a damaged file aside and
//! opening again after a failure is in `open`, what a batch does in `batch`, the walks and checks in `walk`, the journal
//! in `journal`; here are commits and reads.
//!
//! A batch is durable either in the journal, and then held in memory until the journal is emptied, or in redb, in one
//! transaction with all that the journal holds. Reads lay the one over the other.
//!
//! redb refuses everything after its first failed write until it is opened again. So a batch that fails (a full disk)
//! is followed by a reopening here, and reads go on. Whether a failed batch was kept after all, because the failure
//! came after the decisive write, is looked up; the caller is told the truth.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use cairn_crdt::ids::{LogId, SpaceId};
use redb::{ReadTransaction, ReadableDatabase};

use super::aside::{self, Note};
use super::batch::{apply, kept};
use super::examine::{examine, examine_file};
use super::fault::{Fault, io_error};
use super::journal::{self, Journal};
use super::migrations::begin;
use super::open::{Medium, Opener};
use super::pending::{Pending, merge, merge_tips};
use super::record;
use super::salvage::Salvaged;
use super::sealing::Seal;
use super::tables::{self, LOGS, small};
use super::walk::{ascending, out_of_order, room, snapshot, verify, walk};
use super::{Examination, Item, Room, Row, Store, StoreError, Stored, Table, Tip, Write};

/// A store in a redb file.
#[derive(Debug)]
pub struct RedbStore {
    medium: Medium,
    /// Held by whoever commits.
    journal: Mutex<Journal>,
    pending: RwLock<Pending>,
}

impl RedbStore {
    /// Opens the store at `path`, or makes a new one where there is no file. What its journal holds is put into redb
    /// first.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]: the file, or its journal, was damaged and now has the name given; opening again goes on
    /// with what could be saved. [`StoreError::InUse`], [`StoreError::Newer`], [`StoreError::Full`],
    /// [`StoreError::Io`]: the file is as it was.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_sealed(path, &Seal::NONE)
    }

    /// Opens a store that is sealed, or makes a new one that is.
    ///
    /// # Errors
    /// As [`Self::open`]; [`StoreError::Sealed`], [`StoreError::OtherKey`] and [`StoreError::NotSealed`] with the file as it
    /// was.
    pub fn open_sealed(path: &Path, seal: &Seal) -> Result<Self, StoreError> {
        Self::open_with(path, Opener::file().sealed(seal))
    }

    pub(super) fn open_with(path: &Path, opener: Opener) -> Result<Self, StoreError> {
        let medium = Medium::open(path, opener.clone())?;
        let mark = medium.read(journal::mark)?;
        let (journal, found) = Journal::open(path, &opener, mark).map_err(|e| io_error(&e))?;
        let pending = Pending { generation: journal.generation(), ..Pending::default() };
        let store = Self { medium, journal: Mutex::new(journal), pending: RwLock::new(pending) };
        store.replay(path, found)?;
        Ok(store)
    }

    /// Opens a store whose file and journal are reached in ways of one's own: for trials of media that fail. `open` is
    /// called with the file at `path`, which must not stay empty, `journal` with the one beside it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_through(
        path: &Path,
        open: impl Fn(std::fs::File) -> Result<redb::Database, redb::DatabaseError> + Send + Sync + 'static,
        journal: impl Fn(std::fs::File) -> std::io::Result<Box<dyn redb::StorageBackend>> + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        Self::open_with(path, Opener::of(open, journal))
    }

    /// Examines the file at `path`, on which no store is open, as [`Store::examine`] does, and its pages too. The file
    /// is not changed in any way, whatever it is.
    ///
    /// # Errors
    /// [`StoreError`] where reading fails for another reason than damage.
    pub fn examine_file(path: &Path, seal: &Seal, all: bool) -> Result<Examination, StoreError> {
        examine_file(path, seal, all)
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
        self.empty_if_possible();
        self.medium.read(|txn| verify(txn, self.seal()))
    }

    /// Whether the store is as a batch leaves it.
    #[cfg(test)]
    pub(super) fn holds(&self, batch: &[Write]) -> Result<bool, StoreError> {
        self.empty(&mut self.writing())?;
        self.medium.read(|txn| kept(txn, self.seal(), batch))
    }

    /// Whether small batches go into the journal.
    #[cfg(test)]
    pub(super) fn journals(&self) -> bool {
        self.writing().trusted()
    }

    fn seal(&self) -> &Seal {
        self.medium.seal()
    }

    fn writing(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what a journal holds into redb, so that nothing rests on what was read of it.
    fn replay(&self, path: &Path, found: record::Scan) -> Result<(), StoreError> {
        let mut journal = self.writing();
        let mut lost = 0u64;
        for batch in &found.batches {
            match self.checked(batch) {
                Ok(()) => self.held().take(batch),
                Err(Fault::Refused(_)) => lost = lost.saturating_add(self.replay_in_part(batch)?),
                Err(fault) => return Err(self.medium.report(fault)),
            }
        }
        let held = self.pending.read().unwrap_or_else(PoisonError::into_inner).clone();
        let entries = held.logs.values().fold(0u64, |sum, added| sum.saturating_add(added.len() as u64));
        let damage = match (found.damage, lost) {
            (None, 0) => {
                if let Err(error) = self.empty(&mut journal) {
                    // It is durable where it is, and the next commit tries again.
                    tracing::warn!(%error, "what the journal holds could not be put into the store yet");
                }
                return Ok(());
            }
            (Some(damage), _) => damage,
            (None, _) => "entries in it do not follow those of the store".into(),
        };
        self.empty(&mut journal)?;
        journal.close();
        let kept = aside::keep_journal(path, journal.path()).map_err(|e| io_error(&e))?;
        let saved = Salvaged { logs: held.logs.len() as u64, entries, lost, rows: held.small.len() as u64 };
        let reason = format!("its journal: {damage}");
        Err(StoreError::Corrupt { reason, kept: kept.display().to_string(), saved })
    }

    /// Takes of a batch what can be taken; answers how many entries cannot.
    fn replay_in_part(&self, batch: &[Write]) -> Result<u64, StoreError> {
        let mut lost = 0u64;
        for write in batch {
            let write = std::slice::from_ref(write);
            match self.checked(write) {
                Ok(()) => self.held().take(write),
                Err(Fault::Refused(_)) => lost = lost.saturating_add(1),
                Err(fault) => return Err(self.medium.report(fault)),
            }
        }
        Ok(lost)
    }

    fn held(&self) -> std::sync::RwLockWriteGuard<'_, Pending> {
        self.pending.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the appends of a batch follow their logs.
    fn checked(&self, batch: &[Write]) -> Result<(), Fault> {
        let pending = self.pending.read().unwrap_or_else(PoisonError::into_inner);
        let in_redb = |db: &redb::Database| {
            let mut logs = None;
            pending.check(batch, |space, log| {
                let logs = match &mut logs {
                    Some(logs) => logs,
                    none => none.insert(db.begin_read()?.open_table(LOGS)?),
                };
                let key = tables::log_key(space, log);
                Ok(logs
                    .get(&key)?
                    .map(|value| self.seal().open_row(&key, value.value()))
                    .transpose()?
                    .map(|row| row.tip))
            })
        };
        self.medium.with(in_redb).1
    }

    /// Makes a batch durable in redb, together with all that the journal holds.
    fn commit_to_redb(&self, journal: &mut Journal, batch: &[Write]) -> Result<(), StoreError> {
        let mark = journal.to_mark();
        let outcome = {
            let pending = self.pending.read().unwrap_or_else(PoisonError::into_inner);
            let all = match pending.is_empty() {
                true => Cow::Borrowed(batch),
                false => Cow::Owned(pending.writes().into_iter().chain(batch.iter().cloned()).collect()),
            };
            drop(pending);
            self.transact(&all, mark)
        };
        match &outcome {
            Ok(()) if mark.is_some() => {
                journal.emptied();
                self.held().emptied(journal.generation());
            }
            Ok(()) => {}
            Err(StoreError::Gap) => journal.retract(),
            Err(_) => {
                journal.unsettled = mark.is_some();
                journal.retract();
            }
        }
        outcome
    }

    /// After a transaction that was to empty the journal and failed: finds out whether it was kept all the same.
    fn settle(&self, journal: &mut Journal) -> Result<(), StoreError> {
        if journal.unsettled {
            let emptied = self.medium.read(|txn| Ok(journal::mark(txn)?.emptied))?;
            if emptied >= journal.generation() {
                journal.emptied();
                self.held().emptied(journal.generation());
            }
            journal.unsettled = false;
        }
        Ok(())
    }

    /// One transaction. Tells the truth about whether the batch was kept.
    fn transact(&self, batch: &[Write], mark: Option<u64>) -> Result<(), StoreError> {
        let mut second = false;
        loop {
            let (generation, outcome) = self.medium.with(|db| apply(db, self.seal(), batch, mark));
            let fault = match outcome {
                Ok(()) => return Ok(()),
                Err(Fault::Refused(error)) => return Err(error),
                Err(fault) => fault,
            };
            tracing::warn!(?fault, "a commit failed; opening the store again");
            let (retry, error) = (fault.stale() && !second, self.medium.report(fault));
            self.medium.reopen(generation).map_err(|e| if error == StoreError::Full { StoreError::Full } else { e })?;
            let is_kept = self.medium.read(|txn| match mark {
                Some(mark) => Ok(journal::mark(txn)?.emptied >= mark),
                None => kept(txn, self.seal(), batch),
            })?;
            if is_kept {
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

    /// Puts all that the journal holds into redb.
    fn empty(&self, journal: &mut Journal) -> Result<(), StoreError> {
        self.settle(journal)?;
        if journal.to_mark().is_some() { self.commit_to_redb(journal, &[]) } else { Ok(()) }
    }

    fn empty_if_possible(&self) {
        if let Err(error) = self.empty(&mut self.writing()) {
            tracing::warn!(%error, "what the journal holds could not be put into the store yet");
        }
    }

    /// Runs `f` on a snapshot, with that part of what is pending which concerns it and is not in the snapshot.
    fn read<P, T>(
        &self,
        part: impl FnOnce(&Pending) -> Option<P>,
        f: impl Fn(&ReadTransaction, Option<&P>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let (generation, part) = {
            let pending = self.pending.read().unwrap_or_else(PoisonError::into_inner);
            (pending.generation, part(&pending))
        };
        self.medium.read(|txn| {
            // The journal may have been emptied in between.
            let over = match &part {
                Some(part) if journal::mark(txn)?.emptied < generation => Some(part),
                _ => None,
            };
            f(txn, over)
        })
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl Store for RedbStore {
    fn commit(&self, batch: &[Write]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        super::check_reserved(batch)?;
        let mut journal = self.writing();
        self.settle(&mut journal)?;
        if let Some(body) = record::encode(batch)
            && journal.takes(body.len())
        {
            match self.checked(batch) {
                Ok(()) => match journal.append(&body) {
                    Ok(()) => {
                        self.held().take(batch);
                        return Ok(());
                    }
                    Err(error) => tracing::warn!(%error, "the journal failed; it is done without"),
                },
                Err(Fault::Refused(error)) => return Err(error),
                // Told, and opened again, below.
                Err(_) => {}
            }
        }
        self.commit_to_redb(&mut journal, batch)
    }

    fn rest(&self) -> Result<(), StoreError> {
        let mut journal = self.writing();
        self.empty(&mut journal)?;
        journal.renew().map_err(|e| io_error(&e))
    }

    fn snapshot(&self, each: &mut dyn FnMut(Item<'_>) -> bool) -> Result<(), StoreError> {
        let (generation, over) = {
            let pending = self.pending.read().unwrap_or_else(PoisonError::into_inner);
            (pending.generation, (!pending.is_empty()).then(|| pending.clone()))
        };
        let (_, outcome) = self.medium.with(|db| {
            let txn = db.begin_read()?;
            let over = match &over {
                Some(over) if journal::mark(&txn)?.emptied < generation => Some(over),
                _ => None,
            };
            snapshot(&txn, self.seal(), over, each)
        });
        outcome.map_err(|fault| self.medium.report(fault))
    }

    fn examine(&self, all: bool) -> Result<Examination, StoreError> {
        self.empty_if_possible();
        let found = self.medium.read(|txn| examine(txn, self.seal(), all))?;
        if let Some(damage) = found.damage.first() {
            // So that the next start repairs it.
            self.medium.report(Fault::Damaged(damage.to_string()));
        }
        Ok(found)
    }

    fn compact(&self) -> Result<bool, StoreError> {
        let mut journal = self.writing();
        self.empty(&mut journal)?;
        let gained = self.medium.compact()?;
        // What was erased is not left there either. Without a journal all goes on as well.
        if let Err(error) = journal.wipe() {
            tracing::warn!(%error, "the journal could not be written anew");
        }
        Ok(gained)
    }

    fn sizes(&self, space: &SpaceId) -> Result<Vec<(LogId, u64)>, StoreError> {
        let (first, last) = tables::log_range(space);
        self.read(
            |pending| pending.sizes(space),
            |txn, over| {
                let mut sizes: BTreeMap<LogId, u64> = BTreeMap::new();
                let mut before = None;
                for row in txn.open_table(LOGS)?.range::<&[u8; tables::LOG_KEY]>(&first..=&last)? {
                    let (key, value) = row?;
                    ascending(&mut before, *key.value())?;
                    let (_, log) = tables::log_of(key.value()).map_err(Fault::undecodable("a log"))?;
                    sizes.insert(log, self.seal().open_row(key.value(), value.value())?.bytes);
                }
                for (log, bytes) in over.into_iter().flatten() {
                    let size = sizes.entry(*log).or_default();
                    *size = size.saturating_add(*bytes);
                }
                Ok(sizes.into_iter().collect())
            },
        )
    }

    fn free(&self) -> Option<u64> {
        fs4::available_space(self.medium.path().parent()?).ok()
    }

    fn room(&self) -> Result<Room, StoreError> {
        let file = std::fs::metadata(self.medium.path()).map_err(|e| io_error(&e))?.len();
        self.medium.read(|txn| room(txn, self.seal(), file))
    }

    fn close(&self) {
        let mut journal = self.writing();
        if !journal.closed() {
            // With damage seen nothing more is written: the next opening replays the journal.
            let emptied = if self.medium.damaged() { Ok(()) } else { self.empty(&mut journal) };
            if let Err(error) = emptied {
                tracing::warn!(%error, "what the journal holds stays there until the next start");
            }
            journal.close();
            self.held().emptied(0);
        }
        drop(journal);
        self.medium.close();
    }

    fn spaces(&self) -> Result<Vec<SpaceId>, StoreError> {
        let part = |pending: &Pending| {
            let spaces: BTreeSet<SpaceId> = pending.logs.keys().map(|(space, _)| *space).collect();
            (!spaces.is_empty()).then_some(spaces)
        };
        self.read(part, |txn, over| {
            let logs = txn.open_table(LOGS)?;
            let mut spaces = over.cloned().unwrap_or_default();
            let mut from = Some([0; tables::LOG_KEY]);
            while let Some(start) = from {
                let Some(row) = logs.range::<&[u8; tables::LOG_KEY]>(&start..)?.next() else { break };
                let (space, _) = tables::log_of(row?.0.value()).map_err(Fault::undecodable("a log"))?;
                spaces.insert(space);
                from = tables::after_prefix(&space.0).map(|next| {
                    let mut key = [0; tables::LOG_KEY];
                    key.iter_mut().zip(next).for_each(|(k, n)| *k = n);
                    key
                });
            }
            Ok(spaces.into_iter().collect())
        })
    }

    fn tips(&self, space: &SpaceId) -> Result<Vec<(LogId, Tip)>, StoreError> {
        let (first, last) = tables::log_range(space);
        self.read(
            |pending| pending.tips(space),
            |txn, over| {
                let logs = txn.open_table(LOGS)?;
                let mut tips = Vec::new();
                let mut before = None;
                for row in logs.range::<&[u8; tables::LOG_KEY]>(&first..=&last)? {
                    let (key, value) = row?;
                    ascending(&mut before, *key.value())?;
                    let (_, log) = tables::log_of(key.value()).map_err(Fault::undecodable("a log"))?;
                    tips.push((log, self.seal().open_row(key.value(), value.value())?.tip));
                }
                Ok(match over {
                    Some(newer) => merge_tips(tips, newer),
                    None => tips,
                })
            },
        )
    }

    fn entries(&self, space: &SpaceId, log: &LogId, from: u64, max_bytes: usize) -> Result<Vec<Stored>, StoreError> {
        self.read(
            |pending| pending.logs.get(&(*space, *log)).cloned(),
            |txn, over| {
                let row = {
                    let logs = txn.open_table(LOGS)?;
                    let key = tables::log_key(space, log);
                    logs.get(&key)?.map(|value| self.seal().open_row(&key, value.value())).transpose()?
                };
                let mut entries = Vec::new();
                let mut total = 0usize;
                let mut room = true;
                let mut take = |stored: Stored| {
                    total = total.saturating_add(super::encoded_len(&stored.entry));
                    room = entries.is_empty() || total <= max_bytes;
                    if room {
                        entries.push(stored);
                    }
                    room
                };
                let mut more = true;
                if let Some(row) = row {
                    walk(txn, self.seal(), &row, from, |stored| {
                        if stored.entry.header().log != *log || stored.entry.header().space != *space {
                            return Err(Fault::Damaged("an entry stands in another log".into()));
                        }
                        more = take(stored);
                        Ok(more)
                    })?;
                }
                let added = over.into_iter().flatten().filter(|stored| stored.entry.header().seq >= from);
                let _ = more && added.cloned().all(take);
                Ok(entries)
            },
        )
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let pending = self.pending.read().unwrap_or_else(PoisonError::into_inner);
        // A key of its own is only made where there is something to look up.
        let held = (!pending.is_empty()).then(|| pending.small.get(&(table, key.to_vec())).cloned()).flatten();
        drop(pending);
        match held {
            Some(value) => Ok(value),
            None => self.medium.read(|txn| {
                let value = txn.open_table(small(table))?.get(key)?;
                let open = |value: redb::AccessGuard<'_, &[u8]>| {
                    Ok(self.seal().open_small(table, key, value.value())?.into_owned())
                };
                value.map(open).transpose()
            }),
        }
    }

    fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        self.read(
            |pending| pending.rows(table, prefix),
            |txn, over| {
                let open = txn.open_table(small(table))?;
                let mut rows: Vec<Row> = Vec::new();
                for row in open.range::<&[u8]>(prefix..)? {
                    let (key, value) = row?;
                    if !key.value().starts_with(prefix) {
                        break;
                    }
                    if rows.last().is_some_and(|(before, _)| before.as_slice() >= key.value()) {
                        return Err(out_of_order());
                    }
                    let value = self.seal().open_small(table, key.value(), value.value())?;
                    rows.push((key.value().to_vec(), value.into_owned()));
                }
                Ok(match over {
                    Some(changes) => merge(rows, changes),
                    None => rows,
                })
            },
        )
    }
}
