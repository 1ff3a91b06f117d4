//! The one place where records of a store are sealed and opened: in redb, in its journal, and in what is saved of a damaged
//! file. Beyond it everything is in the clear, below it nothing that people wrote or that tells what they did is.
//!
//! In a sealed store every value is sealed for its table and key ([`DataKey::seal`]), so one that stands elsewhere does not
//! open; rows of `logs`, which have a fixed length, are masked in place. A record of the journal is sealed for the store's
//! id, its generation and its number. In the clear are keys (ids, times), the table `log_numbers`, the table `journal`,
//! and the schema, in which [`SEALED`] says that the rest is sealed: a build that knows nothing of it takes the store for
//! one of a newer Cairn, not for a damaged one. The table `journal` says with which key (`sealed`).

use std::borrow::Cow;

use cairn_crdt::vault::{DataKey, OVERHEAD};
use redb::{Database, ReadTransaction, ReadableDatabase, TableError, TableHandle};

use super::fault::Fault;
use super::record::Place;
use super::tables::{self, ENTRIES, EntryRow, JOURNAL, LOG_ROW, LogKey, LogRow, PAYLOADS, SCHEMA_KEY};
use super::{StoreError, Table};

/// What records of the journal are sealed as; no table has this name.
const RECORD: &[u8] = b"journal record";
/// In the number of the schema: the store is sealed.
pub(super) const SEALED: u32 = 0x8000_0000;
/// Key in the table `journal`: the tag of the key that the store is sealed with.
pub(super) const SEALED_KEY: &[u8] = b"sealed";

/// What a store is sealed with; by default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seal(Option<DataKey>);

impl From<DataKey> for Seal {
    fn from(key: DataKey) -> Self {
        Self(Some(key))
    }
}

fn closed(what: &str) -> Fault {
    Fault::Damaged(format!("{what} does not open with the key of this store"))
}

impl Seal {
    /// Not sealed.
    pub const NONE: Self = Self(None);

    /// The key, where there is one.
    #[must_use]
    pub fn key(&self) -> Option<&DataKey> {
        self.0.as_ref()
    }

    fn seal<'a>(&self, table: &str, key: &[u8], value: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.0 {
            Some(data) => data.seal(&[table.as_bytes(), key], value).into(),
            None => value.into(),
        }
    }

    fn open<'a>(&self, table: &str, key: &[u8], value: &'a [u8]) -> Result<Cow<'a, [u8]>, Fault> {
        match &self.0 {
            Some(data) => {
                let value = data.open(&[table.as_bytes(), key], value);
                Ok(value.ok_or_else(|| closed(&format!("a row of {table}")))?.into())
            }
            None => Ok(value.into()),
        }
    }

    /// A value of a small table as it is stored. The same value in the same place is the same.
    pub(super) fn small<'a>(&self, table: Table, key: &[u8], value: &'a [u8]) -> Cow<'a, [u8]> {
        self.seal(tables::name(table), key, value)
    }

    /// A stored value of a small table.
    pub(super) fn open_small<'a>(&self, table: Table, key: &[u8], value: &'a [u8]) -> Result<Cow<'a, [u8]>, Fault> {
        if table == Table::Meta && key == SCHEMA_KEY {
            // In the clear, and the mark is not for others.
            return Ok(match <[u8; 4]>::try_from(value) {
                Ok(bytes) => (u32::from_be_bytes(bytes) & !SEALED).to_be_bytes().to_vec().into(),
                Err(_) => value.into(),
            });
        }
        self.open(tables::name(table), key, value)
    }

    /// An entry without its payload, as it is stored.
    pub(super) fn entry<'a>(&self, key: &[u8; 16], value: &'a [u8]) -> Cow<'a, [u8]> {
        self.seal(ENTRIES.name(), key, value)
    }

    /// A stored entry without its payload.
    pub(super) fn open_entry(&self, key: &[u8; 16], value: &[u8]) -> Result<EntryRow, Fault> {
        let value = self.open(ENTRIES.name(), key, value)?;
        tables::decode_entry(&value).map_err(Fault::undecodable("an entry"))
    }

    /// A payload as it is stored.
    pub(super) fn payload<'a>(&self, key: &[u8; 16], payload: &'a [u8]) -> Cow<'a, [u8]> {
        self.seal(PAYLOADS.name(), key, payload)
    }

    /// A stored payload.
    pub(super) fn open_payload(&self, key: &[u8; 16], value: &[u8]) -> Result<Vec<u8>, Fault> {
        self.open(PAYLOADS.name(), key, value).map(Cow::into_owned)
    }

    /// Length of what is stored in so many bytes.
    pub(super) fn plain_len(&self, stored: usize) -> u64 {
        let more = if self.0.is_some() { OVERHEAD } else { 0 };
        stored.saturating_sub(more) as u64
    }

    /// A row of `logs` as it is stored.
    pub(super) fn row(&self, key: &LogKey, row: &LogRow) -> [u8; LOG_ROW] {
        let mut bytes = row.encode(key);
        if let (Some(data), Some((body, check))) = (&self.0, bytes.split_last_chunk_mut()) {
            *check = data.mask(&[b"logs", key], body);
        }
        bytes
    }

    /// A stored row of `logs`.
    pub(super) fn open_row(&self, key: &LogKey, row: &[u8; LOG_ROW]) -> Result<LogRow, Fault> {
        let Some(data) = &self.0 else {
            return LogRow::decode(key, row).map_err(Fault::undecodable("a log"));
        };
        let mut bytes = *row;
        let (body, check) = bytes.split_last_chunk_mut().ok_or_else(|| closed("a log"))?;
        if !data.unmask(&[b"logs", key], body, check) {
            return Err(closed("a log"));
        }
        LogRow::read(body).map_err(Fault::undecodable("a log"))
    }

    /// The body of a record of the journal as it is written.
    pub(super) fn record<'a>(&self, place: Place, body: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.0 {
            Some(data) => data.seal(&[RECORD, &place_of(&place)], body).into(),
            None => body.into(),
        }
    }

    /// The body of a record of the journal; `None` where it does not open.
    pub(super) fn open_record<'a>(&self, place: Place, body: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match &self.0 {
            Some(data) => data.open(&[RECORD, &place_of(&place)], body).map(Cow::from),
            None => Some(body.into()),
        }
    }

    /// How many bytes longer the body of a record is than what it holds.
    pub(super) fn overhead(&self) -> usize {
        if self.0.is_some() { OVERHEAD } else { 0 }
    }

    /// Whether this is what a database is sealed with. Nothing is known of one that says nothing yet.
    ///
    /// # Errors
    /// Refused: [`StoreError::Sealed`], [`StoreError::OtherKey`], [`StoreError::NotSealed`].
    pub(super) fn fits(&self, db: &Database) -> Result<(), Fault> {
        let txn = db.begin_read()?;
        let sealed = match schema_row(&txn)? {
            None => return Ok(()),
            Some(schema) => schema & SEALED != 0,
        };
        let Some(data) = &self.0 else {
            return if sealed { Err(Fault::Refused(StoreError::Sealed)) } else { Ok(()) };
        };
        if !sealed {
            return Err(Fault::Refused(StoreError::NotSealed));
        }
        let tag = txn.open_table(JOURNAL)?.get(SEALED_KEY)?.map(|tag| tag.value().to_vec());
        match tag {
            Some(tag) if tag == data.tag().0 => Ok(()),
            Some(_) => Err(Fault::Refused(StoreError::OtherKey)),
            None => Err(Fault::Damaged("it does not say what it is sealed with".into())),
        }
    }
}

fn place_of(place: &Place) -> Vec<u8> {
    [&place.id[..], &place.generation.to_be_bytes(), &place.number.to_be_bytes()].concat()
}

/// The schema as it stands in a store, with the mark; `None` where there is none.
fn schema_row(txn: &ReadTransaction) -> Result<Option<u32>, Fault> {
    let meta = match txn.open_table(tables::small(Table::Meta)) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        meta => meta?,
    };
    let value = meta.get(SCHEMA_KEY)?;
    Ok(value.and_then(|value| value.value().try_into().ok()).map(u32::from_be_bytes))
}
