//! One conversation space of a running node: its replication, its chat, the pens it is written with, and what others
//! hold of it. Plain state and methods; the documents actor owns it and does what it asks.

mod delivery;
mod forks;
mod gone;
mod group;
pub(crate) mod saying;
mod sealing;
mod segments;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairn_crdt::author::Author;
use cairn_crdt::entry::Entry;
use cairn_crdt::frontier::NodeHash;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, DocumentId, Kind, LogId, MessageId, NetworkId, SpaceId};
use cairn_crdt::kinds::chat::{ChatAuthor, Conversation, PageAt as At};
use cairn_crdt::kinds::control::{ControlLog, Origin, Setting};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::kinds::profile::{Profile, set_name};
use cairn_crdt::known::Known;
use cairn_crdt::ledger::Ledger;
use cairn_crdt::replica::{Access, Replica, Tip};
use cairn_crdt::roster::Roster;
use cairn_crdt::seal::Keys;
use cairn_crdt::sync::SpaceSync;

use crate::limits::BATCH_BYTES;
use crate::pen::{Pen, PenError};
use crate::people::MEMBER_FOR_MS;
use crate::quota::Usage;
use crate::retention::Record;
use crate::store::{Store, StoreError, Table};
use crate::wiring::Wiring;
pub use delivery::Fate;
use delivery::Held;
use forks::Aside;
use gone::Governing;
pub use gone::Moved;
use group::Group;
pub use group::{GroupRow, Turned};
use sealing::Sealing;
use segments::Segments;

/// What a space is to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceKind {
    /// The commons of a network.
    Commons(NetworkId),
    /// With one other device.
    Direct(DeviceId),
    /// A group.
    Group(Origin),
}

/// What newly applied entries brought.
#[derive(Debug, Default)]
pub struct Applied {
    /// Messages that became visible.
    pub shown: Vec<OrderKey>,
    /// Messages of which something else is shown now: another version, other reactions.
    pub changed: Vec<OrderKey>,
    /// Who wrote entries that are no messages but say something of some.
    pub records: Vec<DeviceId>,
    /// Authors whose name came with it.
    pub named: Vec<DeviceId>,
    /// Entries that are void, with the reason.
    pub void: Vec<(LogId, u64, String)>,
    /// Entries that need a newer Cairn.
    pub unsupported: u64,
    /// How long messages are kept was set to this.
    pub setting: Option<Setting>,
    /// The control log went on: what is gone may be another part.
    pub governed: bool,
    /// Entries of a conversation that are counted and not read from the store yet.
    pub counted: usize,
    /// The lowest stamp of those of them that others wrote, and of what waits for its key.
    pub counted_from: Option<Hlc>,
    /// Messages that wait for their keys.
    pub locked: u64,
    /// Messages that waited and can be read now.
    pub unlocked: u64,
    /// The control log said something about keys.
    pub keys: bool,
    /// Somebody came into the group, left it, or has another role.
    pub roster: bool,
}

/// A space.
#[derive(Debug)]
pub struct Space {
    /// Its id.
    pub id: SpaceId,
    /// What it is.
    pub kind: SpaceKind,
    /// Its replication.
    pub sync: SpaceSync,
    /// Its messages.
    pub chat: Conversation,
    /// Whether anything was ever written here, or is on its way to the disk.
    pub registered: bool,
    /// Whether the store is known to say what this space is. Each commit of a direct one says it until one of them is
    /// durable, since any may fail.
    pub listed: bool,
    /// Summary changed since subscribers were told.
    pub dirty: bool,
    /// Logs whose durable ends changed since the last statement.
    pub owed: BTreeSet<LogId>,
    /// What devices say of themselves here.
    pub ledger: Ledger,
    /// Nothing is stamped below it here.
    pub floor: Hlc,
    /// Turns to make a statement that have come.
    pub turn: usize,
    /// The lowest place at which something arrived below the read mark since the person read on: what is at it or after
    /// it is not said to be read.
    unseen: Option<OrderKey>,
    unseen_saved: bool,
    /// Entries that came after a floor above them had been stated.
    pub(crate) late: BTreeSet<(LogId, u64)>,
    /// Nodes of frontiers that the store has.
    pub(crate) kept_nodes: BTreeSet<NodeHash>,
    /// Who brought the last of what is not read yet.
    pub brought: Option<DeviceId>,
    pens: BTreeMap<DocumentId, Pen<ChatAuthor>>,
    profiles: BTreeMap<DeviceId, Profile>,
    /// Apart, like that of the control log: most spaces have neither, and both are large.
    profile_pen: Option<Box<Pen<Author>>>,
    held: BTreeMap<DeviceId, BTreeMap<LogId, Held>>,
    pub(crate) own: BTreeMap<(LogId, u64), MessageId>,
    governing: Governing,
    group: Option<Box<Group>>,
    /// Its keys; `None`: nothing is sealed here.
    sealing: Option<Box<Sealing>>,
    me: DeviceId,
    aside: Aside,
    /// The newest stamp of each device that wrote here, in milliseconds since 1970.
    stamps: BTreeMap<DeviceId, u64>,
    /// The time that what is too old is measured from, in milliseconds since 1970.
    reference: u64,
    segments: Segments,
    /// What it takes on the disk.
    pub usage: Usage,
}

impl Space {
    /// Reads a space: the tips of its logs, its profiles, and the newest segment of its chat.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn load(id: SpaceId, kind: SpaceKind, wiring: &Wiring) -> Result<Self, StoreError> {
        let me = wiring.me;
        let access = match kind {
            SpaceKind::Commons(_) => Access::Commons,
            SpaceKind::Direct(peer) => Access::Direct(me.principal(), peer.principal()),
            SpaceKind::Group(_) => Access::Group,
        };
        let tips = wiring.store.tips(&id)?;
        let mut replica = Replica::new(id, access);
        let group = match kind {
            SpaceKind::Group(origin) => {
                replica.set_roster(Roster::new(origin));
                let row = wiring.store.get(Table::Meta, &GroupRow::key(&id))?;
                let row = row.and_then(|row| postcard::from_bytes(&row).ok());
                let row = row.unwrap_or_else(|| GroupRow::new(origin, None));
                Some(Box::new(Group::load(row, wiring.store.as_ref())?))
            }
            SpaceKind::Commons(_) | SpaceKind::Direct(_) => None,
        };
        for (log, tip) in &tips {
            replica.restore(log, Tip { seq: tip.seq, hash: tip.hash, hlc: tip.hlc });
        }
        let mut space = Self {
            id,
            kind,
            sync: SpaceSync::new(replica),
            chat: Conversation::knowing(wiring.known.clone()),
            registered: !tips.is_empty(),
            listed: false,
            dirty: false,
            owed: BTreeSet::new(),
            ledger: Ledger::new(id, me, access),
            floor: Hlc::default(),
            turn: 0,
            unseen: None,
            unseen_saved: true,
            late: BTreeSet::new(),
            kept_nodes: BTreeSet::new(),
            brought: None,
            pens: BTreeMap::new(),
            profiles: BTreeMap::new(),
            profile_pen: None,
            held: BTreeMap::new(),
            own: BTreeMap::new(),
            governing: Governing { control: ControlLog::new(access), record: Record::default(), pen: None },
            group,
            sealing: match kind {
                SpaceKind::Commons(_) => None,
                SpaceKind::Direct(peer) => Some(Box::new(Sealing::load(id, Some(peer), wiring)?)),
                SpaceKind::Group(_) => Some(Box::new(Sealing::load(id, None, wiring)?)),
            },
            me,
            aside: Aside::new(),
            stamps: BTreeMap::new(),
            reference: 0,
            segments: Segments::default(),
            usage: Usage::default(),
        };
        for (log, tip) in &tips {
            space.stamped(&log.device, tip.hlc);
        }
        space.set_reference(wiring);
        space.load_forks(wiring.store.as_ref())?;
        space.unlock();
        space.load_gone(wiring)?;
        space.usage = space.measure(wiring)?;
        space.note_spans(&tips.iter().map(|(l, t)| (*l, t.seq, t.hlc)).collect::<Vec<_>>());
        for (log, _) in tips.iter().filter(|(l, _)| l.document.kind() == Kind::Profile) {
            let entries = space.read_log(wiring.store.as_ref(), log)?;
            space.apply_profile(&log.device, &entries.into_iter().map(|s| s.entry).collect::<Vec<_>>());
        }
        space.read_held(wiring)?;
        space.read_late(wiring)?;
        space.read_statements(&tips.iter().map(|(l, _)| *l).collect::<Vec<_>>(), wiring)?;
        space.ensure(&At::Newest, 1, wiring)?;
        Ok(space)
    }

    /// Sets the time that "far ahead" is measured from: the clock here or, if that is later, the median of the newest
    /// stamps of all devices that wrote here. A laptop whose battery died and that wakes in 1970 must not hide
    /// everybody's history, and one device from the year 10889 must not move the line. While nobody else has a vote in
    /// the time, a laptop does not hide what it wrote itself, by mesh time perhaps and before its battery died. But
    /// nothing is too old because of that: the clock that it was stamped by may have been years ahead.
    pub fn set_reference(&mut self, wiring: &Wiring) {
        let mut newest: Vec<_> = self.stamps.values().copied().collect();
        newest.sort_unstable();
        let median = newest.get(newest.len().saturating_sub(1) / 2).copied().unwrap_or(0);
        let own = if wiring.mesh.agreed() { None } else { self.stamps.get(&wiring.me).copied() };
        self.reference = wiring.mesh_ms().max(median);
        self.chat.set_now(self.reference.max(own.unwrap_or(0)));
    }

    fn stamped(&mut self, device: &DeviceId, hlc: Hlc) {
        let newest = self.stamps.entry(*device).or_default();
        *newest = hlc.ms().max(*newest);
    }

    fn read_log(&self, store: &dyn Store, log: &LogId) -> Result<Vec<crate::store::Stored>, StoreError> {
        let mut all = Vec::new();
        let mut from = 1;
        loop {
            let batch = store.entries(&self.id, log, from, BATCH_BYTES * 4)?;
            let Some(last) = batch.last() else { return Ok(all) };
            from = last.entry.header().seq.saturating_add(1);
            all.extend(batch);
        }
    }

    /// Takes durable entries into the documents they belong to, or counts them where they are many.
    pub fn apply(&mut self, entries: &[Arc<Entry>], received: u64, wiring: &Wiring) -> Applied {
        let mut out = Applied::default();
        for e in entries {
            self.stamped(&e.header().log.device, e.header().hlc);
        }
        let runs: Vec<_> = entries.chunk_by(|a, b| a.header().log.document == b.header().log.document).collect();
        // Keys first: what is sealed may lie beside them.
        let is_control = |run: &&[Arc<Entry>]| run.iter().any(|e| e.header().log.document.kind() == Kind::Control);
        let (control, others): (Vec<_>, Vec<_>) = runs.into_iter().partition(is_control);
        for run in control.into_iter().chain(others) {
            let Some(first) = run.first() else { continue };
            let document = first.header().log.document;
            match document.kind() {
                // It went while it was on its way to the disk.
                _ if self.sync.replica().is_gone(&document) => {}
                Kind::Control if wiring.known.version(Kind::Control).is_some() => {
                    self.apply_control(run, wiring, &mut out)
                }
                Kind::Chat if document.chat_week().is_some() => {
                    self.apply_chat(document, run, received, wiring, &mut out);
                }
                Kind::Profile if wiring.known.version(Kind::Profile).is_some() => {
                    for one in run.chunk_by(|a, b| a.header().log.device == b.header().log.device) {
                        let device = one.first().map_or(wiring.me, |e| e.header().log.device);
                        if self.apply_profile(&device, one) {
                            out.named.push(device);
                        }
                    }
                }
                _ if is_foreign(&document, &wiring.known) => {
                    out.unsupported = out.unsupported.saturating_add(run.len() as u64);
                }
                _ => {}
            }
        }
        self.dirty |= !out.shown.is_empty() || !out.changed.is_empty() || out.unsupported > 0;
        out
    }

    fn apply_profile(&mut self, device: &DeviceId, entries: &[Arc<Entry>]) -> bool {
        let profile = self.profiles.entry(*device).or_insert_with(|| Profile::new(device));
        let before = profile.name().map(|(n, _)| n.to_owned());
        profile.apply(entries);
        profile.name().map(|(n, _)| n.to_owned()) != before
    }

    /// Entries here that need a newer Cairn: messages in memory; steps of the
    /// control log, and all of documents of kinds that are not known.
    #[must_use]
    pub fn needs_newer(&self, known: &Known) -> (u64, u64) {
        let replica = self.sync.replica();
        let unknown = replica.documents().filter(|d| is_foreign(d, known));
        let entries = unknown.map(|d| replica.frontier(&d).map(|(_, tip)| tip.seq).fold(0, u64::saturating_add));
        (self.chat.opaque(), entries.fold(self.governing.control.needs_newer(), u64::saturating_add))
    }

    /// What a device calls itself in this space, and since when.
    #[must_use]
    pub fn profile(&self, device: &DeviceId) -> Option<(&str, Hlc)> {
        self.profiles.get(device).and_then(Profile::name)
    }

    /// Every device that says its name in this space.
    pub fn profiles(&self) -> impl Iterator<Item = (DeviceId, &str, Hlc)> {
        self.profiles.iter().filter_map(|(d, p)| p.name().map(|(n, at)| (*d, n, at)))
    }

    /// Writes our name, if it is another than what this space says.
    ///
    /// # Errors
    /// [`PenError`]; nothing was written.
    pub fn write_profile(&mut self, name: &str, hlc: Hlc, wiring: &Wiring) -> Result<Option<Arc<Entry>>, PenError> {
        let before = self.profile(&wiring.me);
        if before.is_some_and(|(n, _)| n == name) {
            return Ok(None);
        }
        // The latest name counts: it must be later than one that was stamped by a clock far ahead.
        let hlc = before.map_or(hlc, |(_, at)| hlc.max(at.next()));
        let log = LogId { document: DocumentId::profile(&wiring.me), device: wiring.me, incarnation: wiring.pen() };
        let pen = match &mut self.profile_pen {
            Some(pen) => pen,
            slot => slot.insert(Box::new(Pen::open(
                &wiring.key,
                self.id,
                log,
                wiring.store.as_ref(),
                &wiring.known,
                &Keys::default(),
            )?)),
        };
        let entry = pen.write(hlc, |author| set_name(author, hlc, name))?;
        self.sync.replica_mut().admit_own(&entry);
        Ok(Some(entry))
    }

    /// A commit failed: whatever was not durable is forgotten, and what is durable is read again.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn failed(&mut self, wiring: &Wiring) -> Result<(), StoreError> {
        self.sync.failed();
        self.pens.clear();
        self.profile_pen = None;
        self.governing.pen = None;
        if let Some(sealing) = &mut self.sealing {
            sealing.failed();
        }
        self.group_failed();
        self.governing.record = Record::read(wiring.store.as_ref(), &self.id)?;
        self.load_forks(wiring.store.as_ref())?;
        for (log, tip) in wiring.store.tips(&self.id)? {
            if self.sync.replica().durable(&log).seq < tip.seq {
                self.sync.replica_mut().restore(&log, Tip { seq: tip.seq, hash: tip.hash, hlc: tip.hlc });
            }
        }
        Ok(())
    }

    /// The devices that messages here are for, without oneself, and how many of them are connected.
    #[must_use]
    pub fn members(&self, wiring: &Wiring) -> (Vec<DeviceId>, u32) {
        match self.kind {
            SpaceKind::Commons(network) => {
                let (mut members, here) = wiring.people.members(&network, wiring.env.now_ms());
                // And those of whom a lately made statement was brought, though they were never met.
                let since = wiring.mesh_ms().saturating_sub(MEMBER_FOR_MS);
                let lately = self.ledger.statements().filter(|s| s.at.ms() >= since && s.device != wiring.me);
                let known: BTreeSet<_> = members.iter().copied().collect();
                members.extend(lately.map(|s| s.device).filter(|d| !known.contains(d)));
                (members, here)
            }
            SpaceKind::Direct(peer) => {
                let here = self.sync.peers().any(|p| p == peer);
                (vec![peer], u32::from(here))
            }
            SpaceKind::Group(_) => {
                let members = self.group.as_ref().map(|group| group.come_in.clone()).unwrap_or_default();
                let here = self.sync.peers().filter(|peer| members.contains(peer)).count();
                (members, crate::api::count(here))
            }
        }
    }
}

/// Whether a document is of a kind, or named in a form, that is not known. What of chat segments is not known is counted
/// in its place.
fn is_foreign(document: &DocumentId, known: &Known) -> bool {
    match document.kind() {
        Kind::Chat => document.chat_week().is_none(),
        kind => known.version(kind).is_none(),
    }
}

#[cfg(test)]
mod tests;
