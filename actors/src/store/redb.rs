//! The store on disk: one redb file. Opening, moving a damaged file aside and opening again after a failure is in
//! `open`; here are the batch and the reads.
//!
//! redb refuses everything after its first failed write until it is opened again. So a batch that fails (a full disk)
//! is followed by a reopening here, and reads go on. Whether a failed batch was kept after all, because the failure
//! came after the decisive write, is looked up; the caller is told the truth.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cairn_crdt::entry::{Entry, payload_hash};
use cairn_crdt::ids::{LogId, SpaceId};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};

use super::fault::{Fault, guarded};
use super::migrations::begin;
use super::open::{Medium, Opener};
use super::tables::{self, ENTRIES, EntryRow, LOG_NUMBERS, LOGS, LogRow, PAYLOADS, SCHEMA_KEY, small};
use super::{Row, Store, StoreError, Stored, Table, Tip, Write};

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

    /// Reads everything and checks it: that it decodes, that payloads have their hashes, that logs are chains.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with what was found first; the next start then sets the file aside.
    pub fn verify(&self) -> Result<(), StoreError> {
        self.medium.read(verify)
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

/// Damaged branch pages can lead in circles: keys must ascend, so that no walk is endless.
fn ascending<K: Ord>(before: &mut Option<K>, key: K) -> Result<(), Fault> {
    match before {
        Some(before) if *before >= key => Err(out_of_order()),
        _ => {
            *before = Some(key);
            Ok(())
        }
    }
}

fn out_of_order() -> Fault {
    Fault::Damaged("its keys are out of order".into())
}

fn row_of(key: &[u8; tables::LOG_KEY], value: &[u8; tables::LOG_ROW]) -> Result<LogRow, Fault> {
    LogRow::decode(key, value).map_err(Fault::undecodable("a log"))
}

/// One durable transaction.
fn apply(db: &Database, batch: &[Write]) -> Result<(), Fault> {
    let txn = begin(db)?;
    append_all(&txn, batch)?;
    for table in tables::SMALL {
        let mut open = None;
        for write in batch {
            let (key, value) = match write {
                Write::Put(t, key, value) if *t == table => (key, Some(value)),
                Write::Delete(t, key) if *t == table => (key, None),
                _ => continue,
            };
            let rows = match &mut open {
                Some(rows) => rows,
                none => none.insert(txn.open_table(small(table))?),
            };
            match value {
                Some(value) => drop(rows.insert(key.as_slice(), value.as_slice())?),
                None => drop(rows.remove(key.as_slice())?),
            }
        }
    }
    Ok(txn.commit()?)
}

/// The appends of a batch. Each log's row is read and written once.
fn append_all(txn: &WriteTransaction, batch: &[Write]) -> Result<(), Fault> {
    if !batch.iter().any(|write| matches!(write, Write::Append { .. })) {
        return Ok(());
    }
    let mut logs = txn.open_table(LOGS)?;
    let mut numbers = txn.open_table(LOG_NUMBERS)?;
    let mut entries = txn.open_table(ENTRIES)?;
    let mut payloads = txn.open_table(PAYLOADS)?;
    let mut touched: BTreeMap<(SpaceId, LogId), LogRow> = BTreeMap::new();
    for write in batch {
        let Write::Append { entry, received } = write else { continue };
        let header = entry.header();
        let log_key = tables::log_key(&header.space, &header.log);
        let row = match touched.get(&(header.space, header.log)) {
            Some(row) => Some(*row),
            None => logs.get(&log_key)?.map(|value| row_of(&log_key, value.value())).transpose()?,
        };
        let tip = super::follow(row.map(|row| row.tip).as_ref(), entry).map_err(Fault::Refused)?;
        let number = match row {
            Some(row) => row.number,
            None => {
                let last = numbers.last()?.map(|(number, _)| u64::from_be_bytes(*number.value()));
                let number = last.unwrap_or(0).checked_add(1).ok_or_else(|| Fault::Damaged("a log number".into()))?;
                numbers.insert(&number.to_be_bytes(), &log_key)?;
                number
            }
        };
        let key = tables::entry_key(number, tip.seq);
        entries.insert(&key, tables::encode_entry(*received, entry.payload.is_some(), &entry.signed).as_slice())?;
        if let Some(payload) = &entry.payload {
            payloads.insert(&key, payload.as_slice())?;
        }
        touched.insert((header.space, header.log), LogRow { number, tip });
    }
    for ((space, log), row) in touched {
        let key = tables::log_key(&space, &log);
        logs.insert(&key, &row.encode(&key))?;
    }
    Ok(())
}

/// Whether the store is as this batch leaves it. Puts and deletions may be repeated without harm, so that it does not
/// matter who left it so.
fn kept(txn: &ReadTransaction, batch: &[Write]) -> Result<bool, Fault> {
    let logs = txn.open_table(LOGS)?;
    let mut last: BTreeMap<(Table, &[u8]), Option<&[u8]>> = BTreeMap::new();
    for write in batch {
        match write {
            Write::Append { entry, .. } => {
                let key = tables::log_key(&entry.header().space, &entry.header().log);
                let Some(value) = logs.get(&key)? else { return Ok(false) };
                if row_of(&key, value.value())?.tip.seq < entry.header().seq {
                    return Ok(false);
                }
            }
            Write::Put(table, key, value) => drop(last.insert((*table, key), Some(value))),
            Write::Delete(table, key) => drop(last.insert((*table, key), None)),
        }
    }
    for ((table, key), value) in last {
        if txn.open_table(small(table))?.get(key)?.as_ref().map(|found| found.value()) != value {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Hands the entries of a log from `from` on to `each` until it answers false. Entries and payloads are walked side by
/// side, since looking up each payload would cost more than reading it.
fn walk(
    txn: &ReadTransaction,
    log: &LogRow,
    from: u64,
    mut each: impl FnMut(Stored) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let number = log.number;
    let (first, last) = (tables::entry_key(number, from.max(1)), tables::entry_key(number, u64::MAX));
    let (entries, payloads) = (txn.open_table(ENTRIES)?, txn.open_table(PAYLOADS)?);
    let mut payloads = payloads.range::<&[u8; 16]>(&first..=&last)?;
    let mut ahead = payloads.next().transpose()?;
    let mut expected = from.max(1);
    for row in entries.range::<&[u8; 16]>(&first..=&last)? {
        let (key, value) = row?;
        let EntryRow { received, has_payload, signed } =
            tables::decode_entry(value.value()).map_err(Fault::undecodable("an entry"))?;
        let payload = match &ahead {
            Some((of, bytes)) if of.value() == key.value() => {
                let bytes = bytes.value().to_vec();
                ahead = payloads.next().transpose()?;
                Some(bytes)
            }
            _ => None,
        };
        if signed.header.seq != expected
            || tables::entry_key(number, expected) != *key.value()
            || payload.is_some() != has_payload
            || payload.as_ref().is_some_and(|p| payload_hash(p) != signed.header.payload_hash)
        {
            return Err(Fault::Damaged("an entry is not what was written".into()));
        }
        expected = expected.saturating_add(1);
        if !each(Stored { entry: Arc::new(Entry { signed, payload }), received })? {
            return Ok(());
        }
    }
    if expected <= log.tip.seq {
        return Err(Fault::Damaged("entries are missing".into()));
    }
    Ok(())
}

/// Reads the row of every log: little, but enough to know that the file is ours and in order.
pub(super) fn glance(db: &Database) -> Result<(), Fault> {
    guarded(|| {
        let txn = db.begin_read()?;
        let mut before = None;
        for row in txn.open_table(LOGS)?.iter()? {
            let (key, value) = row?;
            ascending(&mut before, *key.value())?;
            row_of(key.value(), value.value())?;
        }
        txn.open_table(ENTRIES)?;
        txn.open_table(PAYLOADS)?;
        txn.open_table(LOG_NUMBERS)?;
        for table in tables::SMALL {
            txn.open_table(small(table))?;
        }
        txn.open_table(small(Table::Meta))?.get(SCHEMA_KEY)?;
        Ok(())
    })
}

/// Reads and checks everything.
pub(super) fn verify(txn: &ReadTransaction) -> Result<(), Fault> {
    let mut before = None;
    for row in txn.open_table(LOGS)?.iter()? {
        let (key, value) = row?;
        ascending(&mut before, *key.value())?;
        let (space, log) = tables::log_of(key.value()).map_err(Fault::undecodable("a log"))?;
        let row = row_of(key.value(), value.value())?;
        let mut tip = None;
        walk(txn, &row, 1, |stored| {
            let header = stored.entry.header();
            if (header.space, header.log) != (space, log) {
                return Err(Fault::Damaged("an entry stands in another log".into()));
            }
            let next = super::follow(tip.as_ref(), &stored.entry);
            tip = Some(next.map_err(|_| Fault::Damaged("a log is not a chain".into()))?);
            Ok(true)
        })?;
        if tip != Some(row.tip) {
            return Err(Fault::Damaged("a log does not end where it should".into()));
        }
    }
    for table in tables::SMALL {
        let mut before = None;
        for row in txn.open_table(small(table))?.iter()? {
            ascending(&mut before, row?.0.value().to_vec())?;
        }
    }
    Ok(())
}
