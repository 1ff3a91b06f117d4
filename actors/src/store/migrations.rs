//! Brings a store to the schema of this build, one numbered step after the other. A step runs in one transaction
//! together with the new version number, so a crash leaves it done or not begun.

use redb::{Database, Durability, ReadableDatabase, ReadableTable, WriteTransaction};

use super::StoreError;
use super::Table;
use super::fault::Fault;
use super::journal::ID_KEY;
use super::sealing::{SEALED, Seal};
use super::tables::{self, EntryKey, LogRow, SCHEMA, SCHEMA_KEY, small};

/// A step; the one at index `n` leads from schema `n` to `n + 1`.
type Step = fn(&WriteTransaction) -> Result<(), Fault>;

const STEPS: [Step; SCHEMA as usize] = [create, count_bytes, know_the_journal, keep_keys];

/// Schema 1: logs, entries, and the first small tables.
fn create(txn: &WriteTransaction) -> Result<(), Fault> {
    txn.open_table(tables::LOGS_1)?;
    txn.open_table(tables::LOG_NUMBERS)?;
    txn.open_table(tables::ENTRIES)?;
    txn.open_table(tables::PAYLOADS)?;
    let small_ones =
        [Table::Meta, Table::Networks, Table::Peers, Table::Durable, Table::Outbox, Table::Void, Table::Said];
    for table in small_ones {
        txn.open_table(small(table))?;
    }
    Ok(())
}

/// Schema 2: what each log takes; statements, proofs of forks, what was retired, briefings.
fn count_bytes(txn: &WriteTransaction) -> Result<(), Fault> {
    for table in [Table::Statements, Table::Forks, Table::Retired, Table::Briefings] {
        txn.open_table(small(table))?;
    }
    {
        let (old, mut new) = (txn.open_table(tables::LOGS_1)?, txn.open_table(tables::LOGS_NEW)?);
        let (entries, payloads) = (txn.open_table(tables::ENTRIES)?, txn.open_table(tables::PAYLOADS)?);
        for row in old.iter()? {
            let (key, value) = row?;
            let key = key.value();
            let mut row = LogRow::decode_1(key, value.value()).map_err(Fault::undecodable("a log"))?;
            let (first, last) = (tables::entry_key(row.number, 0), tables::entry_key(row.number, u64::MAX));
            for value in entries.range::<&EntryKey>(&first..=&last)?.chain(payloads.range::<&EntryKey>(&first..=&last)?)
            {
                row.bytes = row.bytes.saturating_add(value?.1.value().len() as u64);
            }
            new.insert(key, &row.encode(key))?;
        }
    }
    txn.delete_table(tables::LOGS_1)?;
    txn.rename_table(tables::LOGS_NEW, tables::LOGS)?;
    Ok(())
}

/// Schema 3: the journal, which belongs to this store alone.
fn know_the_journal(txn: &WriteTransaction) -> Result<(), Fault> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|e| redb::Error::Io(std::io::Error::other(e.to_string())))?;
    txn.open_table(tables::JOURNAL)?.insert(ID_KEY, id.as_slice())?;
    Ok(())
}

/// Schema 4: keys.
fn keep_keys(txn: &WriteTransaction) -> Result<(), Fault> {
    for table in [Table::Keys, Table::Prekeys] {
        txn.open_table(small(table))?;
    }
    Ok(())
}

/// The schema of a store; 0 where nothing was ever written.
pub(super) fn schema(db: &Database) -> Result<u32, Fault> {
    let txn = db.begin_read()?;
    let meta = match txn.open_table(small(Table::Meta)) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(0),
        Err(e) => return Err(e.into()),
    };
    let Some(value) = meta.get(SCHEMA_KEY)? else {
        return Err(Fault::Damaged("it does not say its schema".into()));
    };
    let bytes = value.value().try_into().map_err(|_| Fault::Damaged("its schema is not a number".into()))?;
    Ok(u32::from_be_bytes(bytes) & !SEALED)
}

/// Takes every step that is missing. A step that reads or writes values must do so through the seal; no sealed store is
/// older than schema 4.
pub(super) fn migrate(db: &Database, seal: &Seal) -> Result<(), Fault> {
    let found = schema(db)?;
    if found > SCHEMA {
        return Err(Fault::Refused(StoreError::Newer { found, known: SCHEMA }));
    }
    for (to, step) in (1u32..).zip(STEPS).filter(|(to, _)| *to > found) {
        let txn = begin(db)?;
        step(&txn)?;
        let marked = if seal.key().is_some() { to | SEALED } else { to };
        txn.open_table(small(Table::Meta))?.insert(SCHEMA_KEY, marked.to_be_bytes().as_slice())?;
        txn.commit()?;
    }
    Ok(())
}

/// A write transaction that is durable when it is committed: two phases, so that a crash never leaves a half-written
/// root, and quick repair, so that the next open need not read the whole file.
pub(super) fn begin(db: &Database) -> Result<WriteTransaction, Fault> {
    let mut txn = db.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
    Ok(txn)
}
