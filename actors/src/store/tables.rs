//! The schema of the store on disk: every redb table with the format of its keys and values. All integers are big
//! endian, so that keys sort as numbers do; ids are their bytes.
//!
//! | table | key | value |
//! |---|---|---|
//! | `logs` | space 32 · document 18 · device 32 · incarnation 16 | number u64 · tip: seq u64 · hash 32 · hlc u64 · bytes u64 · check 8 |
//! | `log_numbers` | number u64 | key of `logs` |
//! | `entries` | log number u64 · seq u64 | received u64 · has payload u8 · check u64 · header (canonical, variable) · signature 64 |
//! | `payloads` | log number u64 · seq u64 | payload; absent once erased |
//! | `meta` | text | `schema`: u32, the version of this schema; everything else is its owner's business |
//! | `networks`, `peers`, `durable`, `outbox`, `void`, `said` | owner's | owner's |
//! | `statements` | space 32 · device 32 | owner's: the latest signed statement |
//! | `forks` | space 32 · log 66 | owner's: the proofs of a fork, one or two |
//! | `forks` | space 32 · log 66 · first entry's hash 32 | owner's: entries of a branch that does not count |
//! | `forks` | space 32 · device 32 · incarnation 16 | owner's: two statements of that start that contradict each other |
//! | `retired` | space 32 | owner's: what is gone of the space, and since when |
//! | `briefings` | id | owner's: the record |
//! | `keys` | space 32 · epoch 32 | the secret of the epoch, 32; empty: nothing needs it any more, and it is not opened again |
//! | `prekeys` | device 32 | this device's prekeys with their private halves, as `PrekeyRing::encode` writes them |
//! | `prekeys` | device 32 · `damaged` | what stood there and could not be read |
//! | `journal` | text | `id`: 16 random bytes by which a journal belongs to this store; `emptied`: u64, the generation of the journal up to which all is in this file, 0 where it is absent; `sealed`: the tag of the key that values are sealed with |
//!
//! In a sealed store these are the values before they are sealed; see `sealing`.
//!
//! A log is written about by number, which saves 90 bytes an entry and keeps the entries of a log together. A new log
//! gets the greatest number plus one, from 1 on. The payload stands apart, so that erasing it rewrites no chain: only
//! the mark `has payload` of its entry goes. Erased bytes lie in free pages of the file, and in the
//! journal, until those are written again or the file is compacted.
//!
//! `bytes` in `logs` is what the log takes: the lengths of the values of its entries and payloads together, so that
//! what a space, a document or an author takes is known without reading entries.
//!
//! redb does not check what it reads, so rows that matter carry a check: in `logs` the front of a hash over key and
//! row; in `entries` the front of the entry's hash, which is computed anyway, mixed with the two fields before it.
//!
//! This is schema 4; schema 3 lacked `keys` and `prekeys`, schema 2 lacked `journal`, schema 1 had no `bytes` either and lacked the four tables before it. The
//! journal itself is another file; its format is in `record`, and this schema covers it. A change of any format above is a new schema and a step in `migrations`.

use cairn_crdt::codec::{DecodeError, Reader, Writer};
use cairn_crdt::entry::SignedHeader;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{EntryHash, LogId, SpaceId, domain_hash};
use redb::TableDefinition;

use super::{Table, Tip};

/// The schema that this build writes.
pub const SCHEMA: u32 = 4;
/// Key of [`Table::Meta`] that holds the schema; the store's own, no batch may write it.
pub const SCHEMA_KEY: &[u8] = b"schema";

/// Length of a key of `logs`.
pub const LOG_KEY: usize = 32 + LogId::LEN;
/// Length of a value of `logs`.
pub const LOG_ROW: usize = 8 + 8 + 32 + 8 + 8 + 8;

/// Length of a value of `logs` in schema 1.
pub(super) const LOG_ROW_1: usize = 8 + 8 + 32 + 8 + 8;

pub(super) type LogKey = [u8; LOG_KEY];
pub(super) type EntryKey = [u8; 16];
pub(super) type Small = TableDefinition<'static, &'static [u8], &'static [u8]>;

pub(super) const LOGS: TableDefinition<'static, &'static LogKey, &'static [u8; LOG_ROW]> = TableDefinition::new("logs");
/// `logs` of schema 1.
pub(super) const LOGS_1: TableDefinition<'static, &'static LogKey, &'static [u8; LOG_ROW_1]> =
    TableDefinition::new("logs");
/// Where `logs` is built anew before it takes the place of the old one.
pub(super) const LOGS_NEW: TableDefinition<'static, &'static LogKey, &'static [u8; LOG_ROW]> =
    TableDefinition::new("logs_new");
pub(super) const LOG_NUMBERS: TableDefinition<'static, &'static [u8; 8], &'static LogKey> =
    TableDefinition::new("log_numbers");
pub(super) const ENTRIES: TableDefinition<'static, &'static EntryKey, &'static [u8]> = TableDefinition::new("entries");
pub(super) const PAYLOADS: TableDefinition<'static, &'static EntryKey, &'static [u8]> =
    TableDefinition::new("payloads");

/// What the store knows of its journal.
pub(super) const JOURNAL: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("journal");

/// Every small table.
pub const SMALL: [Table; 13] = [
    Table::Meta,
    Table::Networks,
    Table::Peers,
    Table::Durable,
    Table::Outbox,
    Table::Void,
    Table::Said,
    Table::Statements,
    Table::Forks,
    Table::Retired,
    Table::Briefings,
    Table::Keys,
    Table::Prekeys,
];

/// The redb table behind a small table.
pub(super) const fn small(table: Table) -> Small {
    TableDefinition::new(name(table))
}

/// The small table of a name.
#[must_use]
pub fn named(text: &[u8]) -> Option<Table> {
    SMALL.into_iter().find(|table| name(*table).as_bytes() == text)
}

/// The name of a small table; it never changes.
#[must_use]
pub const fn name(table: Table) -> &'static str {
    match table {
        Table::Meta => "meta",
        Table::Networks => "networks",
        Table::Peers => "peers",
        Table::Durable => "durable",
        Table::Outbox => "outbox",
        Table::Void => "void",
        Table::Said => "said",
        Table::Statements => "statements",
        Table::Forks => "forks",
        Table::Retired => "retired",
        Table::Briefings => "briefings",
        Table::Keys => "keys",
        Table::Prekeys => "prekeys",
    }
}

/// What `logs` says of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogRow {
    pub number: u64,
    pub tip: Tip,
    /// Lengths of the values of its entries and payloads together.
    pub bytes: u64,
}

impl LogRow {
    pub(super) fn encode(&self, key: &[u8; LOG_KEY]) -> [u8; LOG_ROW] {
        let mut row = [0; LOG_ROW];
        row[..8].copy_from_slice(&self.number.to_be_bytes());
        row[8..16].copy_from_slice(&self.tip.seq.to_be_bytes());
        row[16..48].copy_from_slice(&self.tip.hash.0);
        row[48..56].copy_from_slice(&self.tip.hlc.0.to_be_bytes());
        row[56..64].copy_from_slice(&self.bytes.to_be_bytes());
        let check = log_check(key, &row[..64]);
        row[64..].copy_from_slice(&check);
        row
    }

    pub(super) fn decode(key: &[u8; LOG_KEY], row: &[u8; LOG_ROW]) -> Result<Self, DecodeError> {
        let (body, check) = row.split_last_chunk::<8>().ok_or(DecodeError::Invalid("row of a log"))?;
        if *check != log_check(key, body) {
            return Err(DecodeError::Invalid("row of a log"));
        }
        Self::read(body)
    }

    /// What a row says, its check apart.
    pub(super) fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body);
        let number = r.u64()?;
        let tip = Tip { seq: r.u64()?, hash: EntryHash(r.array()?), hlc: Hlc(r.u64()?) };
        let bytes = r.u64()?;
        r.finish()?;
        if number == 0 || tip.seq == 0 {
            return Err(DecodeError::Invalid("row of a log"));
        }
        Ok(Self { number, tip, bytes })
    }

    /// A row of schema 1, without bytes.
    pub(super) fn decode_1(key: &[u8; LOG_KEY], row: &[u8; LOG_ROW_1]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(row);
        let number = r.u64()?;
        let tip = Tip { seq: r.u64()?, hash: EntryHash(r.array()?), hlc: Hlc(r.u64()?) };
        if r.array::<8>()? != log_check(key, &row[..56]) || number == 0 || tip.seq == 0 {
            return Err(DecodeError::Invalid("row of a log"));
        }
        r.finish()?;
        Ok(Self { number, tip, bytes: 0 })
    }
}

fn log_check(key: &[u8; LOG_KEY], row: &[u8]) -> [u8; 8] {
    let mut check = [0; 8];
    check.copy_from_slice(&domain_hash("cairn 2026 store log row", &[key, row])[..8]);
    check
}

/// The key of a log.
pub(super) fn log_key(space: &SpaceId, log: &LogId) -> [u8; LOG_KEY] {
    let mut key = [0; LOG_KEY];
    key[..32].copy_from_slice(&space.0);
    key[32..].copy_from_slice(&log.to_bytes());
    key
}

/// The space and log of a key.
pub(super) fn log_of(key: &[u8; LOG_KEY]) -> Result<(SpaceId, LogId), DecodeError> {
    let mut r = Reader::new(key);
    Ok((SpaceId(r.array()?), LogId::from_bytes(&r.array()?)))
}

/// The first and the last key that logs of a space can have.
pub(super) fn log_range(space: &SpaceId) -> ([u8; LOG_KEY], [u8; LOG_KEY]) {
    let (mut first, mut last) = ([0; LOG_KEY], [0xff; LOG_KEY]);
    first[..32].copy_from_slice(&space.0);
    last[..32].copy_from_slice(&space.0);
    (first, last)
}

/// The first key that sorts after all that start with `prefix`; `None` where there is none.
pub(super) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// The key of an entry and of its payload.
pub(super) fn entry_key(number: u64, seq: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key[8..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// The value of an entry.
pub(super) fn encode_entry(received: u64, has_payload: bool, signed: &SignedHeader) -> Vec<u8> {
    let bytes = signed.encode();
    let mut w = Writer::with_capacity(bytes.len().saturating_add(17));
    w.u64(received).u8(has_payload.into()).u64(entry_check(received, has_payload, signed)).bytes(&bytes);
    w.finish()
}

/// An entry without its payload.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EntryRow {
    pub received: u64,
    pub has_payload: bool,
    pub signed: SignedHeader,
}

/// What a value says.
pub(super) fn decode_entry(value: &[u8]) -> Result<EntryRow, DecodeError> {
    let mut r = Reader::new(value);
    let (received, has_payload, check) = (r.u64()?, r.u8()?, r.u64()?);
    let signed = SignedHeader::decode(&mut r)?;
    r.finish()?;
    if has_payload > 1 || check != entry_check(received, has_payload == 1, &signed) {
        return Err(DecodeError::Invalid("check"));
    }
    Ok(EntryRow { received, has_payload: has_payload == 1, signed })
}

fn entry_check(received: u64, has_payload: bool, signed: &SignedHeader) -> u64 {
    let front = signed.hash.0.first_chunk::<8>().map_or(0, |front| u64::from_be_bytes(*front));
    front ^ received.rotate_left(17) ^ u64::from(has_payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_keys_round_trip_and_sort_as_numbers() {
        let tip = Tip { seq: 7, hash: EntryHash([3; 32]), hlc: Hlc(99) };
        let row = LogRow { number: 258, tip, bytes: 4711 };
        let key = [5; LOG_KEY];
        assert_eq!(LogRow::decode(&key, &row.encode(&key)), Ok(row));
        assert!(LogRow::decode(&key, &[0; LOG_ROW]).is_err());
        assert!(LogRow::decode(&[6; LOG_KEY], &row.encode(&key)).is_err());
        for at in 0..LOG_ROW {
            let mut flipped = row.encode(&key);
            flipped[at] ^= 4;
            assert!(LogRow::decode(&key, &flipped).is_err(), "byte {at}");
        }
        assert!(entry_key(1, 255) < entry_key(1, 256) && entry_key(1, u64::MAX) < entry_key(2, 0));
        let (first, last) = log_range(&SpaceId([9; 32]));
        assert!(first < last && first[..32] == last[..32]);
    }

    #[test]
    fn a_flipped_byte_of_an_entry_is_seen() {
        let mut author = super::super::conformance::Author::new(1, 1, 1);
        let entry = author.entry(Some(b"x"));
        let value = encode_entry(77, true, &entry.signed);
        let row = EntryRow { received: 77, has_payload: true, signed: entry.signed.clone() };
        assert_eq!(decode_entry(&value), Ok(row));
        for at in 0..value.len() {
            let mut flipped = value.clone();
            flipped[at] ^= 0x10;
            assert!(decode_entry(&flipped).is_err(), "byte {at}");
        }
    }

    #[test]
    fn the_end_of_a_prefix() {
        assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after_prefix(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!(after_prefix(&[0xff]), None);
        assert_eq!(after_prefix(b""), None);
    }
}
