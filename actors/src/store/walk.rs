//! Walking through the file and checking what is read: redb hands out what is there, whatever became of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_crdt::entry::{Entry, payload_hash};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::fault::{Fault, guarded};
use super::pending::Pending;
use super::sealing::Seal;
use super::tables::{self, ENTRIES, EntryRow, LOG_NUMBERS, LOGS, LogRow, PAYLOADS, SCHEMA_KEY, small};
use super::{Item, Room, Stored, Table};

/// Damaged branch pages can lead in circles: keys must ascend, so that no walk is endless.
pub(super) fn ascending<K: Ord>(before: &mut Option<K>, key: K) -> Result<(), Fault> {
    match before {
        Some(before) if *before >= key => Err(out_of_order()),
        _ => {
            *before = Some(key);
            Ok(())
        }
    }
}

pub(super) fn out_of_order() -> Fault {
    Fault::Damaged("its keys are out of order".into())
}

/// Hands the entries of a log from `from` on to `each` until it answers false. Entries and payloads are walked side by
/// side, since looking up each payload would cost more than reading it.
pub(super) fn walk(
    txn: &ReadTransaction,
    seal: &Seal,
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
        let EntryRow { received, has_payload, signed } = seal.open_entry(key.value(), value.value())?;
        let payload = match &ahead {
            Some((of, bytes)) if of.value() == key.value() => {
                let bytes = seal.open_payload(key.value(), bytes.value())?;
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
pub(super) fn glance(db: &Database, seal: &Seal) -> Result<(), Fault> {
    guarded(|| {
        let txn = db.begin_read()?;
        let mut before = None;
        for row in txn.open_table(LOGS)?.iter()? {
            let (key, value) = row?;
            ascending(&mut before, *key.value())?;
            seal.open_row(key.value(), value.value())?;
        }
        txn.open_table(ENTRIES)?;
        txn.open_table(PAYLOADS)?;
        txn.open_table(LOG_NUMBERS)?;
        for table in tables::SMALL {
            txn.open_table(small(table))?;
        }
        txn.open_table(small(Table::Meta))?.get(SCHEMA_KEY)?;
        super::journal::mark(&txn)?;
        Ok(())
    })
}

/// Hands everything to `each`, until it answers false; `over`: what is not in redb yet.
pub(super) fn snapshot(
    txn: &ReadTransaction,
    seal: &Seal,
    over: Option<&Pending>,
    each: &mut dyn FnMut(Item<'_>) -> bool,
) -> Result<(), Fault> {
    for table in tables::SMALL {
        let changes: BTreeMap<_, _> = over.and_then(|p| p.rows(table, b"")).into_iter().flatten().collect();
        let mut before = None;
        for row in txn.open_table(small(table))?.iter()? {
            let (key, value) = row?;
            ascending(&mut before, key.value().to_vec())?;
            let own = table == Table::Meta && key.value() == SCHEMA_KEY;
            let changed = own || changes.contains_key(key.value());
            if !changed && !each(Item::Row(table, key.value(), &seal.open_small(table, key.value(), value.value())?)) {
                return Ok(());
            }
        }
        for (key, value) in &changes {
            if value.as_ref().is_some_and(|value| !each(Item::Row(table, key, value))) {
                return Ok(());
            }
        }
    }
    let mut added = over.map(|p| p.logs.clone()).unwrap_or_default();
    let mut before = None;
    for row in txn.open_table(LOGS)?.iter()? {
        let (key, value) = row?;
        ascending(&mut before, *key.value())?;
        let (mut go_on, mut last) = (true, None);
        let row = seal.open_row(key.value(), value.value())?;
        walk(txn, seal, &row, 1, |stored| {
            last = Some(super::tip_after(&stored.entry));
            go_on = each(Item::Entry(stored));
            Ok(go_on)
        })?;
        if go_on && last != Some(row.tip) {
            return Err(Fault::Damaged("a log does not end where it should".into()));
        }
        let id = tables::log_of(key.value()).map_err(Fault::undecodable("a log"))?;
        let more = added.remove(&id).into_iter().flatten();
        if !go_on || !more.map(Item::Entry).all(&mut *each) {
            return Ok(());
        }
    }
    let _ = added.into_values().flatten().map(Item::Entry).all(each);
    Ok(())
}

/// Reads and checks everything.
pub(super) fn verify(txn: &ReadTransaction, seal: &Seal) -> Result<(), Fault> {
    let mut before = None;
    for row in txn.open_table(LOGS)?.iter()? {
        let (key, value) = row?;
        ascending(&mut before, *key.value())?;
        let (space, log) = tables::log_of(key.value()).map_err(Fault::undecodable("a log"))?;
        let row = seal.open_row(key.value(), value.value())?;
        let (mut tip, mut bytes) = (None, 0u64);
        walk(txn, seal, &row, 1, |stored| {
            let header = stored.entry.header();
            if (header.space, header.log) != (space, log) {
                return Err(Fault::Damaged("an entry stands in another log".into()));
            }
            let next = super::follow(tip.as_ref(), &stored.entry);
            tip = Some(next.map_err(|_| Fault::Damaged("a log is not a chain".into()))?);
            bytes = bytes.saturating_add(super::stored_len(&stored.entry));
            Ok(true)
        })?;
        if (tip, bytes) != (Some(row.tip), row.bytes) {
            return Err(Fault::Damaged("a log does not end where it should".into()));
        }
    }
    for table in tables::SMALL {
        let mut before = None;
        for row in txn.open_table(small(table))?.iter()? {
            let (key, value) = row?;
            ascending(&mut before, key.value().to_vec())?;
            seal.open_small(table, key.value(), value.value())?;
        }
    }
    Ok(())
}

/// What a file of so many bytes uses: by what its logs say where that is half of it or more, else as redb counts it.
pub(super) fn room(txn: &ReadTransaction, seal: &Seal, file: u64) -> Result<Room, Fault> {
    let (mut before, mut used) = (None, 0u64);
    let logs = txn.open_table(LOGS)?;
    for row in logs.iter()? {
        let (key, value) = row?;
        ascending(&mut before, *key.value())?;
        used = used.saturating_add(seal.open_row(key.value(), value.value())?.bytes);
    }
    if used >= file / 2 {
        return Ok(Room { file, used });
    }
    let mut all = vec![
        logs.stats()?,
        txn.open_table(LOG_NUMBERS)?.stats()?,
        txn.open_table(ENTRIES)?.stats()?,
        txn.open_table(PAYLOADS)?.stats()?,
    ];
    for table in tables::SMALL {
        all.push(txn.open_table(small(table))?.stats()?);
    }
    let pages =
        all.iter().map(|s| s.stored_bytes().saturating_add(s.metadata_bytes()).saturating_add(s.fragmented_bytes()));
    Ok(Room { file, used: pages.fold(0, u64::saturating_add) })
}
