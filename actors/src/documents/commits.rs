//! What is on its way to the disk, and what happens once it is there: acknowledge, show, pass on.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_crdt::entry::Entry;
use cairn_crdt::ids::{DeviceId, SpaceId};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::statement::Signed;
use tokio::sync::OwnedSemaphorePermit;

use super::DocumentsState;
use super::again::Waiting;
use super::forks::Decision;
use super::retention::RecordChange;
use crate::api::{ApiError, Event, Group, Message, Retention};
use crate::documents::DocumentsMsg;
use crate::handle::Reply;
use crate::space::{Applied, GroupRow, SpaceKind};
use crate::store::{StoreError, Table, Write};

/// More new messages than this in one commit are told as a number.
const TOLD_ONE_BY_ONE: usize = 64;

/// Who waits for a commit, told what became of it.
pub(super) struct After(Box<dyn FnOnce(Result<(), ApiError>) + Send>);

impl After {
    /// Answers a request with `value` once the commit is there, or with its error.
    pub(super) fn reply<T: Send + 'static>(reply: Reply<T>, value: T) -> Self {
        Self::then(move |r| drop(reply.send(r.map(|()| value))))
    }

    /// Does something once the commit is there, or with its error.
    pub(super) fn then(f: impl FnOnce(Result<(), ApiError>) + Send + 'static) -> Self {
        Self(Box::new(f))
    }
}

impl std::fmt::Debug for After {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("After")
    }
}

/// Who asked for a control entry, and hears what it brought.
#[derive(Debug)]
pub(super) enum Asked {
    /// Nobody.
    Nobody,
    /// How long messages are kept.
    Retention(Reply<Retention>),
    /// What a group is; that one, wherever the entry lies.
    Group(SpaceId, Reply<Group>),
}

impl Asked {
    /// Answers with an error.
    pub(super) fn refuse(self, e: ApiError) {
        match self {
            Self::Nobody => {}
            Self::Retention(reply) => drop(reply.send(Err(e))),
            Self::Group(_, reply) => drop(reply.send(Err(e))),
        }
    }
}

/// Something on its way to the disk.
#[derive(Debug)]
pub(super) enum Ticket {
    /// Our own message.
    Said {
        /// Its entry.
        entry: Arc<Entry>,
        /// What it takes to write it again.
        message: Waiting,
    },
    /// Entries of others, or our own of another kind.
    Entries {
        /// Where.
        space: SpaceId,
        /// Who sent them; `None`: we wrote them.
        from: Option<DeviceId>,
        /// Not asked for.
        live: bool,
        /// The entries.
        entries: Vec<Arc<Entry>>,
        /// Lets the session read on.
        _permit: Option<OwnedSemaphorePermit>,
    },
    /// Our own control entry.
    Control {
        /// Where.
        space: SpaceId,
        /// The entry.
        entry: Arc<Entry>,
        /// Who asked for it.
        reply: Asked,
    },
    /// What was said of a message.
    Amended {
        /// Where.
        space: SpaceId,
        /// The entry.
        entry: Arc<Entry>,
        /// Where the message stands.
        key: OrderKey,
        /// Who asked for it.
        reply: Option<Reply<Message>>,
    },
    /// A change of what a space keeps.
    Record(RecordChange),
    /// What was decided of a log that forked.
    Forked(Decision),
    /// A branch that this device lost and somebody kept.
    Lost(SpaceId),
    /// A log of a group was cut.
    Cut(SpaceId, cairn_crdt::ids::LogId),
    /// An entry of the self space.
    Own(Arc<Entry>, Option<After>),
    /// A statement of our own.
    Stated {
        /// Of which space.
        space: SpaceId,
        /// The statement.
        signed: Box<Signed>,
    },
    /// The keys that others seal to, up to a number.
    Prekeys(u32),
    /// Something small.
    Small(Option<After>),
}

/// The error that a person or script gets for a failed commit.
pub(crate) fn store_error(e: &StoreError) -> ApiError {
    let code = match e {
        StoreError::Full => "disk_full",
        StoreError::Corrupt { .. } => "store_damaged",
        _ => "store_failed",
    };
    ApiError::new(code, e.to_string())
}

impl DocumentsState {
    /// Sends a batch to the writer; [`Self::committed`] hears of it.
    pub(super) fn commit(&mut self, writes: Vec<Write>, ticket: Ticket) {
        let number = self.next_ticket;
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.tickets.insert(number, ticket);
        let me = self.me.clone();
        let done = Box::new(move |result| drop(me.cast(DocumentsMsg::Committed(number, result))));
        match self.wiring.committer() {
            Some(c) => c.commit(writes, done),
            None => done(Err(StoreError::Io("the writer is being restarted".into()))),
        }
    }

    pub(super) fn commit_small(&mut self, writes: Vec<Write>) {
        if !writes.is_empty() {
            self.commit(writes, Ticket::Small(None));
        }
    }

    pub(super) fn commit_received(
        &mut self,
        space: SpaceId,
        from: DeviceId,
        live: bool,
        entries: Vec<Arc<Entry>>,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let (received, mesh) = (self.wiring.env.now_ms(), self.wiring.mesh_ms());
        for e in &entries {
            self.clock.observe(e.header().hlc, mesh);
        }
        self.look_for_ourselves(&entries);
        self.takes(space, &entries);
        let mut writes: Vec<_> = entries.iter().map(|entry| Write::Append { entry: entry.clone(), received }).collect();
        writes.extend(self.register(space));
        self.commit(writes, Ticket::Entries { space, from: Some(from), live, entries, _permit: permit });
    }

    /// What says in the store what a direct space or a group is, with its first entries.
    pub(super) fn register(&mut self, space: SpaceId) -> Option<Write> {
        let sp = self.spaces.get_mut(&space)?;
        sp.registered = true;
        match sp.kind {
            SpaceKind::Direct(peer) if !sp.listed => {
                Some(Write::Put(Table::Meta, [&b"direct/"[..], &space.0].concat(), peer.0.to_vec()))
            }
            SpaceKind::Group(_) if !sp.listed => sp.group_row().and_then(GroupRow::write),
            _ => None,
        }
    }

    /// A commit ended.
    pub(super) fn committed(&mut self, number: u64, result: Result<(), StoreError>) {
        let Some(ticket) = self.tickets.remove(&number) else { return };
        match (ticket, result) {
            (Ticket::Said { message: Waiting { space, id, words, .. }, .. }, Ok(()))
                if self.folded.contains_key(&space) =>
            {
                self.moved(space, id, words);
            }
            (Ticket::Said { message: Waiting { space, id, .. }, entry }, Ok(())) => {
                self.fresh.entry(space).or_default().push((entry, id));
                if !std::mem::replace(&mut self.flushing, true) {
                    // Behind whatever else the writer has answered by now.
                    let _ = self.me.cast(DocumentsMsg::Flush);
                }
            }
            (Ticket::Entries { space, from, live, entries, _permit }, Ok(())) => {
                self.durable(space, from, live, &entries);
            }
            (Ticket::Amended { space, entry, key, reply }, Ok(())) => {
                // In its place among our own entries.
                self.flush();
                self.durable(space, None, true, &[entry]);
                self.amended(space, &key, reply);
            }
            (Ticket::Control { space, entry, reply }, Ok(())) => self.control_written(space, &entry, reply),
            (Ticket::Cut(space, log), Ok(())) => self.cut_done(space, &log),
            (Ticket::Record(change), result) => self.record_written(change, result),
            (Ticket::Forked(decision), Ok(())) => self.decided(decision),
            (Ticket::Lost(space), Ok(())) => self.say_again(space),
            (Ticket::Own(entry, after), Ok(())) => {
                self.own.take(&[entry]);
                if let Some(after) = after {
                    after.0(Ok(()));
                }
            }
            (Ticket::Stated { space, signed }, Ok(())) => self.stated(space, Some(*signed)),
            (Ticket::Prekeys(number), Ok(())) => self.prekeys_stored(number),
            (Ticket::Small(after), Ok(())) => {
                if let Some(after) = after {
                    after.0(Ok(()));
                }
            }
            (ticket, Err(e)) => self.commit_failed(number, ticket, &e),
        }
        self.write_again();
    }

    /// Shows and sends our own entries that became durable, a batch a space, then answers who said them.
    pub(super) fn flush(&mut self) {
        self.flushing = false;
        for (space, said) in std::mem::take(&mut self.fresh) {
            let (entries, ids): (Vec<_>, Vec<_>) = said.into_iter().unzip();
            for part in entries.chunks(cairn_crdt::sync::frame::MAX_ENTRIES) {
                self.durable(space, None, true, part);
            }
            for id in ids {
                self.answer_said(space, id);
            }
        }
    }

    /// Stores what peers hold of our logs: at most one commit an interval, however many acknowledge.
    pub(super) fn write_held(&mut self) {
        let writes =
            std::mem::take(&mut self.held).into_iter().map(|(k, v)| Write::Put(Table::Durable, k, v)).collect();
        self.commit_small(writes);
    }

    fn commit_failed(&mut self, number: u64, ticket: Ticket, e: &StoreError) {
        tracing::error!("a commit failed: {e}");
        // What is durable stays known.
        self.flush();
        match ticket {
            Ticket::Said { message, .. } if message.helps(e) => {
                self.space_failed(message.space);
                self.wait(number, Waiting { tries: message.tries.saturating_add(1), ..message });
            }
            Ticket::Said { message: Waiting { space, id, .. }, .. } => {
                self.space_failed(space);
                for reply in self.saying.remove(&(space, id)).unwrap_or_default() {
                    let _ = reply.send(Err(store_error(e)));
                }
            }
            Ticket::Entries { space, .. }
            | Ticket::Forked(Decision { space, .. })
            | Ticket::Lost(space)
            | Ticket::Cut(space, _) => {
                self.space_failed(space);
            }
            Ticket::Stated { space, .. } => self.stated(space, None),
            Ticket::Amended { space, reply, .. } => {
                self.space_failed(space);
                if let Some(reply) = reply {
                    let _ = reply.send(Err(store_error(e)));
                }
            }
            Ticket::Control { space, reply, .. } => {
                self.space_failed(space);
                reply.refuse(store_error(e));
            }
            // Told before. Prekeys are stored with the next tick.
            Ticket::Record(_) | Ticket::Prekeys(_) => {}
            Ticket::Own(_, after) => {
                self.own.failed();
                if let Some(after) = after {
                    after.0(Err(store_error(e)));
                }
            }
            Ticket::Small(after) => {
                if let Some(after) = after {
                    after.0(Err(store_error(e)));
                }
            }
        }
    }

    pub(super) fn space_failed(&mut self, space: SpaceId) {
        let wiring = self.wiring.clone();
        self.unsure.insert(space, self.next_ticket);
        if let Some(sp) = self.spaces.get_mut(&space)
            && let Err(e) = sp.failed(&wiring)
        {
            wiring.trouble("store_read", Some(e.to_string()));
        }
        self.recount(space);
    }

    /// Entries are durable: acknowledges and passes them on, then applies and shows them.
    pub(super) fn durable(&mut self, space: SpaceId, from: Option<DeviceId>, live: bool, entries: &[Arc<Entry>]) {
        let wiring = self.wiring.clone();
        let Some(sp) = self.spaces.get_mut(&space) else { return };
        sp.listed = true;
        sp.sync.committed(from, live, entries);
        if from.is_none() {
            self.takes(space, entries);
        }
        if let Some(from) = from.filter(|_| !live) {
            self.came(space, entries.len());
            self.fetched(space, from, entries);
        }
        let Some(sp) = self.spaces.get_mut(&space) else { return };
        // One end a log, however many entries came.
        let ends: BTreeMap<_, _> = entries.iter().map(|e| (e.header().log, e.header().seq)).collect();
        sp.owed.extend(ends.keys());
        self.carry_out(space, None);
        let Some(sp) = self.spaces.get_mut(&space) else { return };
        let late = sp.note_late(entries, &wiring.me);
        let applied = sp.apply(entries, wiring.env.now_ms(), &wiring);
        if applied.counted > 0 {
            sp.brought = from.or(sp.brought);
        }
        self.commit_small(late);
        self.arrived(space, &applied);
        if let Some(peer) = from {
            self.peer_holds(space, peer, Some(&ends.into_iter().collect::<Vec<_>>()));
        }
        if from.is_some() && !live {
            self.no_messages(space, &applied);
        }
        if applied.governed {
            self.rostered(space, from.is_none());
            self.look_for_invitations(space);
        }
        self.took_in(space, from, &applied);
        self.show(space, from, &applied);
        self.keys_applied(space, &applied);
        if applied.unsupported > 0 {
            self.needs_newer(space, applied.unsupported, entries.first().map(|e| e.header().log.device));
        }
        self.catch_up_soon();
    }

    /// What came in from others below the read mark is not read because of that mark.
    fn arrived(&mut self, space: SpaceId, applied: &Applied) {
        let (me, mark) = (self.wiring.me, self.read_mark(&space));
        let Some(sp) = self.spaces.get_mut(&space) else { return };
        // Of what is not read from the store yet the places are not known; they are not below the stamps.
        let hidden = applied.counted_from.map(|stamp| OrderKey { stamp, ..OrderKey::MIN });
        sp.arrived(applied.shown.iter().filter(|k| k.device != me).copied().chain(hidden), &mark);
    }

    /// Of what was fetched some were no messages: they are not told as such.
    pub(super) fn no_messages(&mut self, space: SpaceId, applied: &Applied) {
        for device in applied.void.iter().map(|(log, ..)| &log.device).chain(&applied.records) {
            self.briefings.briefer.void(space, device);
        }
    }

    fn show(&mut self, space: SpaceId, from: Option<DeviceId>, applied: &Applied) {
        let shown = &applied.shown;
        for device in shown.iter().map(|k| k.device).collect::<std::collections::BTreeSet<_>>() {
            self.typing_ended(space, &device);
        }
        if let Some(peer) = from {
            self.ask_names(space, peer, shown);
        }
        let count = shown.len().saturating_add(applied.counted);
        if applied.counted > 0 || count > TOLD_ONE_BY_ONE {
            self.wiring.emit(Event::Messages { conversation: space, count: count as u64 });
            return;
        }
        let changed = &applied.changed;
        if changed.len() > TOLD_ONE_BY_ONE {
            self.wiring.emit(Event::Messages { conversation: space, count: changed.len() as u64 });
        } else if self.wiring.events.receiver_count() > 0 {
            let told: std::collections::BTreeSet<_> = changed.iter().collect();
            for message in told.into_iter().filter_map(|key| self.message_at(space, key)) {
                self.wiring.emit(Event::Changed(Box::new(message)));
            }
        }
        if self.wiring.events.receiver_count() > 0 {
            for key in shown {
                if let Some(message) = self.message_at(space, key) {
                    self.wiring.emit(Event::Message(Box::new(message)));
                }
            }
        }
    }

    /// Whoever wrote these and has not told us its name: its profile is asked of the peer that brought them.
    pub(super) fn ask_names(&mut self, space: SpaceId, peer: DeviceId, shown: &[OrderKey]) {
        let unnamed: std::collections::BTreeSet<_> = shown
            .iter()
            .map(|k| k.device)
            .filter(|d| *d != peer && *d != self.wiring.me && !self.wiring.people.has_name(d))
            .collect();
        if let Some(sp) = self.spaces.get_mut(&space).filter(|sp| matches!(sp.kind, SpaceKind::Commons(_))) {
            for device in unnamed {
                sp.sync.pull(peer, cairn_crdt::ids::DocumentId::profile(&device));
            }
        }
        self.carry_out(space, None);
    }

    pub(super) fn named(&mut self, space: SpaceId, device: DeviceId) {
        if let Some((name, at)) = self.spaces.get(&space).and_then(|sp| sp.profile(&device))
            && device != self.wiring.me
        {
            self.wiring.people.named(device, name, at);
            if let SpaceKind::Commons(network) = self.spaces[&space].kind {
                self.wiring.people.update(device, |r| {
                    r.networks.insert(network);
                });
            }
            if let Some(p) = self.wiring.people.peer(&device) {
                self.wiring.emit(Event::Peer(Box::new(p)));
            }
        }
    }

    /// A peer holds logs (`None`: everything we hold) of a space durably.
    pub(super) fn peer_holds(
        &mut self,
        space: SpaceId,
        peer: DeviceId,
        logs: Option<&[(cairn_crdt::ids::LogId, u64)]>,
    ) {
        let me = self.wiring.me;
        let Some(sp) = self.spaces.get_mut(&space) else { return };
        let (news, writes) = match logs {
            Some(logs) => sp.holds(peer, logs, &me),
            None => sp.holds_all(peer, &me),
        };
        self.held.extend(writes);
        self.tell_delivery(space, &news);
    }
}
