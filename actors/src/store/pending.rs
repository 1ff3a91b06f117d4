//! What stands in the journal and not in redb yet, kept in memory: added entries at the ends of logs, changed rows of
//! small tables. Reads lay it over what redb holds; see `reads`.

use std::collections::BTreeMap;

use cairn_crdt::ids::{LogId, SpaceId};

use super::fault::Fault;
use super::{Row, Stored, Table, Tip, Write};

/// A key and its new value; `None` where the row is gone.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// The batches of one generation together.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    /// The generation of the journal in which these are.
    pub generation: u64,
    /// Entries at the ends of logs; no list is empty.
    pub logs: BTreeMap<(SpaceId, LogId), Vec<Stored>>,
    /// Rows by table and key; `None` where the row is gone.
    pub small: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.logs.is_empty() && self.small.is_empty()
    }

    /// The tip of a log that has added entries.
    pub(super) fn tip(&self, space: &SpaceId, log: &LogId) -> Option<Tip> {
        self.logs.get(&(*space, *log)).and_then(|added| tip_of(added))
    }

    /// Whether every append of a batch follows its log; `in_redb` tells the tips there.
    pub(super) fn check(
        &self,
        batch: &[Write],
        mut in_redb: impl FnMut(&SpaceId, &LogId) -> Result<Option<Tip>, Fault>,
    ) -> Result<(), Fault> {
        let mut tips: BTreeMap<(SpaceId, LogId), Tip> = BTreeMap::new();
        for write in batch {
            let Write::Append { entry, .. } = write else { continue };
            let (space, log) = (entry.header().space, entry.header().log);
            let tip = match tips.get(&(space, log)).copied().or_else(|| self.tip(&space, &log)) {
                Some(tip) => Some(tip),
                None => in_redb(&space, &log)?,
            };
            tips.insert((space, log), super::follow(tip.as_ref(), entry).map_err(Fault::Refused)?);
        }
        Ok(())
    }

    /// Takes in a batch that was checked; cuts and erasures are not among what it does.
    pub(super) fn take(&mut self, batch: &[Write]) {
        for write in batch {
            match write {
                Write::Append { entry, received } => {
                    let added = self.logs.entry((entry.header().space, entry.header().log)).or_default();
                    added.push(Stored { entry: entry.clone(), received: *received });
                }
                Write::Put(table, key, value) => {
                    self.small.insert((*table, key.clone()), Some(value.clone()));
                }
                Write::Delete(table, key) => {
                    self.small.insert((*table, key.clone()), None);
                }
                Write::Truncate { .. } | Write::Erase { .. } => {}
            }
        }
    }

    /// All of it as one batch.
    pub(super) fn writes(&self) -> Vec<Write> {
        let appends = self.logs.values().flatten();
        let appends = appends.map(|s| Write::Append { entry: s.entry.clone(), received: s.received });
        let rows = self.small.iter().map(|((table, key), value)| match value {
            Some(value) => Write::Put(*table, key.clone(), value.clone()),
            None => Write::Delete(*table, key.clone()),
        });
        appends.chain(rows).collect()
    }

    /// What is in redb by now is forgotten; the next generation begins.
    pub(super) fn emptied(&mut self, generation: u64) {
        self.logs.clear();
        self.small.clear();
        self.generation = generation;
    }

    /// The logs of a space with their tips, ascending; `None` where there are none.
    pub(super) fn tips(&self, space: &SpaceId) -> Option<Vec<(LogId, Tip)>> {
        let first = self.logs.range((*space, FIRST_LOG)..).take_while(|((of, _), _)| of == space);
        let tips: Vec<_> = first.filter_map(|((_, log), added)| Some((*log, tip_of(added)?))).collect();
        (!tips.is_empty()).then_some(tips)
    }

    /// What was added to logs of a space, in bytes; `None` where nothing was.
    pub(super) fn sizes(&self, space: &SpaceId) -> Option<Vec<(LogId, u64)>> {
        let of_space = self.logs.range((*space, FIRST_LOG)..).take_while(|((of, _), _)| of == space);
        let added = |added: &[Stored]| added.iter().map(|s| super::stored_len(&s.entry)).fold(0, u64::saturating_add);
        let sizes: Vec<_> = of_space.map(|((_, log), entries)| (*log, added(entries))).collect();
        (!sizes.is_empty()).then_some(sizes)
    }

    /// Changed rows of a table whose keys begin with a prefix, ascending; `None` where there are none.
    pub(super) fn rows(&self, table: Table, prefix: &[u8]) -> Option<Vec<Change>> {
        let from = self.small.range((table, prefix.to_vec())..);
        let rows = from.take_while(|((of, key), _)| *of == table && key.starts_with(prefix));
        let rows: Vec<_> = rows.map(|((_, key), value)| (key.clone(), value.clone())).collect();
        (!rows.is_empty()).then_some(rows)
    }
}

/// The least log there can be.
const FIRST_LOG: LogId = LogId {
    document: cairn_crdt::ids::DocumentId([0; 18]),
    device: cairn_crdt::ids::DeviceId([0; 32]),
    incarnation: cairn_crdt::ids::Incarnation([0; 16]),
};

fn tip_of(added: &[Stored]) -> Option<Tip> {
    added.last().map(|stored| super::tip_after(&stored.entry))
}

/// Rows with changes laid over them; both ascend.
pub(super) fn merge(rows: Vec<Row>, changes: &[Change]) -> Vec<Row> {
    let mut merged = Vec::with_capacity(rows.len().saturating_add(changes.len()));
    let mut rows = rows.into_iter().peekable();
    for (key, value) in changes {
        while let Some(row) = rows.next_if(|(before, _)| before < key) {
            merged.push(row);
        }
        rows.next_if(|(same, _)| same == key);
        merged.extend(value.clone().map(|value| (key.clone(), value)));
    }
    merged.extend(rows);
    merged
}

/// Tips with newer ones laid over them; both ascend.
pub(super) fn merge_tips(old: Vec<(LogId, Tip)>, newer: &[(LogId, Tip)]) -> Vec<(LogId, Tip)> {
    let mut merged: BTreeMap<LogId, Tip> = old.into_iter().collect();
    merged.extend(newer.iter().copied());
    merged.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_lie_over_rows() {
        let row = |key: &str, value: &str| (key.as_bytes().to_vec(), value.as_bytes().to_vec());
        let change = |key: &str, value: Option<&str>| (key.as_bytes().to_vec(), value.map(|v| v.as_bytes().to_vec()));
        let rows = vec![row("b", "1"), row("d", "2"), row("e", "3")];
        assert_eq!(merge(rows.clone(), &[]), rows);
        let changes = vec![change("a", None), change("a1", Some("x")), change("d", Some("y")), change("e", None)];
        assert_eq!(merge(rows.clone(), &changes), [row("a1", "x"), row("b", "1"), row("d", "y")]);
        assert_eq!(merge(vec![], &[change("a", Some("x"))]), [row("a", "x")]);
        assert_eq!(merge(rows, &[change("z", Some("x"))]).len(), 4);
    }
}
