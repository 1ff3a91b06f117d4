//! What a batch does to the file, and how to tell afterwards whether it did.

use std::collections::BTreeMap;

use cairn_crdt::entry::Entry;
use cairn_crdt::ids::{EntryHash, LogId, SpaceId};
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableTable, Table as Open, WriteTransaction};

use super::fault::Fault;
use super::journal::EMPTIED_KEY;
use super::migrations::begin;
use super::sealing::Seal;
use super::tables::{self, ENTRIES, EntryKey, JOURNAL, LOG_NUMBERS, LOGS, LogKey, LogRow, PAYLOADS, small};
use super::{Table, Write};

/// One durable transaction. `mark`: the generation of the journal that is in redb with it.
pub(super) fn apply(db: &Database, seal: &Seal, batch: &[Write], mark: Option<u64>) -> Result<(), Fault> {
    let txn = begin(db)?;
    if let Some(mark) = mark {
        txn.open_table(JOURNAL)?.insert(EMPTIED_KEY, mark.to_be_bytes().as_slice())?;
    }
    if batch.iter().any(|write| !matches!(write, Write::Put(..) | Write::Delete(..))) {
        change_logs(&txn, seal, batch)?;
    }
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
                Some(value) => drop(rows.insert(key.as_slice(), &*seal.small(table, key, value))?),
                None => drop(rows.remove(key.as_slice())?),
            }
        }
    }
    Ok(txn.commit()?)
}

/// What a batch does to logs, in its order. Each log's row is read and written once.
fn change_logs(txn: &WriteTransaction, seal: &Seal, batch: &[Write]) -> Result<(), Fault> {
    let mut logs = Logs {
        seal,
        rows: txn.open_table(LOGS)?,
        numbers: txn.open_table(LOG_NUMBERS)?,
        entries: txn.open_table(ENTRIES)?,
        payloads: txn.open_table(PAYLOADS)?,
        touched: BTreeMap::new(),
    };
    for write in batch {
        match write {
            Write::Append { entry, received } => logs.append(entry, *received)?,
            Write::Truncate { space, log, from } => logs.truncate((*space, *log), *from)?,
            Write::Erase { space, log, from, upto } => logs.erase((*space, *log), *from, *upto)?,
            Write::Put(..) | Write::Delete(..) => {}
        }
    }
    logs.finish()
}

struct Logs<'t> {
    seal: &'t Seal,
    rows: Open<'t, &'static LogKey, &'static [u8; tables::LOG_ROW]>,
    numbers: Open<'t, &'static [u8; 8], &'static LogKey>,
    entries: Open<'t, &'static EntryKey, &'static [u8]>,
    payloads: Open<'t, &'static EntryKey, &'static [u8]>,
    /// Logs read so far as the batch leaves them; `None` where there is no such log.
    touched: BTreeMap<(SpaceId, LogId), Option<LogRow>>,
}

impl Logs<'_> {
    fn row(&self, id: &(SpaceId, LogId)) -> Result<Option<LogRow>, Fault> {
        if let Some(row) = self.touched.get(id) {
            return Ok(*row);
        }
        let key = tables::log_key(&id.0, &id.1);
        self.rows.get(&key)?.map(|value| self.seal.open_row(&key, value.value())).transpose()
    }

    fn append(&mut self, entry: &Entry, received: u64) -> Result<(), Fault> {
        let id = (entry.header().space, entry.header().log);
        let row = self.row(&id)?;
        let tip = super::follow(row.map(|row| row.tip).as_ref(), entry).map_err(Fault::Refused)?;
        let number = match row {
            Some(row) => row.number,
            None => {
                let last = self.numbers.last()?.map(|(number, _)| u64::from_be_bytes(*number.value()));
                let number = last.unwrap_or(0).checked_add(1).ok_or_else(|| Fault::Damaged("a log number".into()))?;
                self.numbers.insert(&number.to_be_bytes(), &tables::log_key(&id.0, &id.1))?;
                number
            }
        };
        let key = tables::entry_key(number, tip.seq);
        let value = tables::encode_entry(received, entry.payload.is_some(), &entry.signed);
        self.entries.insert(&key, &*self.seal.entry(&key, &value))?;
        let mut bytes = row.map_or(0, |row| row.bytes).saturating_add(value.len() as u64);
        if let Some(payload) = &entry.payload {
            self.payloads.insert(&key, &*self.seal.payload(&key, payload))?;
            bytes = bytes.saturating_add(payload.len() as u64);
        }
        self.touched.insert(id, Some(LogRow { number, tip, bytes }));
        Ok(())
    }

    fn truncate(&mut self, id: (SpaceId, LogId), from: u64) -> Result<(), Fault> {
        let Some(row) = self.row(&id)? else { return Ok(()) };
        let keep = from.saturating_sub(1);
        if keep >= row.tip.seq {
            return Ok(());
        }
        let (first, last) =
            (tables::entry_key(row.number, keep.saturating_add(1)), tables::entry_key(row.number, u64::MAX));
        let mut gone = 0u64;
        let mut drop_it = |_: &EntryKey, value: &[u8]| {
            gone = gone.saturating_add(self.seal.plain_len(value.len()));
            false
        };
        self.entries.retain_in::<&EntryKey, _>(&first..=&last, &mut drop_it)?;
        self.payloads.retain_in::<&EntryKey, _>(&first..=&last, &mut drop_it)?;
        let left = match keep {
            0 => {
                self.numbers.remove(&row.number.to_be_bytes())?;
                None
            }
            _ => {
                let key = tables::entry_key(row.number, keep);
                let value = self.entries.get(&key)?;
                let value = value.ok_or_else(|| Fault::Damaged("entries are missing".into()))?;
                let signed = self.seal.open_entry(&key, value.value())?.signed;
                let tip = super::Tip { seq: keep, hash: signed.hash, hlc: signed.header.hlc };
                Some(LogRow { number: row.number, tip, bytes: row.bytes.saturating_sub(gone) })
            }
        };
        self.touched.insert(id, left);
        Ok(())
    }

    fn erase(&mut self, id: (SpaceId, LogId), from: u64, upto: u64) -> Result<(), Fault> {
        let Some(row) = self.row(&id)? else { return Ok(()) };
        let (from, upto) = (from.max(1), upto.min(row.tip.seq));
        if from > upto {
            return Ok(());
        }
        let (first, last) = (tables::entry_key(row.number, from), tables::entry_key(row.number, upto));
        let (mut held, mut gone) = (Vec::new(), 0u64);
        self.payloads.retain_in::<&EntryKey, _>(&first..=&last, |key, value| {
            held.push(*key);
            gone = gone.saturating_add(self.seal.plain_len(value.len()));
            false
        })?;
        for key in held {
            let value = {
                let value = self.entries.get(&key)?.ok_or_else(|| Fault::Damaged("entries are missing".into()))?;
                let row = self.seal.open_entry(&key, value.value())?;
                tables::encode_entry(row.received, false, &row.signed)
            };
            self.entries.insert(&key, &*self.seal.entry(&key, &value))?;
        }
        self.touched.insert(id, Some(LogRow { bytes: row.bytes.saturating_sub(gone), ..row }));
        Ok(())
    }

    fn finish(mut self) -> Result<(), Fault> {
        for ((space, log), row) in self.touched {
            let key = tables::log_key(&space, &log);
            match row {
                Some(row) => drop(self.rows.insert(&key, &self.seal.row(&key, &row))?),
                None => drop(self.rows.remove(&key)?),
            }
        }
        Ok(())
    }
}

/// What a log must be like after a batch, as far as the batch says.
#[derive(Debug, Default)]
struct Expected {
    /// Entries appended, ascending.
    appended: Vec<(u64, EntryHash)>,
    /// The log was cut to so many entries, and nothing was appended since.
    at_most: Option<u64>,
    /// Where there are no payloads: first and last entry of each range.
    erased: Vec<(u64, u64)>,
}

impl Expected {
    fn append(&mut self, entry: &Entry) {
        let seq = entry.header().seq;
        // What was erased or cut before concerns the entries of then.
        self.cut_erased(seq);
        self.at_most = None;
        self.appended.push((seq, entry.hash()));
    }

    fn truncate(&mut self, from: u64) {
        let keep = from.saturating_sub(1);
        self.cut_erased(from.max(1));
        self.appended.retain(|(seq, _)| *seq <= keep);
        self.at_most = Some(self.at_most.map_or(keep, |before| before.min(keep)));
    }

    fn cut_erased(&mut self, from: u64) {
        for range in &mut self.erased {
            range.1 = range.1.min(from.saturating_sub(1));
        }
        self.erased.retain(|(first, last)| first <= last);
    }
}

/// Whether the store is as this batch leaves it. Everything but an append may be repeated without harm, so that it
/// does not matter who left it so.
pub(super) fn kept(txn: &ReadTransaction, seal: &Seal, batch: &[Write]) -> Result<bool, Fault> {
    let mut logs: BTreeMap<(SpaceId, LogId), Expected> = BTreeMap::new();
    let mut last: BTreeMap<(Table, &[u8]), Option<&[u8]>> = BTreeMap::new();
    for write in batch {
        match write {
            Write::Append { entry, .. } => {
                logs.entry((entry.header().space, entry.header().log)).or_default().append(entry);
            }
            Write::Truncate { space, log, from } => logs.entry((*space, *log)).or_default().truncate(*from),
            Write::Erase { space, log, from, upto } => {
                logs.entry((*space, *log)).or_default().erased.push(((*from).max(1), *upto));
            }
            Write::Put(table, key, value) => drop(last.insert((*table, key), Some(value))),
            Write::Delete(table, key) => drop(last.insert((*table, key), None)),
        }
    }
    let (rows, entries, payloads) = (txn.open_table(LOGS)?, txn.open_table(ENTRIES)?, txn.open_table(PAYLOADS)?);
    for ((space, log), expected) in logs {
        let key = tables::log_key(&space, &log);
        let row = rows.get(&key)?.map(|value| seal.open_row(&key, value.value())).transpose()?;
        if !as_expected(row, seal, &expected, &entries, &payloads)? {
            return Ok(false);
        }
    }
    for ((table, key), value) in last {
        let value = value.map(|value| seal.small(table, key, value));
        if txn.open_table(small(table))?.get(key)?.as_ref().map(|found| found.value()) != value.as_deref() {
            return Ok(false);
        }
    }
    Ok(true)
}

type Rows = ReadOnlyTable<&'static EntryKey, &'static [u8]>;

fn as_expected(
    row: Option<LogRow>,
    seal: &Seal,
    expected: &Expected,
    entries: &Rows,
    payloads: &Rows,
) -> Result<bool, Fault> {
    let Some(row) = row else { return Ok(expected.appended.is_empty()) };
    if expected.at_most.is_some_and(|most| row.tip.seq > most) {
        return Ok(false);
    }
    // Of a chain the last link tells of all before it.
    if let Some((seq, hash)) = expected.appended.last() {
        let key = tables::entry_key(row.number, *seq);
        let Some(value) = entries.get(&key)? else { return Ok(false) };
        if seal.open_entry(&key, value.value())?.signed.hash != *hash {
            return Ok(false);
        }
    }
    for (first, last) in &expected.erased {
        let (first, last) = (tables::entry_key(row.number, *first), tables::entry_key(row.number, *last));
        if payloads.range::<&EntryKey>(&first..=&last)?.next().is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}
