//! What became of messages, by what devices acknowledged and state: queued, carried, delivered, read. And how far our
//! own person is said to have read.

use std::collections::{BTreeMap, BTreeSet};

use cairn_crdt::ids::{DeviceId, LogId, MessageId};
use cairn_crdt::kinds::chat::MessageView;
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::replica::lies_in;

use super::Space;
use crate::api::DeliveryState;
use crate::store::{Row, StoreError, Table, Write};
use crate::wiring::Wiring;

/// How far a device is known to hold one of our logs, and to have read it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    durable: u64,
    read: u64,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// The devices that it is for, and what became of it at each. Without oneself for one's own message, without its
    /// author for another's.
    pub members: Vec<(DeviceId, DeliveryState)>,
    /// While somebody lacks it: devices beside its author that hold it.
    pub carried_by: usize,
}

impl Fate {
    /// Members who hold it.
    #[must_use]
    pub fn delivered(&self) -> usize {
        self.members.iter().filter(|(_, s)| *s >= DeliveryState::Delivered).count()
    }

    /// Members who have read it.
    #[must_use]
    pub fn read(&self) -> usize {
        self.members.iter().filter(|(_, s)| *s == DeliveryState::Read).count()
    }

    /// What became of it, in one word.
    #[must_use]
    pub fn state(&self) -> DeliveryState {
        let carried = if self.carried_by > 0 { DeliveryState::Carried } else { DeliveryState::Queued };
        let best = self.members.iter().map(|(_, s)| *s).max();
        best.filter(|s| *s >= DeliveryState::Delivered).unwrap_or(carried)
    }
}

fn row(space: &Space, peer: &DeviceId, log: &LogId, held: Held) -> Row {
    let key = [&space.id.0[..], &peer.0, &log.to_bytes()].concat();
    (key, [held.durable.to_be_bytes(), held.read.to_be_bytes()].concat())
}

/// Key of [`Table::Meta`] for the place that a space's person is said to have read no further than.
fn unseen_key(space: &Space) -> Vec<u8> {
    [&b"unseen/"[..], &space.id.0].concat()
}

impl Space {
    pub(super) fn read_held(&mut self, wiring: &Wiring) -> Result<(), StoreError> {
        for (key, value) in wiring.store.scan(Table::Durable, &self.id.0)? {
            let Some(((device, log), durable)) = key.get(32..64).zip(key.get(64..)).zip(value.first_chunk::<8>())
            else {
                continue;
            };
            // Rows of the first builds end here.
            let read = value.get(8..).and_then(|v| v.first_chunk::<8>()).copied().unwrap_or_default();
            if let (Ok(device), Ok(log)) = (<[u8; 32]>::try_from(device), <[u8; LogId::LEN]>::try_from(log)) {
                let held = Held { durable: u64::from_be_bytes(*durable), read: u64::from_be_bytes(read) };
                self.held.entry(DeviceId(device)).or_default().insert(LogId::from_bytes(&log), held);
            }
        }
        let unseen = wiring.store.get(Table::Meta, &unseen_key(self))?;
        self.unseen = unseen.and_then(|v| String::from_utf8(v).ok()).and_then(|v| v.parse().ok());
        Ok(())
    }

    /// A peer holds these logs durably up to there. Returns our own messages that this is news for, and keys
    /// and values of [`Table::Durable`] to store.
    pub fn holds(&mut self, peer: DeviceId, logs: &[(LogId, u64)], me: &DeviceId) -> (Vec<MessageId>, Vec<Row>) {
        let mut news = Vec::new();
        let mut writes = Vec::new();
        for (log, seq) in logs {
            // What a peer claims beyond what exists here says nothing about what we know.
            let seq = (*seq).min(self.sync.replica().durable(log).seq);
            let held = self.held.entry(peer).or_default().entry(*log).or_default();
            let before = held.durable;
            if seq <= before {
                continue;
            }
            held.durable = seq;
            let held = *held;
            if log.device == *me {
                news.extend(self.own.range((*log, before.saturating_add(1))..=(*log, seq)).map(|(_, id)| *id));
                writes.push(row(self, &peer, log, held));
            }
        }
        (news, writes)
    }

    /// A log was cut at `from`: nobody holds or has read what stood there. Returns rows as [`Self::holds`] does.
    pub(super) fn hold_less(&mut self, log: &LogId, from: u64) -> Vec<Row> {
        let upto = from.saturating_sub(1);
        let mut cut = Vec::new();
        for (device, logs) in &mut self.held {
            if let Some(held) = logs.get_mut(log).filter(|h| h.durable > upto || h.read > upto) {
                *held = Held { durable: held.durable.min(upto), read: held.read.min(upto) };
                cut.push((*device, *held));
            }
        }
        let ours = log.device == self.me;
        cut.into_iter().filter(|_| ours).map(|(device, held)| row(self, &device, log, held)).collect()
    }

    /// A peer holds everything that we hold.
    pub fn holds_all(&mut self, peer: DeviceId, me: &DeviceId) -> (Vec<MessageId>, Vec<Row>) {
        // What is gone there was not compared.
        let window = self.sync.window(&peer);
        let documents: Vec<_> = self.sync.replica().documents().filter(|d| !lies_in(d, &window)).collect();
        let logs: Vec<_> = documents
            .iter()
            .flat_map(|d| self.sync.replica().frontier(d).map(|(l, t)| (l, t.seq)).collect::<Vec<_>>())
            .collect();
        self.holds(peer, &logs, me)
    }

    /// Our own logs whose messages are in memory, each once.
    fn own_logs(&self) -> impl Iterator<Item = LogId> {
        let next = |after: Option<LogId>| match after {
            None => self.own.first_key_value().map(|((log, _), _)| *log),
            Some(log) => self.own.range((log, u64::MAX)..).find(|((l, _), _)| *l != log).map(|((l, _), _)| *l),
        };
        std::iter::successors(next(None), move |log| next(Some(*log)))
    }

    /// How far a device is known to hold each of our own logs whose messages are in memory.
    pub(crate) fn own_held(&self, device: &DeviceId) -> Vec<(LogId, u64)> {
        self.own_logs().map(|log| (log, self.ledger.held(device, &log))).filter(|(_, seq)| *seq > 0).collect()
    }

    /// A device said anew how far it has read. Returns our own messages that this is news for, and rows as
    /// [`Self::holds`] does: what was read once stays read.
    pub(crate) fn reads(&mut self, device: &DeviceId, me: &DeviceId) -> (Vec<MessageId>, Vec<Row>) {
        let (mut news, mut writes) = (Vec::new(), Vec::new());
        let Some(place) = self.ledger.statement(device).and_then(|s| s.read) else { return (news, writes) };
        for log in self.own_logs().collect::<Vec<_>>() {
            let stated = self.ledger.held(device, &log);
            let before = self.held.get(device).and_then(|l| l.get(&log)).copied().unwrap_or_default();
            if stated <= before.read {
                continue;
            }
            let at = |id: &MessageId| self.chat.get(&me.principal(), id).map(|m| m.key);
            let range = (log, before.read.saturating_add(1))..=(log, stated);
            let read: Vec<_> = self.own.range(range).take_while(|(_, id)| at(id).is_some_and(|k| k <= place)).collect();
            let Some(((_, last), _)) = read.last() else { continue };
            let held = Held { read: *last, durable: before.durable.max(*last) };
            news.extend(read.into_iter().map(|(_, id)| *id));
            self.held.entry(*device).or_default().insert(log, held);
            writes.push(row(self, device, &log, held));
        }
        (news, writes)
    }

    /// What became of a message at each of `members` and in all.
    #[must_use]
    pub fn fate(&self, message: &MessageView<'_>, members: &[DeviceId], me: &DeviceId) -> Fate {
        let (author, log, seq) = (message.key.device, &message.log, message.seq);
        let mut holders: BTreeSet<DeviceId> = self.ledger.holders(log, seq).collect();
        let up_to = |logs: &BTreeMap<LogId, Held>| logs.get(log).copied().unwrap_or_default();
        holders.extend(self.held.iter().filter(|(_, l)| up_to(l).durable >= seq).map(|(d, _)| *d));
        holders.insert(*me);
        holders.remove(&author);
        let has_read = |d: &DeviceId| {
            self.ledger.has_read(d, log, seq, &message.key) || self.held.get(d).is_some_and(|l| up_to(l).read >= seq)
        };
        let state = |d: &DeviceId| match (holders.contains(d), holders.is_empty()) {
            (true, _) if has_read(d) => DeliveryState::Read,
            (true, _) => DeliveryState::Delivered,
            (false, false) => DeliveryState::Carried,
            (false, true) => DeliveryState::Queued,
        };
        let own = (author != *me).then_some(*me);
        let members = members.iter().copied().chain(own).filter(|d| *d != author).map(|d| (d, state(&d)));
        let members: Vec<_> = members.collect();
        let lacking = members.is_empty() || members.iter().any(|(_, s)| *s < DeliveryState::Delivered);
        Fate { members, carried_by: if lacking { holders.len() } else { 0 } }
    }

    /// How far a device acknowledged or states that it holds a log, whose place in the tree is `place`.
    pub(crate) fn known_held(&self, device: &DeviceId, log: &LogId, place: u64) -> u64 {
        let acked = self.held.get(device).and_then(|l| l.get(log)).map_or(0, |h| h.durable);
        acked.max(self.ledger.tree(device).map_or(0, |t| t.seq_at(place, log)))
    }

    /// Every device that is known to hold something here.
    pub(crate) fn known_devices(&self) -> BTreeSet<DeviceId> {
        self.ledger.statements().map(|s| s.device).chain(self.held.keys().copied()).collect()
    }

    // --- How far our own person has read

    /// Something of others became visible at these places; `mark` is how far the person has read.
    pub(crate) fn arrived(&mut self, places: impl Iterator<Item = OrderKey>, mark: &OrderKey) {
        let lowest = places.filter(|k| k <= mark).min();
        if lowest.is_some_and(|k| self.unseen.is_none_or(|u| k < u)) {
            (self.unseen, self.unseen_saved) = (lowest, false);
        }
    }

    /// The person read on: what came in meanwhile was there to be seen.
    pub(crate) fn read_on(&mut self) {
        if self.unseen.take().is_some() {
            self.unseen_saved = false;
        }
    }

    /// The place up to which everything that is held here is read, given the read mark.
    #[must_use]
    pub(crate) fn read_position(&self, mark: OrderKey) -> Option<OrderKey> {
        let place = self.unseen.map_or(mark, |u| mark.min(u.before()));
        // What waits for its key was on no screen.
        let place = self.chat.locked_from(&self.me).map_or(place, |k| place.min(k.before()));
        Some(place).filter(|k| *k > OrderKey::MIN)
    }

    /// What the store does not say yet of [`Self::read_position`].
    pub(crate) fn unseen_write(&mut self) -> Option<Write> {
        if std::mem::replace(&mut self.unseen_saved, true) {
            return None;
        }
        let key = unseen_key(self);
        Some(match self.unseen {
            Some(place) => Write::Put(Table::Meta, key, place.to_string().into_bytes()),
            None => Write::Delete(Table::Meta, key),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_carried_only_while_nobody_it_is_for_holds_it() {
        let d = |n| DeviceId([n; 32]);
        let fate = |members: &[DeliveryState], carried_by| Fate {
            members: members.iter().enumerate().map(|(i, s)| (d(i as u8), *s)).collect(),
            carried_by,
        };
        use DeliveryState::{Carried, Delivered, Queued, Read};
        assert_eq!(fate(&[], 0).state(), Queued);
        assert_eq!(fate(&[], 1).state(), Carried, "those who count are gone for a day, and one of them has it");
        assert_eq!(fate(&[Carried, Carried], 1).state(), Carried);
        let some = fate(&[Carried, Delivered, Read, Queued], 2);
        assert_eq!((some.state(), some.delivered(), some.read()), (Read, 2, 1));
    }
}
