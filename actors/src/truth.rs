//! What a space knows from statements: its ledger read from the store, the final line, and entries that came below it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairn_crdt::entry::Entry;
use cairn_crdt::frontier::{End, NodeHash, Tree};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, Incarnation, LogId, MessageId, SpaceId};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::ledger::contradiction::Contradiction;
use cairn_crdt::replica::counts;

use crate::space::{Space, SpaceKind};
use crate::store::{StoreError, Table, Write};
use crate::wiring::Wiring;

/// Keys of [`Table::Statements`] that hold a node of a frontier: space, this, hash.
const NODE: [u8; 1] = *b"n";
/// Nodes kept before those that no frontier uses any more are looked for.
const KEPT_NODES: usize = 1_024;
/// Keys of [`Table::Meta`] that mark a late entry: this, space, log, number.
const LATE: &[u8] = b"late/";

fn late_key(space: &SpaceId, entry: Option<(LogId, u64)>) -> Vec<u8> {
    let entry = entry.map(|(log, seq)| [&log.to_bytes()[..], &seq.to_be_bytes()].concat());
    [LATE, &space.0, &entry.unwrap_or_default()].concat()
}

/// Length of a key of [`Table::Forks`] that holds two statements: space, device, start.
const CONTRADICTION_KEY: usize = 32 + 32 + 16;

/// Our statement is made again after so many milliseconds, so that others know that we were here.
pub const REFRESH_MS: u64 = 3_600_000;

impl Space {
    /// Reads the statements that were stored, and what is held here.
    pub(crate) fn read_statements(&mut self, logs: &[LogId], wiring: &Wiring) -> Result<(), StoreError> {
        self.owed.extend(logs);
        self.frontier_changed();
        let mut nodes: BTreeMap<NodeHash, Vec<u8>> = BTreeMap::new();
        let mut statements = Vec::new();
        for (key, value) in wiring.store.scan(Table::Statements, &self.id.0)? {
            match key.get(32..).and_then(|k| k.split_first_chunk::<1>()) {
                Some((&NODE, hash)) if hash.len() == 32 => {
                    drop(<[u8; 32]>::try_from(hash).map(|hash| nodes.insert(hash, value)));
                }
                _ => statements.push(value),
            }
        }
        for value in statements {
            let Some((safe, bytes)) = value.split_first_chunk::<8>() else { continue };
            // One that is damaged is brought again by whoever has it.
            let Some((signed, root)) = self.ledger.stored(bytes) else { continue };
            if signed.statement.device == wiring.me {
                self.floor = signed.statement.floor;
            }
            let tree = root.and_then(|root| self.ledger.rebuild(root, |hash| nodes.get(hash).map(Vec::as_slice)));
            self.ledger.restore(signed, Hlc(u64::from_be_bytes(*safe)), tree);
        }
        self.kept_nodes = nodes.into_keys().collect();
        // Of each start that contradicts itself the two statements are kept; rows of logs that forked have longer keys.
        for (key, value) in wiring.store.scan(Table::Forks, &self.id.0)? {
            if key.len() == CONTRADICTION_KEY
                && let Some(pair) = Contradiction::stored(&value, &self.id)
            {
                self.ledger.restore_contradiction(pair);
            }
        }
        Ok(())
    }

    /// What keeps that a start contradicts itself.
    pub(crate) fn contradiction_write(&self, pair: &Contradiction) -> Write {
        let key = [&self.id.0[..], &pair.device().0, &pair.start().0].concat();
        Write::Put(Table::Forks, key, pair.encode())
    }

    /// Takes what became durable into our own frontier.
    pub(crate) fn frontier_changed(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        let ends: Vec<_> = owed
            .into_iter()
            .filter(|log| counts(&log.document))
            .map(|log| (log, self.sync.replica().durable(&log)))
            .map(|(log, tip)| End { log, seq: tip.seq, hash: tip.hash })
            .collect();
        self.ledger.update(&ends);
    }

    /// How many entries a device holds by its last statement that are not here, and how many are here that it has not
    /// stated to hold; `None` where it has stated nothing. What is gone here counts on neither side.
    pub(crate) fn differs(&self, device: &DeviceId) -> Option<(u64, u64)> {
        let (theirs, ours, replica) = (self.ledger.tree(device)?, self.ledger.mine(), self.sync.replica());
        let count = |a: &Tree, b: &Tree| {
            let mut n = 0u64;
            a.beyond(b, |end, there| {
                if !replica.is_gone(&end.log.document) {
                    n = n.saturating_add(end.seq.saturating_sub(there));
                }
            });
            n
        };
        Some((count(theirs, ours), count(ours, theirs)))
    }

    /// What of the ledger is not in the store yet.
    pub(crate) fn statement_writes(&mut self) -> Vec<Write> {
        let space = self.id;
        let rows = self.ledger.unsaved();
        let mut writes = Vec::new();
        let key = |hash: &NodeHash| [&space.0[..], &NODE, hash].concat();
        for (device, signed, safe, tree) in rows {
            let nodes = tree.nodes(&mut self.kept_nodes).into_iter();
            writes.extend(nodes.map(|(hash, bytes)| Write::Put(Table::Statements, key(&hash), bytes)));
            let value = [&safe.0.to_be_bytes()[..], &signed.encode(), &tree.root()].concat();
            writes.push(Write::Put(Table::Statements, [&space.0[..], &device.0].concat(), value));
        }
        if !writes.is_empty() && self.kept_nodes.len() > KEPT_NODES {
            let mut used = BTreeSet::new();
            self.ledger.trees().for_each(|t| t.hashes(&mut used));
            // Not before half of them are of no use: else each call would look through all.
            if self.kept_nodes.len() > used.len().saturating_mul(2) {
                let stale: Vec<_> = self.kept_nodes.difference(&used).collect();
                writes.extend(stale.into_iter().map(|hash| Write::Delete(Table::Statements, key(hash))));
                self.kept_nodes.retain(|hash| used.contains(hash));
            }
        }
        writes
    }

    // --- Entries below a floor

    /// Reads which entries are marked.
    pub(crate) fn read_late(&mut self, wiring: &Wiring) -> Result<(), StoreError> {
        for (key, _) in wiring.store.scan(Table::Meta, &late_key(&self.id, None))? {
            let id = key.get(LATE.len() + 32..).and_then(|k| k.split_at_checked(LogId::LEN));
            let Some((log, seq)) = id else { continue };
            if let (Ok(log), Ok(seq)) = (<[u8; LogId::LEN]>::try_from(log), <[u8; 8]>::try_from(seq)) {
                self.late.insert((LogId::from_bytes(&log), u64::from_be_bytes(seq)));
            }
        }
        Ok(())
    }

    /// Marks those of newly durable entries that their device had promised not to write any more: they stand below a
    /// floor of it, though all that it wrote before stating that floor was here.
    pub(crate) fn note_late(&mut self, entries: &[Arc<Entry>], me: &DeviceId) -> Vec<Write> {
        if !self.ledger.has_floors() {
            return Vec::new();
        }
        let late = entries.iter().map(|e| e.header()).filter(|h| h.log.device != *me && counts(&h.log.document));
        let late = late.filter(|h| h.hlc < self.ledger.safe(&h.log.device)).map(|h| (h.log, h.seq)).collect();
        self.mark_late(late)
    }

    /// Our own device stated a floor that this start of it did not know of: nothing is written below it any more, and
    /// what was is marked here as it is at others.
    pub(crate) fn floor_elsewhere(&mut self, floor: Hlc, stated_by: Incarnation, wiring: &Wiring) -> Vec<Write> {
        self.floor = self.floor.max(floor);
        if stated_by == wiring.incarnation {
            return Vec::new();
        }
        let principal = wiring.me.principal();
        let below = |id: &MessageId| self.chat.get(&principal, id).is_some_and(|m| m.sent < floor);
        let ours = self.own.iter().filter(|((log, _), id)| log.incarnation == wiring.incarnation && below(id));
        let late = ours.map(|(entry, _)| *entry).collect();
        self.mark_late(late)
    }

    fn mark_late(&mut self, late: Vec<(LogId, u64)>) -> Vec<Write> {
        let space = self.id;
        let new = late.into_iter().filter(|entry| self.late.insert(*entry));
        new.map(|entry| Write::Put(Table::Meta, late_key(&space, Some(entry)), Vec::new())).collect()
    }

    /// Whether an entry came after a floor above it had been stated.
    #[must_use]
    pub fn is_late(&self, log: &LogId, seq: u64) -> bool {
        self.late.contains(&(*log, seq))
    }

    /// Whose promise is still missing before nothing can come before a message any more; `None` where nothing is ever
    /// final, since nobody knows who is a member.
    #[must_use]
    pub fn final_waits_for(&self, key: &OrderKey, me: &DeviceId) -> Option<Vec<DeviceId>> {
        let SpaceKind::Direct(peer) = self.kind else { return None };
        Some([*me, peer].into_iter().filter(|d| self.ledger.safe(d) <= key.stamp).collect())
    }
}
