//! What a check of everything says, log by log, so that one damaged log does not hide how the others are.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use cairn_crdt::ids::{LogId, SpaceId};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::fault::{Fault, guarded};
use super::open::abandon;
use super::sealing::Seal;
use super::tables::{self, ENTRIES, LOG_NUMBERS, LOGS, PAYLOADS, small};
use super::walk::{ascending, walk};
use super::{StoreError, Table, batch, journal, migrations, overlay};

/// Of the signatures of a log, every so many and the last are checked where not all are.
pub const SAMPLE: u64 = 64;
/// Damages listed; beyond it they are counted in the last one.
const LISTED: usize = 1_000;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Examination {
    /// Logs.
    pub logs: u64,
    /// Entries that are in order.
    pub entries: u64,
    /// Of these, entries whose payloads were erased.
    pub erased: u64,
    /// Bytes that these take.
    pub bytes: u64,
    /// Rows of small tables.
    pub rows: u64,
    /// Signatures checked.
    pub signatures: u64,
    /// What is damaged.
    pub damage: Vec<Damage>,
}

/// Something that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The log, where it is in one.
    pub log: Option<(SpaceId, LogId)>,
    /// Entries of the log that are in order, up to the damage.
    pub good: u64,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.log {
            Some((_, log)) => write!(
                f,
                "a log of {} in document {} is damaged after entry {}: {}",
                log.device.short(),
                log.document.short(),
                self.good,
                self.reason
            ),
            None => f.write_str(&self.reason),
        }
    }
}

impl Examination {
    fn damaged(&mut self, log: Option<(SpaceId, LogId)>, good: u64, reason: String) {
        if self.damage.len() < LISTED {
            self.damage.push(Damage { log, good, reason });
        }
    }

    /// Notes damage and goes on; any other failure ends the examination.
    fn tolerate(&mut self, outcome: Result<(), Fault>, what: &str) -> Result<(), Fault> {
        let Err(fault) = outcome else { return Ok(()) };
        let Some(reason) = fault.damage() else { return Err(fault) };
        self.damaged(None, 0, format!("{what}: {reason}"));
        Ok(())
    }
}

/// Examines a file on which no store is open. The file is not changed in any way.
pub(super) fn examine_file(path: &Path, seal: &Seal, all: bool) -> Result<Examination, StoreError> {
    let outcome = guarded(|| {
        let mut db = overlay::open(path)?;
        let outcome = guarded(|| {
            // Pages carry checks of their own, which only this looks at.
            seal.fits(&db)?;
            db.check_integrity()?;
            migrations::migrate(&db, seal)?;
            // What the overlay is told stays in memory.
            let journal = guarded(|| replay(path, &db, seal));
            let mut found = examine(&db.begin_read()?, seal, all)?;
            found.tolerate(journal, "the journal")?;
            Ok(found)
        });
        abandon(Some(db));
        outcome
    });
    match outcome {
        Err(fault) if fault.damage().is_some() => {
            let mut found = Examination::default();
            found.damaged(None, 0, fault.damage().unwrap_or_default());
            Ok(found)
        }
        outcome => outcome.map_err(Fault::into_error),
    }
}

/// Lays what the journal beside a file holds over the file.
fn replay(path: &Path, db: &Database, seal: &Seal) -> Result<(), Fault> {
    let mark = journal::mark(&db.begin_read()?)?;
    let bytes = match journal::read(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        bytes => bytes.map_err(redb::Error::Io)?,
    };
    let scan = journal::scan(&bytes, mark, seal);
    for batch in &scan.batches {
        match batch::apply(db, seal, batch, None) {
            Err(Fault::Refused(_)) => {
                return Err(Fault::Damaged("entries in it do not follow those of the store".into()));
            }
            outcome => outcome?,
        }
    }
    scan.damage.map_or(Ok(()), |damage| Err(Fault::Damaged(damage)))
}

/// Examines a store as it is at one moment. `all`: every signature.
pub(super) fn examine(txn: &ReadTransaction, seal: &Seal, all: bool) -> Result<Examination, Fault> {
    let mut found = Examination::default();
    let mut claimed = 0u64;
    let outcome = guarded(|| logs(txn, seal, all, &mut found, &mut claimed));
    found.tolerate(outcome, "the list of logs")?;
    if found.damage.is_empty() {
        let outcome = guarded(|| {
            let (entries, payloads) = (txn.open_table(ENTRIES)?.len()?, txn.open_table(PAYLOADS)?.len()?);
            if (entries, payloads) != (claimed, claimed.saturating_sub(found.erased)) {
                return Err(Fault::Damaged("there are entries of no log".into()));
            }
            Ok(())
        });
        found.tolerate(outcome, "entries")?;
    }
    for table in tables::SMALL {
        let outcome = guarded(|| rows(txn, seal, table, &mut found.rows));
        found.tolerate(outcome, tables::name(table))?;
    }
    Ok(found)
}

fn logs(
    txn: &ReadTransaction,
    seal: &Seal,
    all: bool,
    found: &mut Examination,
    claimed: &mut u64,
) -> Result<(), Fault> {
    let numbers = txn.open_table(LOG_NUMBERS)?;
    let mut before = None;
    for row in txn.open_table(LOGS)?.iter()? {
        let (key, value) = row?;
        ascending(&mut before, *key.value())?;
        let id = tables::log_of(key.value()).map_err(Fault::undecodable("a log"))?;
        found.logs = found.logs.saturating_add(1);
        let (mut tip, mut bytes) = (None, 0u64);
        let outcome = guarded(|| {
            let row = seal.open_row(key.value(), value.value())?;
            *claimed = claimed.saturating_add(row.tip.seq);
            let known = numbers.get(&row.number.to_be_bytes())?.is_some_and(|of| of.value() == key.value());
            if !known {
                return Err(Fault::Damaged("its number is that of another".into()));
            }
            walk(txn, seal, &row, 1, |stored| {
                let header = stored.entry.header();
                if (header.space, header.log) != id {
                    return Err(Fault::Damaged("an entry stands in another log".into()));
                }
                let next = super::follow(tip.as_ref(), &stored.entry)
                    .map_err(|_| Fault::Damaged("it is not a chain".into()))?;
                if all || header.seq.is_multiple_of(SAMPLE) || next == row.tip {
                    found.signatures = found.signatures.saturating_add(1);
                    if !stored.entry.signed.verify() {
                        return Err(Fault::Damaged("a signature does not verify".into()));
                    }
                }
                tip = Some(next);
                bytes = bytes.saturating_add(super::stored_len(&stored.entry));
                found.entries = found.entries.saturating_add(1);
                found.erased = found.erased.saturating_add(u64::from(stored.entry.payload.is_none()));
                Ok(true)
            })?;
            if (tip, bytes) != (Some(row.tip), row.bytes) {
                return Err(Fault::Damaged("it does not end where it should".into()));
            }
            Ok(())
        });
        found.bytes = found.bytes.saturating_add(bytes);
        if let Err(fault) = outcome {
            let Some(reason) = fault.damage() else { return Err(fault) };
            found.damaged(Some(id), tip.map_or(0, |tip| tip.seq), reason);
        }
    }
    Ok(())
}

fn rows(txn: &ReadTransaction, seal: &Seal, table: Table, count: &mut u64) -> Result<(), Fault> {
    let mut before = None;
    for row in txn.open_table(small(table))?.iter()? {
        let (key, value) = row?;
        ascending(&mut before, key.value().to_vec())?;
        seal.open_small(table, key.value(), value.value())?;
        *count = count.saturating_add(1);
    }
    Ok(())
}
