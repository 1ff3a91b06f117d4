//! Statements of the running node: made every half second where there is something to say, stored before they are sent,
//! and taken from others.

use std::sync::atomic::Ordering;

use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, SpaceId};
use cairn_crdt::kinds::chat::PageAt as At;
use cairn_crdt::ledger::Output;
use cairn_crdt::ledger::note::Note;
use cairn_crdt::statement::{Signed, StatementError};
use cairn_crdt::sync::frame::Frame;

use super::DocumentsState;
use super::commits::Ticket;
use crate::limits::{STATEMENT_PEERS, STATEMENT_TURNS};
use crate::sessions::SessionsMsg;
use crate::space::SpaceKind;
use crate::store::{Table, Write};
use crate::truth::REFRESH_MS;

impl DocumentsState {
    /// Half a second has passed: says what there is to say in every space.
    pub(super) fn make_statements(&mut self) {
        let tells_reading = self.wiring.read_receipts.load(Ordering::Relaxed);
        for id in self.spaces.keys().copied().collect::<Vec<_>>() {
            let (at, mark) = (self.stamp(), self.read_mark(&id));
            // Below the floor nothing of ours may be still on its way to the disk.
            let floor = self.in_flight(id).map_or(at, |stamp| stamp.min(at)).min(self.certain(id));
            let (key, incarnation, now) = (self.wiring.key.clone(), self.wiring.pen(), self.wiring.mesh_ms());
            let me = self.wiring.me;
            let Some(sp) = self.spaces.get_mut(&id) else { continue };
            sp.frontier_changed();
            let last = sp.ledger.statement(&me).copied();
            let stale = last.is_some_and(|l| now >= l.at.ms().saturating_add(REFRESH_MS));
            let newest =
                if sp.ledger.has_floors() { sp.chat.page(&At::Newest, 1).messages.last().map(|m| m.key) } else { None };
            let moves = last.is_none_or(|l| floor > l.floor);
            let open = moves && newest.is_some_and(|k| sp.ledger.safe(&me) <= k.stamp && now > k.stamp.ms());
            let read = if tells_reading { sp.read_position(mark) } else { None };
            sp.turn = sp.turn.wrapping_add(1);
            if is_due(sp.turn, sp.sync.peers().count())
                && let Some(statement) = sp.ledger.draft(incarnation, at, floor, read, stale || open)
            {
                sp.floor = sp.floor.max(statement.floor);
                let signed = Signed::sign(statement, &id, &key);
                let value = [&statement.floor.0.to_be_bytes()[..], &signed.encode()].concat();
                let write = Write::Put(Table::Statements, [&id.0[..], &me.0].concat(), value);
                self.commit(vec![write], Ticket::Stated { space: id, signed: Box::new(signed) });
            }
            let Some(sp) = self.spaces.get_mut(&id) else { continue };
            sp.ledger.tick(sp.sync.replica());
            // What is final stays so after a crash.
            let mut writes = if sp.ledger.has_floors() { sp.statement_writes() } else { Vec::new() };
            writes.extend(sp.unseen_write());
            self.commit_small(writes);
            self.carry_out_ledger(id);
        }
    }

    /// The time that no clock here is likely to be wrong about: a floor binds for ever, and a laptop that woke up alone
    /// years ahead must not be bound to write there. Where nobody else has a vote in the time, only what the other
    /// side's clock shows as well.
    fn certain(&self, space: SpaceId) -> Hlc {
        if self.wiring.mesh.agreed() {
            return Hlc(u64::MAX);
        }
        let Some(SpaceKind::Direct(peer)) = self.spaces.get(&space).map(|sp| sp.kind) else { return Hlc(0) };
        let ahead = self.wiring.people.peer(&peer).and_then(|p| p.clock_offset_ms);
        ahead.map_or(Hlc(0), |ms| Hlc::from_ms(self.wiring.mesh_ms().saturating_add_signed(ms)))
    }

    /// The lowest stamp of our own entries of a space that are not in its frontier yet.
    fn in_flight(&self, space: SpaceId) -> Option<Hlc> {
        let said = self.tickets.values().filter_map(|t| match t {
            Ticket::Said { entry, .. } | Ticket::Control { entry, .. } | Ticket::Amended { entry, .. }
                if entry.header().space == space =>
            {
                Some(entry.header().hlc)
            }
            _ => None,
        });
        let fresh = self.fresh.get(&space).into_iter().flatten().map(|(entry, _)| entry.header().hlc);
        said.chain(fresh).min()
    }

    /// Our statement is durable, or could not be stored.
    pub(super) fn stated(&mut self, space: SpaceId, signed: Option<Signed>) {
        if let Some(sp) = self.spaces.get_mut(&space) {
            match signed {
                Some(signed) => sp.ledger.stated(signed),
                None => sp.ledger.not_stated(),
            }
        }
        self.carry_out_ledger(space);
    }

    pub(super) fn note(&mut self, peer: DeviceId, space: SpaceId, note: Note) {
        if let Some(sp) = self.spaces.get_mut(&space) {
            sp.ledger.received(peer, note);
        }
        self.carry_out_ledger(space);
    }

    /// Stores what is known of others: what is lost of it is told again.
    pub(super) fn write_statements(&mut self) {
        let writes: Vec<_> = self.spaces.values_mut().flat_map(crate::space::Space::statement_writes).collect();
        self.commit_small(writes);
    }

    /// Does what a space's ledger asks for.
    pub(super) fn carry_out_ledger(&mut self, space: SpaceId) {
        let Some(sp) = self.spaces.get_mut(&space) else { return };
        let outputs = sp.ledger.take();
        let mut news = std::collections::BTreeSet::new();
        for output in outputs {
            match output {
                Output::Send(to, note) => {
                    let body = bytes::Bytes::from(Frame::Note(note).encode());
                    for peer in to {
                        let Some(p) = self.peers.get(&peer) else { continue };
                        if p.info.outbox.push(space, body.clone()).is_err()
                            && let Some(sp) = self.spaces.get_mut(&space)
                        {
                            sp.sync.behind(peer);
                        }
                    }
                }
                Output::News(device) => drop(news.insert(device)),
                Output::Refused(peer, why @ StatementError::BadSignature) => {
                    self.wiring.sessions.cast(SessionsMsg::Misbehaved { peer, why: why.to_string() });
                }
                Output::Refused(peer, why) => tracing::debug!(peer = %peer.short(), %why, "a statement was not taken"),
                Output::Contradicted(pair) => self.contradicted(space, *pair),
                Output::Elsewhere(floor, stated_by) => {
                    // What we write as stated what we do not know: nothing is written under it any more.
                    if stated_by == self.wiring.pen() {
                        self.go_on_elsewhere();
                    }
                    let wiring = self.wiring.clone();
                    let late = self.spaces.get_mut(&space).map(|sp| sp.floor_elsewhere(floor, stated_by, &wiring));
                    self.commit_small(late.unwrap_or_default());
                }
            }
        }
        news.remove(&self.wiring.me);
        for device in news {
            let logs = self.spaces.get(&space).map(|sp| sp.own_held(&device)).unwrap_or_default();
            self.peer_holds(space, device, Some(&logs));
            let Some(sp) = self.spaces.get_mut(&space) else { return };
            let (read, writes) = sp.reads(&device, &self.wiring.me);
            self.held.extend(writes);
            self.tell_delivery(space, &read);
        }
    }
}

/// Whether it is the turn of a statement in a space of so many peers: in a larger room fewer turns are
/// ([`STATEMENT_PEERS`]), but one in [`STATEMENT_TURNS`] always is.
fn is_due(turn: usize, peers: usize) -> bool {
    turn.is_multiple_of((1 + peers / STATEMENT_PEERS).min(STATEMENT_TURNS))
}

#[cfg(test)]
mod tests {
    use super::is_due;

    #[test]
    fn few_are_told_at_every_turn_and_many_seldom() {
        let in_twelve = |peers| (1..=12).filter(|turn| is_due(*turn, peers)).count();
        assert_eq!([0, 1, 7, 8, 16, 50, 511].map(in_twelve), [12, 12, 12, 6, 4, 1, 0]);
        assert!(is_due(32, 511), "within sixteen seconds among the most that a node speaks with");
    }
}
