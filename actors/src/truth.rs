//! What a space knows from statements: its ledger read from the store, and the arithmetic of delivery and of the final
//! line over it.

use std::collections::BTreeSet;

use cairn_crdt::frontier::{End, Tree};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, LogId};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::replica::counts;

use crate::space::{Space, SpaceKind};
use crate::store::{StoreError, Table, Write};
use crate::wiring::Wiring;

/// Our statement is made again after so many milliseconds, so that others know that we were here.
pub const REFRESH_MS: u64 = 3_600_000;

impl Space {
    /// Reads the statements that were stored, and what is held here.
    pub(crate) fn read_statements(&mut self, logs: &[LogId], wiring: &Wiring) -> Result<(), StoreError> {
        self.owed.extend(logs);
        self.frontier_changed();
        for (_, value) in wiring.store.scan(Table::Statements, &self.id.0)? {
            let Some((safe, bytes)) = value.split_first_chunk::<8>() else { continue };
            // One that is damaged is brought again by whoever has it.
            let Some(signed) = self.ledger.stored(bytes) else { continue };
            if signed.statement.device == wiring.me {
                self.floor = signed.statement.floor;
            }
            self.ledger.restore(signed, Hlc(u64::from_be_bytes(*safe)), None);
        }
        Ok(())
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
        let row = |(device, signed, safe, _): cairn_crdt::ledger::Row| {
            let value = [&safe.0.to_be_bytes()[..], &signed.encode()].concat();
            Write::Put(Table::Statements, [&space.0[..], &device.0].concat(), value)
        };
        self.ledger.unsaved().into_iter().map(row).collect()
    }

    /// How far a device is known to hold each of our own logs whose messages are in memory.
    pub(crate) fn own_held(&self, device: &DeviceId) -> Vec<(LogId, u64)> {
        let own: BTreeSet<LogId> = self.own_logs().collect();
        own.into_iter().map(|log| (log, self.ledger.held(device, &log))).filter(|(_, seq)| *seq > 0).collect()
    }

    /// Whose promise is still missing before nothing can come before a message any more; `None` where nothing is ever
    /// final, since nobody knows who is a member.
    #[must_use]
    pub fn final_waits_for(&self, key: &OrderKey, me: &DeviceId) -> Option<Vec<DeviceId>> {
        let SpaceKind::Direct(peer) = self.kind else { return None };
        Some([*me, peer].into_iter().filter(|d| self.ledger.safe(d) <= key.stamp).collect())
    }
}
