//! Brings a store to the schema of this build, one numbered step after the other. A step runs in one transaction
//! together with the new version number, so a crash leaves it done or not begun; running it again changes nothing.

use redb::{Database, Durability, ReadableDatabase, WriteTransaction};

use super::StoreError;
use super::fault::Fault;
use super::tables::{self, SCHEMA, SCHEMA_KEY};
use super::{Table, tables::small};

/// A step; the one at index `n` leads from schema `n` to `n + 1`.
type Step = fn(&WriteTransaction) -> Result<(), Fault>;

const STEPS: [Step; SCHEMA as usize] = [create];

/// Schema 1: all tables.
fn create(txn: &WriteTransaction) -> Result<(), Fault> {
    txn.open_table(tables::LOGS)?;
    txn.open_table(tables::LOG_NUMBERS)?;
    txn.open_table(tables::ENTRIES)?;
    txn.open_table(tables::PAYLOADS)?;
    for table in tables::SMALL {
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
    Ok(u32::from_be_bytes(bytes))
}

/// Takes every step that is missing.
pub(super) fn migrate(db: &Database) -> Result<(), Fault> {
    let found = schema(db)?;
    if found > SCHEMA {
        return Err(Fault::Refused(StoreError::Newer { found, known: SCHEMA }));
    }
    for (to, step) in (1u32..).zip(STEPS).filter(|(to, _)| *to > found) {
        let txn = begin(db)?;
        step(&txn)?;
        txn.open_table(small(Table::Meta))?.insert(SCHEMA_KEY, to.to_be_bytes().as_slice())?;
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
