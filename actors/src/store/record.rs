//! A record of the journal: one batch as bytes.
//!
//! | bytes | hold |
//! |---|---|
//! | 8 | `MAGIC` |
//! | 16 | id of the store |
//! | 8 | generation |
//! | 4 | number within the generation, from 0 on |
//! | 4 | length of the body |
//! | 16 | front of a hash over all of the above and the body |
//! | | the body, then zeros up to a whole page |
//!
//! The body, in a sealed store sealed as `sealing` has it, is a list of writes: an append is 1, received u64, length u32 and the entry; a put is 2, the table's name
//! (length u8), key and value (length u32 each); a delete is 3, the table's name and the key. Integers are big endian.
//!
//! A record that does not check ends the journal: it was being written when the power failed. Only the last one can be
//! like that, since each is durable before the next one is written. So records of the same or a later generation behind
//! it mean that the file was damaged. A peer cannot make bytes that pass for a record, since the id is known here alone.

use std::io::{Error, ErrorKind};
use std::sync::Arc;

use cairn_crdt::codec::{DecodeError, Reader, Writer};
use cairn_crdt::entry::Entry;
use cairn_crdt::ids::Domain;

use super::sealing::Seal;
use super::{Table, Write, encoded_len, tables};
use crate::limits::JOURNAL_BATCH;

/// Records begin at multiples of this.
pub(super) const PAGE: usize = 4096;
const MAGIC: [u8; 8] = *b"cairnjr1";
/// Bytes before the check.
const FRONT: usize = 8 + 16 + 8 + 4 + 4;
const CHECK: usize = 16;
const HEADER: usize = FRONT + CHECK;

/// Where a record belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub id: [u8; 16],
    pub generation: u64,
    pub number: u32,
}

/// What a journal holds.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The batches of the generation asked for, in order.
    pub batches: Vec<Vec<Write>>,
    /// Where the next record belongs, and its number.
    pub end: u64,
    pub next: u32,
    /// What is wrong with the file.
    pub damage: Option<String>,
}

/// A batch as the body of a record; `None` where it does not belong into a journal: it is large, or it does more than
/// to append and to write rows.
pub(super) fn encode(batch: &[Write]) -> Option<Vec<u8>> {
    let mut size = 0usize;
    for write in batch {
        let more = match write {
            Write::Append { entry, .. } => encoded_len(entry).saturating_add(13),
            Write::Put(_, key, value) => key.len().saturating_add(value.len()).saturating_add(32),
            Write::Delete(_, key) => key.len().saturating_add(32),
            Write::Truncate { .. } | Write::Erase { .. } => return None,
        };
        size = size.saturating_add(more);
        if size > JOURNAL_BATCH {
            return None;
        }
    }
    let mut w = Writer::with_capacity(size);
    for write in batch {
        match write {
            Write::Append { entry, received } => {
                let bytes = entry.encode();
                w.u8(1).u64(*received).u32(u32::try_from(bytes.len()).ok()?).bytes(&bytes);
            }
            Write::Put(table, key, value) => {
                row(&mut w, 2, *table, key)?;
                w.u32(u32::try_from(value.len()).ok()?).bytes(value);
            }
            Write::Delete(table, key) => row(&mut w, 3, *table, key)?,
            Write::Truncate { .. } | Write::Erase { .. } => return None,
        }
    }
    Some(w.finish())
}

fn row(w: &mut Writer, kind: u8, table: Table, key: &[u8]) -> Option<()> {
    let name = tables::name(table).as_bytes();
    w.u8(kind).u8(u8::try_from(name.len()).ok()?).bytes(name);
    w.u32(u32::try_from(key.len()).ok()?).bytes(key);
    Some(())
}

fn decode(body: &[u8]) -> Result<Vec<Write>, DecodeError> {
    let mut r = Reader::new(body);
    let mut batch = Vec::new();
    while r.remaining() > 0 {
        let write = match r.u8()? {
            1 => {
                let received = r.u64()?;
                let entry = Arc::new(Entry::decode(long(&mut r)?)?);
                Write::Append { entry, received }
            }
            kind @ (2 | 3) => {
                let name = r.u8()?;
                let table = tables::named(r.take(name.into())?).ok_or(DecodeError::Invalid("table"))?;
                let key = long(&mut r)?.to_vec();
                if kind == 2 { Write::Put(table, key, long(&mut r)?.to_vec()) } else { Write::Delete(table, key) }
            }
            _ => return Err(DecodeError::Invalid("write")),
        };
        batch.push(write);
    }
    Ok(batch)
}

fn long<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let len = r.u32()? as usize;
    r.take(len)
}

/// Bytes that a record with so long a body takes.
pub(super) fn space(body: usize) -> u64 {
    body.saturating_add(HEADER).div_ceil(PAGE).saturating_mul(PAGE) as u64
}

fn check_of(front: &[u8], body: &[u8]) -> [u8; CHECK] {
    static DOMAIN: Domain = Domain::new("cairn 2026 store journal record");
    let mut check = [0; CHECK];
    check.iter_mut().zip(DOMAIN.hash(&[front, body])).for_each(|(c, h)| *c = h);
    check
}

/// A record, whole pages.
pub(super) fn build(place: Place, body: &[u8]) -> Result<Vec<u8>, Error> {
    let len = u32::try_from(body.len()).map_err(|_| ErrorKind::InvalidInput)?;
    let space = usize::try_from(space(body.len())).map_err(|_| ErrorKind::InvalidInput)?;
    let mut w = Writer::with_capacity(space);
    w.bytes(&MAGIC).bytes(&place.id).u64(place.generation).u32(place.number).u32(len);
    let mut record = w.finish();
    let check = check_of(&record, body);
    record.extend_from_slice(&check);
    record.extend_from_slice(body);
    record.resize(space, 0);
    Ok(record)
}

/// The record at the front of some bytes, if it checks.
fn read(bytes: &[u8]) -> Option<(Place, &[u8])> {
    let mut r = Reader::new(bytes);
    let magic: [u8; 8] = r.array().ok()?;
    let place = Place { id: r.array().ok()?, generation: r.u64().ok()?, number: r.u32().ok()? };
    let len = r.u32().ok()? as usize;
    let check: [u8; CHECK] = r.array().ok()?;
    if magic != MAGIC {
        return None;
    }
    let body = r.take(len).ok()?;
    (check == check_of(bytes.get(..FRONT)?, body)).then_some((place, body))
}

/// Reads a journal; `from`: the store's id and the generation that is not in redb yet.
pub(super) fn scan(bytes: &[u8], from: Place, seal: &Seal) -> Scan {
    let mut found = Scan::default();
    if read(bytes).is_some_and(|(place, _)| place.id != from.id) {
        found.damage = Some("it belongs to another store".into());
        return found;
    }
    let mut at = 0usize;
    let mut ended = false;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let record = read(rest).filter(|(place, _)| place.id == from.id && place.generation >= from.generation);
        let length = record.map_or(PAGE, |(_, body)| usize::try_from(space(body.len())).unwrap_or(PAGE));
        if let Some((place, body)) = record {
            let follows = !ended && (place.generation, place.number) == (from.generation, found.next);
            if !follows {
                found.damage = Some("records are missing from it".into());
            }
            if place.generation == from.generation {
                match seal.open_record(place, body).map(|body| decode(&body)) {
                    Some(Ok(batch)) => found.batches.push(batch),
                    Some(Err(e)) => found.damage = Some(format!("a record: {e}")),
                    None => found.damage = Some("a record does not open with the key of this store".into()),
                }
            }
            found.next = place.number.saturating_add(1);
            found.end = at.saturating_add(length) as u64;
        } else {
            ended = true;
        }
        at = at.saturating_add(length);
    }
    found
}

/// Exchanges the bodies of two records of one page, with checks that fit then.
#[cfg(test)]
pub(super) fn exchange(journal: &mut [u8], first: usize, second: usize) {
    let taken = |n: usize| read(&journal[n * PAGE..]).map(|(place, body)| (place, body.to_vec())).unwrap();
    let ((a, a_body), (b, b_body)) = (taken(first), taken(second));
    for (n, place, body) in [(first, a, b_body), (second, b, a_body)] {
        journal[n * PAGE..][..PAGE].copy_from_slice(&build(place, &body).unwrap());
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{Author, put};
    use super::*;

    const PLACE: Place = Place { id: [7; 16], generation: 5, number: 0 };

    fn batches() -> Vec<Vec<Write>> {
        let mut author = Author::new(1, 1, 1);
        let all = tables::SMALL.into_iter().map(|table| put(table, b"key", b"value")).collect();
        let erased = Write::Append { entry: author.entry(None), received: 9 };
        vec![
            vec![author.append(b"one"), put(Table::Said, b"", b"")],
            all,
            vec![erased, Write::Delete(Table::Void, b"k".to_vec()), author.append(&[3; 9_000])],
            vec![author.append(b"last")],
        ]
    }

    fn written(batches: &[Vec<Write>], generation: u64) -> Vec<u8> {
        let records = (0u32..)
            .zip(batches)
            .map(|(number, batch)| build(Place { number, generation, ..PLACE }, &encode(batch).unwrap()).unwrap());
        records.flatten().collect()
    }

    fn text(batches: &[Vec<Write>]) -> String {
        format!("{batches:?}")
    }

    #[test]
    fn what_was_written_is_read_and_older_generations_are_not() {
        let all = batches();
        let mut bytes = written(&all, 5);
        assert_eq!(bytes.len(), 6 * PAGE);
        // Behind it stands what is left of an older, longer generation.
        bytes.extend(written(&all, 4));
        let found = scan(&bytes, PLACE, &Seal::NONE);
        assert_eq!((text(&found.batches), found.damage), (text(&all), None));
        assert_eq!((found.end, found.next), (6 * PAGE as u64, 4));
        for (bytes, generation) in [(written(&all, 4), 5), (vec![0; 9 * PAGE], 5), (vec![], 5), (vec![9; 100], 1)] {
            let found = scan(&bytes, Place { generation, ..PLACE }, &Seal::NONE);
            assert_eq!((found.batches.len(), found.damage, found.end), (0, None, 0));
        }
    }

    #[test]
    fn a_torn_tail_is_normal_and_a_hole_is_damage() {
        let all = batches();
        let whole = written(&all, 5);
        let starts = [0, PAGE, 2 * PAGE, 5 * PAGE];
        for (n, start) in starts.into_iter().enumerate() {
            for at in [0, 9, 24, 33, 41, 60, 90] {
                let mut bytes = whole.clone();
                bytes[start + at] ^= 1;
                // As the last record, it was being written.
                let end = starts.get(n + 1).copied().unwrap_or(whole.len());
                let mut last = bytes[..end].to_vec();
                last.resize(9 * PAGE, 0);
                let found = scan(&last, PLACE, &Seal::NONE);
                assert_eq!((text(&found.batches), found.end), (text(&all[..n]), start as u64), "{n} {at}");
                assert_eq!(found.damage, None, "{n} {at}");
                let found = scan(&bytes, PLACE, &Seal::NONE);
                if n < 3 {
                    assert_eq!(found.batches.len(), 3, "what follows is read all the same");
                    assert!(found.damage.is_some(), "{n} {at}");
                }
            }
        }
    }

    #[test]
    fn another_stores_journal_and_a_later_generation_are_damage() {
        let all = batches();
        let found = scan(&written(&all, 5), Place { id: [8; 16], ..PLACE }, &Seal::NONE);
        assert_eq!((found.batches.len(), found.damage.as_deref()), (0, Some("it belongs to another store")));
        let found = scan(&written(&all, 6), PLACE, &Seal::NONE);
        assert_eq!((found.batches.len(), found.damage.is_some()), (0, true));
    }

    #[test]
    fn large_batches_and_cuts_go_elsewhere() {
        let mut author = Author::new(1, 1, 1);
        let cut = Write::Truncate { space: author.space, log: author.log, from: 1 };
        let erase = Write::Erase { space: author.space, log: author.log, from: 1, upto: 1 };
        for batch in [vec![cut], vec![put(Table::Said, b"", b""), erase], author.appends(3, JOURNAL_BATCH / 2)] {
            assert!(encode(&batch).is_none());
        }
        assert!(encode(&author.appends(1, JOURNAL_BATCH / 2)).is_some());
    }

    #[test]
    fn no_bytes_make_it_panic() {
        use rand::{RngExt, SeedableRng};
        let whole = written(&batches(), 5);
        for seed in 0..500 {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let mut bytes = whole.clone();
            for _ in 0..rng.random_range(1..6) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            bytes.truncate(rng.random_range(0..=bytes.len()));
            let _ = scan(&bytes, PLACE, &Seal::NONE);
            let _ = decode(&bytes);
            // Bodies that check but say something else.
            let len = rng.random_range(0..300);
            let body: Vec<u8> = (0..len).map(|_| rng.random_range(0..5)).collect();
            let _ = scan(&build(PLACE, &body).unwrap(), PLACE, &Seal::NONE);
        }
    }
}
