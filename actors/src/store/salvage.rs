//! What can still be read of a damaged file goes into a new one. Nothing is taken over that does not check: of each log
//! the entries up to the first that is not what was written; the rest is brought back by whoever holds it. The damaged
//! file is only read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use cairn_crdt::entry::{Entry, payload_hash};
use cairn_crdt::ids::{DeviceId, SpaceId};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};

use super::fault::{Fault, guarded};
use super::migrations::begin;
use super::open::abandon;
use super::sealing::Seal;
use super::tables::{self, ENTRIES, JOURNAL, LOG_NUMBERS, LOGS, LOGS_1, LogKey, PAYLOADS, SCHEMA_KEY, small};
use super::{Table, Tip, Write, batch, journal, overlay};
use crate::limits::{COMMIT_RECORDS, RESTORE_BATCH};

/// What was saved of a damaged store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Salvaged {
    /// Logs.
    pub logs: u64,
    /// Entries.
    pub entries: u64,
    /// Entries known to be lost here.
    pub lost: u64,
    /// Rows of small tables.
    pub rows: u64,
}

impl fmt::Display for Salvaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.entries, self.lost) {
            (0, _) => f.write_str("nothing could be saved of it"),
            (entries, 0) => write!(f, "{entries} entries were saved of it, no loss is known"),
            (entries, lost) => write!(f, "{entries} entries were saved of it, at least {lost} were not"),
        }
    }
}

/// Saves what can be read of the file at `from` into an empty database; answers too whether the journal of the one goes
/// on to be that of the other. Fails only where writing does.
pub(super) fn salvage(from: &Path, into: &Database, seal: &Seal) -> Result<(Salvaged, bool), Fault> {
    let Ok(db) = overlay::open(from) else { return Ok((Salvaged::default(), false)) };
    let outcome = match guarded(|| Ok(db.begin_read()?)) {
        Ok(txn) => save(&txn, into, seal).and_then(|saved| Ok((saved, keep_mark(&txn, into)?))),
        Err(_) => Ok((Salvaged::default(), false)),
    };
    abandon(Some(db));
    outcome
}

fn save(txn: &ReadTransaction, into: &Database, seal: &Seal) -> Result<Salvaged, Fault> {
    let mut saving = Saving { into, seal, batch: Vec::new(), bytes: 0, saved: Salvaged::default() };
    for table in tables::SMALL {
        for (key, mut value) in rows(txn, seal, table) {
            // What was lost may come back below a floor: nothing may be called final, or late, because of it.
            if table == Table::Statements
                && key.len() == SpaceId::LEN + DeviceId::LEN
                && let Some(safe) = value.first_chunk_mut::<8>()
            {
                *safe = [0; 8];
            }
            if table != Table::Meta || key != SCHEMA_KEY {
                saving.saved.rows = saving.saved.rows.saturating_add(1);
                let size = key.len().saturating_add(value.len());
                saving.add(Write::Put(table, key, value), size)?;
            }
        }
    }
    for (number, (key, claimed)) in logs(txn, seal) {
        let good = log(txn, number, &key, &mut saving)?;
        saving.saved.logs = saving.saved.logs.saturating_add(u64::from(good > 0));
        saving.saved.entries = saving.saved.entries.saturating_add(good);
        saving.saved.lost = saving.saved.lost.saturating_add(claimed.saturating_sub(good));
    }
    saving.flush()?;
    Ok(saving.saved)
}

/// What the journal holds goes on where the damaged file left off, if that can be read.
fn keep_mark(txn: &ReadTransaction, into: &Database) -> Result<bool, Fault> {
    let Ok(mark) = guarded(|| journal::mark(txn)) else { return Ok(false) };
    let txn = begin(into)?;
    {
        let mut table = txn.open_table(JOURNAL)?;
        table.insert(journal::ID_KEY, mark.id.as_slice())?;
        table.insert(journal::EMPTIED_KEY, mark.emptied.to_be_bytes().as_slice())?;
    }
    txn.commit()?;
    Ok(true)
}

struct Saving<'d> {
    into: &'d Database,
    seal: &'d Seal,
    batch: Vec<Write>,
    bytes: usize,
    saved: Salvaged,
}

impl Saving<'_> {
    fn add(&mut self, write: Write, size: usize) -> Result<(), Fault> {
        self.bytes = self.bytes.saturating_add(size);
        self.batch.push(write);
        if self.batch.len() < COMMIT_RECORDS && self.bytes < RESTORE_BATCH { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        guarded(|| batch::apply(self.into, self.seal, &batch, None))
    }
}

/// The rows of a small table that can be read, from either end.
fn rows(txn: &ReadTransaction, seal: &Seal, of: Table) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut rows = BTreeMap::new();
    let _ = guarded(|| {
        let table = txn.open_table(small(of))?;
        let _ = guarded(|| from_the_front(table.iter()?, &mut rows, |key, value| Ok((key.to_vec(), value.to_vec()))));
        guarded(|| from_the_front(table.iter()?.rev(), &mut rows, |key, value| Ok((key.to_vec(), value.to_vec()))))
    });
    // One that does not open hides no other.
    let open = |(key, value): (Vec<u8>, Vec<u8>)| {
        let value = seal.open_small(of, &key, &value).ok()?.into_owned();
        Some((key, value))
    };
    rows.into_iter().filter_map(open).collect()
}

/// Takes rows until one cannot be read or is there already: then the other end has been here, or keys lead in a circle.
fn from_the_front<'a, K: redb::Key + 'static, V: redb::Value + 'static, A: Ord, B>(
    rows: impl Iterator<Item = Result<(redb::AccessGuard<'a, K>, redb::AccessGuard<'a, V>), redb::StorageError>>,
    into: &mut BTreeMap<A, B>,
    take: impl Fn(K::SelfType<'_>, V::SelfType<'_>) -> Result<(A, B), Fault>,
) -> Result<(), Fault> {
    for row in rows {
        let (key, value) = row?;
        let (key, value) = take(key.value(), value.value())?;
        if into.insert(key, value).is_some() {
            break;
        }
    }
    Ok(())
}

/// Every log that is heard of, by number, with the length that it should have, 0 where that is not known.
fn logs(txn: &ReadTransaction, seal: &Seal) -> BTreeMap<u64, (LogKey, u64)> {
    let mut logs: BTreeMap<u64, (LogKey, u64)> = BTreeMap::new();
    let mut numbers: BTreeMap<u64, LogKey> = BTreeMap::new();
    let _ = guarded(|| {
        let table = txn.open_table(LOG_NUMBERS)?;
        let take = |number: &[u8; 8], key: &LogKey| Ok((u64::from_be_bytes(*number), *key));
        let _ = guarded(|| from_the_front(table.iter()?, &mut numbers, take));
        guarded(|| from_the_front(table.iter()?.rev(), &mut numbers, take))
    });
    logs.extend(numbers.into_iter().map(|(number, key)| (number, (key, 0))));
    let mut heard: BTreeMap<LogKey, (u64, u64)> = BTreeMap::new();
    let _ = guarded(|| {
        let table = txn.open_table(LOGS)?;
        let take = |key: &LogKey, row: &[u8; tables::LOG_ROW]| {
            let row = seal.open_row(key, row)?;
            Ok((*key, (row.number, row.tip.seq)))
        };
        let _ = guarded(|| from_the_front(table.iter()?, &mut heard, take));
        guarded(|| from_the_front(table.iter()?.rev(), &mut heard, take))
    });
    // One that was not yet migrated.
    let _ = guarded(|| {
        let table = txn.open_table(LOGS_1)?;
        let take = |key: &LogKey, row: &[u8; tables::LOG_ROW_1]| {
            let row = tables::LogRow::decode_1(key, row).map_err(Fault::undecodable("a log"))?;
            Ok((*key, (row.number, row.tip.seq)))
        };
        let _ = guarded(|| from_the_front(table.iter()?, &mut heard, take));
        guarded(|| from_the_front(table.iter()?.rev(), &mut heard, take))
    });
    logs.extend(heard.into_iter().map(|(key, (number, seq))| (number, (key, seq))));
    logs
}

/// Saves a log up to its first entry that is not what was written; answers how many that were.
fn log(txn: &ReadTransaction, number: u64, key: &LogKey, saving: &mut Saving<'_>) -> Result<u64, Fault> {
    let Ok(id) = tables::log_of(key) else { return Ok(0) };
    let mut tip: Option<Tip> = None;
    loop {
        let seq = tip.map_or(1, |tip| tip.seq.saturating_add(1));
        let found = guarded(|| {
            let key = tables::entry_key(number, seq);
            let Some(value) = txn.open_table(ENTRIES)?.get(&key)? else { return Ok(None) };
            let row = saving.seal.open_entry(&key, value.value())?;
            let payload = match row.has_payload {
                true => {
                    let payload = txn.open_table(PAYLOADS)?.get(&key)?;
                    payload.map(|payload| saving.seal.open_payload(&key, payload.value())).transpose()?
                }
                false => None,
            };
            let header = &row.signed.header;
            let sound = payload.as_ref().map(|p| payload_hash(p) == header.payload_hash);
            if (header.space, header.log) != id || sound.is_some() != row.has_payload || sound == Some(false) {
                return Err(Fault::Damaged("an entry is not what was written".into()));
            }
            Ok(Some((Entry { signed: row.signed, payload }, row.received)))
        });
        let Ok(Some((entry, received))) = found else { break };
        let Ok(next) = super::follow(tip.as_ref(), &entry) else { break };
        // Whatever else was changed with it, a check of the row would have to match by chance: the first and some others
        // are looked at closely.
        if seq % super::examine::SAMPLE == 1 && !entry.signed.verify() {
            break;
        }
        tip = Some(next);
        let size = super::encoded_len(&entry);
        saving.add(Write::Append { entry: Arc::new(entry), received }, size)?;
    }
    Ok(tip.map_or(0, |tip| tip.seq))
}
