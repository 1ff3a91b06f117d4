//! A group as a node keeps it: what its control log says of who belongs to it, what lies beyond a removal and is kept aside,
//! and what this device has to say to that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, EntryHash, EpochId, Kind, LogId, SpaceId};
use cairn_crdt::kinds::control::group::MAX_CUT;
use cairn_crdt::kinds::control::{GroupOperation, Invited, Operation, Origin};
use cairn_crdt::membership::{Cut, Role};
use cairn_crdt::replica::{Admitted, Tip};
use cairn_crdt::roster::Roster;
use serde::{Deserialize, Serialize};

use super::forks::{decode_part, encode_part};
use super::{Space, SpaceKind};
use crate::limits::{BATCH_BYTES, CUT_ASIDE, SEEN_AT_ONCE};
use crate::store::{Store, StoreError, Table, Write};
use crate::wiring::Wiring;

/// What the store says of a group, beside its logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRow {
    /// What names it.
    pub origin: Origin,
    /// What it was called when it was written: for as long as its control log is not here.
    pub name: String,
    /// Who invited this device; `None`: the group was begun here.
    pub by: Option<DeviceId>,
    /// Whether the person here wants to be in: they began it or accepted, and neither left nor were removed since.
    pub wants: bool,
    /// How often this device had gone when they accepted.
    pub goings: u32,
    /// When they accepted: what was said of it before holds no more.
    pub since: Hlc,
}

impl GroupRow {
    /// A row of a group in which nobody here wants to be.
    #[must_use]
    pub fn new(origin: Origin, by: Option<DeviceId>) -> Self {
        Self { origin, name: String::new(), by, wants: false, goings: 0, since: Hlc::default() }
    }

    /// Key of [`Table::Meta`].
    #[must_use]
    pub fn key(space: &SpaceId) -> Vec<u8> {
        [&b"group/"[..], &space.0].concat()
    }

    /// The groups of a store.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be read.
    pub fn all(store: &dyn Store) -> Result<Vec<Self>, StoreError> {
        let rows = store.scan(Table::Meta, b"group/")?.into_iter();
        let row = |(key, value): (Vec<u8>, Vec<u8>)| {
            let row: Self = postcard::from_bytes(&value).ok()?;
            (key == Self::key(&row.origin.space())).then_some(row)
        };
        Ok(rows.filter_map(row).collect())
    }

    /// The row.
    #[must_use]
    pub fn write(&self) -> Option<Write> {
        let value = postcard::to_stdvec(self).ok()?;
        Some(Write::Put(Table::Meta, Self::key(&self.origin.space()), value))
    }
}

/// What a node keeps of a group.
#[derive(Debug)]
pub struct Group {
    pub(super) row: GroupRow,
    /// Members who have come in, without oneself.
    pub(super) come_in: Vec<DeviceId>,
    /// Whether this device has.
    pub(super) am_in: bool,
    /// Removals that this device says to have seen, durable or on their way.
    seen: BTreeSet<EntryHash>,
    /// Whether the operation by which this device comes in is on its way.
    accepting: bool,
    /// By log, the first entries of parts that were cut, with their lengths.
    aside: BTreeMap<LogId, BTreeMap<u64, usize>>,
    /// Who said to this device that it was removed, in the chat of the two: the group itself shares nothing with it any
    /// more. It counts as long as that one is an admin as far as is known here.
    told_out: Option<DeviceId>,
}

fn aside_key(space: &SpaceId, log: &LogId, first: u64) -> Vec<u8> {
    [&b"cut/"[..], &space.0, &log.to_bytes(), &first.to_be_bytes()].concat()
}

impl Group {
    pub(super) fn load(row: GroupRow, store: &dyn Store) -> Result<Self, StoreError> {
        let space = row.origin.space();
        let mut aside: BTreeMap<LogId, BTreeMap<u64, usize>> = BTreeMap::new();
        let prefix = [&b"cut/"[..], &space.0].concat();
        for (key, value) in store.scan(Table::Meta, &prefix)? {
            let rest = key.get(prefix.len()..).unwrap_or_default();
            if let Some((log, first)) = rest.split_first_chunk::<{ LogId::LEN }>()
                && let Ok(first) = <[u8; 8]>::try_from(first)
            {
                let parts = aside.entry(LogId::from_bytes(log)).or_default();
                parts.insert(u64::from_be_bytes(first), value.len());
            }
        }
        Ok(Self {
            row,
            come_in: Vec::new(),
            am_in: false,
            seen: BTreeSet::new(),
            accepting: false,
            aside,
            told_out: None,
        })
    }
}

/// Entries that count again, with what takes them from where they were kept.
pub type Back = (Vec<Arc<Entry>>, Vec<Write>);

/// What is to be done because of what a control log says.
#[derive(Debug, Default)]
pub struct Turned {
    /// Logs that were cut, each with what does that in the store.
    pub cut: Vec<(LogId, Vec<Write>)>,
    /// Entries that count again, with what takes them from where they were kept.
    pub back: Vec<Back>,
}

impl Space {
    /// The group that this is, as its control log says; `None` elsewhere.
    #[must_use]
    pub fn roster(&self) -> Option<&Roster> {
        self.sync.replica().roster()
    }

    /// What a group is called; empty elsewhere.
    #[must_use]
    pub fn group_name(&self) -> &str {
        let called = self.group.as_ref().map_or("", |group| group.row.name.as_str());
        self.governing.control.info().map_or(called, |info| info.name.as_str())
    }

    /// What a group is about.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.governing.control.info().map_or("", |info| info.topic.as_str())
    }

    /// What the store is to say of the group.
    #[must_use]
    pub fn group_row(&self) -> Option<&GroupRow> {
        self.group.as_ref().map(|group| &group.row)
    }

    /// Whether this device has come into the group.
    #[must_use]
    pub fn am_in(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.am_in)
    }

    /// Whether the person here wants to be in the group, and came in or waits for that.
    #[must_use]
    pub fn wants_in(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.row.wants)
    }

    /// Says what the store is to say of the group.
    pub fn set_group_row(&mut self, row: GroupRow) {
        if let Some(group) = &mut self.group {
            group.row = row;
        }
    }

    /// How often this device was removed from the group, or left it.
    #[must_use]
    pub fn times_gone(&self) -> u32 {
        let gone = self.roster().map_or(0, |roster| roster.times_gone(&self.me.principal()));
        crate::api::count(gone)
    }

    /// Whether it has gone since the person wanted in.
    #[must_use]
    pub fn has_gone_since(&self) -> bool {
        let member = self.roster().is_some_and(|roster| roster.role(&self.me.principal()).is_some());
        let goings = self.group.as_ref().filter(|group| group.row.wants).map(|group| group.row.goings);
        !member && goings.is_some_and(|goings| self.times_gone() > goings)
    }

    /// Whether a group is listed: one that this device is in or comes into, or in which something was said.
    #[must_use]
    pub fn is_shown_group(&self) -> bool {
        self.wants_in() || self.chat.total() > 0
    }

    /// The invitations in a direct space, by whom.
    pub fn invited(&self) -> impl Iterator<Item = (DeviceId, Invited)> + '_ {
        self.governing.control.invited()
    }

    /// Whether somebody's last word on an invitation into a group is no.
    #[must_use]
    pub fn has_declined(&self, who: &DeviceId, group: &SpaceId) -> bool {
        self.governing.control.has_closed(who, group)
    }

    /// The key that what is written now is sealed with.
    #[must_use]
    pub fn epoch(&self, hlc: Hlc) -> Option<EpochId> {
        self.current_key(hlc)
    }

    /// Takes note of who said to this device that it was removed. Answers whether that is news.
    pub fn set_told_out(&mut self, by: Option<DeviceId>) -> bool {
        let Some(group) = &mut self.group else { return false };
        std::mem::replace(&mut group.told_out, by) != by
    }

    /// Whether this device was told that it was removed.
    #[must_use]
    pub fn is_told_out(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.told_out.is_some())
    }

    /// When somebody said last that an invitation into a group, or the membership that came of it, holds no more.
    #[must_use]
    pub fn withdrawn(&self, by: &DeviceId, group: &SpaceId) -> Option<Hlc> {
        self.governing.control.closed_at(by, group)
    }

    /// Whether this device may write here.
    #[must_use]
    pub fn may_write(&self) -> bool {
        let Some(roster) = self.roster() else { return true };
        self.am_in() && !self.is_told_out() && roster.role(&self.me.principal()).is_some_and(|role| role > Role::Reader)
    }

    /// Whether this group is shared with a device: with all while this device does not know the group yet, since whoever
    /// does not know it recognises nothing; then with its members. Whoever is in it no more goes on sharing, so that the
    /// others hear that he left; those who know share nothing with him.
    #[must_use]
    pub fn shares_with(&self, peer: &DeviceId) -> bool {
        let (Some(roster), wants) = (self.roster(), self.wants_in()) else { return true };
        if !roster.is_known() {
            return wants;
        }
        let me = roster.role(&self.me.principal());
        roster.role(&peer.principal()).is_some() && (wants || me.is_none())
    }

    /// Takes what the control log judged since into the roster, and what follows from that for what is known here. Answers
    /// whether anybody came, went or changed.
    pub(super) fn take_roster(&mut self) -> bool {
        let fresh = self.governing.control.take_fresh();
        let came = !fresh.operations.is_empty();
        let (before, me) = (self.roster().map(|r| r.members().clone()), self.me);
        let Some(roster) = self.sync.replica_mut().roster_mut().filter(|_| came) else { return false };
        roster.extend(fresh);
        let (void, members) = (roster.void(), roster.members().clone());
        let inside: Vec<DeviceId> =
            members.keys().filter(|who| roster.has_come_in(who)).map(|who| who.founder()).collect();
        self.governing.control.set_void(void);
        self.ledger.set_members(members.keys().map(|who| who.founder()).collect());
        let changed = before.as_ref() != Some(&members);
        if changed && let Some(sealing) = &mut self.sealing {
            sealing.roster_changed();
        }
        let Some(group) = &mut self.group else { return changed };
        let am_in = inside.contains(&me);
        let come_in: Vec<_> = inside.into_iter().filter(|device| *device != me).collect();
        let moved = changed || am_in != group.am_in || come_in != group.come_in;
        (group.am_in, group.come_in) = (am_in, come_in);
        group.accepting &= !am_in;
        self.dirty |= moved;
        moved
    }

    /// What is on its way of what this device says may not have come to the disk.
    pub(super) fn group_failed(&mut self) {
        if let Some(group) = &mut self.group {
            group.seen.clear();
            group.accepting = false;
        }
    }

    /// What this device has to say to what the control log says: that it comes in, with its prekey, and which removals it
    /// has taken in.
    pub fn group_due(&mut self, wiring: &Wiring) -> Vec<Operation> {
        let me = self.me.principal();
        let Some(roster) = self.sync.replica().roster().filter(|r| r.role(&me).is_some()) else { return Vec::new() };
        let unseen = roster.unseen(&me);
        let Some(group) = &mut self.group else { return Vec::new() };
        let mut due = Vec::new();
        if !group.am_in && !group.accepting && group.row.wants {
            group.accepting = true;
            due.extend(self.sealing.as_mut().and_then(|s| s.publish(wiring)));
            due.push(Operation::Group(GroupOperation::Accept));
        }
        if !group.row.wants {
            return due;
        }
        let fresh: Vec<_> = unseen.into_iter().filter(|id| !group.seen.contains(id)).take(SEEN_AT_ONCE).collect();
        for removal in fresh {
            group.seen.insert(removal);
            due.push(Operation::Group(GroupOperation::Seen { removal }));
        }
        due
    }

    /// Whether this device must write as another start before it writes on: what it wrote here as this one was cut.
    #[must_use]
    pub fn needs_new_pen(&self, wiring: &Wiring) -> bool {
        let replica = self.sync.replica();
        let pen = wiring.pen();
        self.roster().is_some_and(|roster| roster.is_cut(&self.me))
            && replica.documents().filter(|d| d.kind() != Kind::Control).any(|document| {
                let log = LogId { document, device: self.me, incarnation: pen };
                replica.admitted(&log).seq > 0 && replica.limit(&log).is_some()
            })
    }

    /// The end of each log of somebody here, but those of the control log: up to where a removal lets them count. Of very
    /// many the newest.
    #[must_use]
    pub fn cut_of(&self, who: &DeviceId) -> Cut {
        let replica = self.sync.replica();
        let documents = replica.documents().filter(|d| d.kind() != Kind::Control);
        let logs = documents.flat_map(|d| replica.frontier(&d).collect::<Vec<_>>());
        let mut logs: Vec<_> = logs.filter(|(log, _)| log.device == *who).collect();
        logs.sort_unstable_by_key(|(_, tip)| std::cmp::Reverse(tip.hlc));
        logs.into_iter().take(MAX_CUT).map(|(log, tip)| (log, tip.seq)).collect()
    }

    /// Reads the first entries of logs of which something may be cut.
    fn read_firsts(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        for log in self.sync.replica().firsts_lacking() {
            if let Some(first) = store.entries(&self.id, &log, 1, 1)?.first() {
                self.sync.replica_mut().note_first(&first.entry);
            }
        }
        Ok(())
    }

    /// Cuts what goes further than it counts, and takes back what counts again.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn turn(&mut self, wiring: &Wiring) -> Result<Turned, StoreError> {
        let mut turned = Turned::default();
        if self.group.is_none() {
            return Ok(turned);
        }
        let store = wiring.store.as_ref();
        self.read_firsts(store)?;
        for (log, from) in self.sync.replica().beyond(&self.me) {
            let writes = self.cut_writes(&log, from, store)?;
            let durable = self.sync.replica().durable(&log);
            let last = from.saturating_sub(1);
            let tip = match store.entries(&self.id, &log, last, 1)?.first() {
                Some(stored) if last > 0 && stored.entry.header().seq == last => Tip::of(&stored.entry),
                // It is on its way to the disk still.
                _ if durable.seq < last => durable,
                _ => Tip::EMPTY,
            };
            self.sync.replica_mut().cut(&log, tip);
            turned.cut.push((log, writes));
        }
        let logs: Vec<LogId> = self.group.as_ref().map(|g| g.aside.keys().copied().collect()).unwrap_or_default();
        for log in logs {
            turned.back.extend(self.take_back(&log, store)?);
        }
        Ok(turned)
    }

    fn cut_writes(&mut self, log: &LogId, from: u64, store: &dyn Store) -> Result<Vec<Write>, StoreError> {
        let mut writes = Vec::new();
        let mut next = from;
        loop {
            let batch = store.entries(&self.id, log, next, BATCH_BYTES)?;
            let Some((first, last)) = batch.first().zip(batch.last()) else { break };
            let begins = first.entry.header().seq;
            next = last.entry.header().seq.saturating_add(1);
            let part: Vec<_> = batch.into_iter().map(|s| s.entry).collect();
            let bytes = encode_part(&part);
            let Some(group) = &mut self.group else { break };
            let kept: usize = group.aside.values().flat_map(BTreeMap::values).sum();
            if part.iter().any(|e| e.payload.is_none()) || kept.saturating_add(bytes.len()) > CUT_ASIDE {
                tracing::warn!(author = %log.device.short(), "what was cut of somebody removed is more than is kept aside");
                break;
            }
            group.aside.entry(*log).or_default().insert(begins, bytes.len());
            writes.push(Write::Put(Table::Meta, aside_key(&self.id, log, begins), bytes));
        }
        writes.push(Write::Truncate { space: self.id, log: *log, from });
        let void = [&self.id.0[..], &log.to_bytes()].concat();
        for (key, _) in store.scan(Table::Void, &void)? {
            let seq = key.get(void.len()..).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes);
            if seq >= from {
                writes.push(Write::Delete(Table::Void, key));
            }
        }
        writes.extend(self.hold_less(log, from).into_iter().map(|(key, value)| Write::Put(Table::Durable, key, value)));
        Ok(writes)
    }

    /// What of a log was kept aside and counts again.
    fn take_back(&mut self, log: &LogId, store: &dyn Store) -> Result<Option<Back>, StoreError> {
        let limit = self.sync.replica().limit(log);
        let tip = self.sync.replica().admitted(log).seq;
        if limit.is_some_and(|limit| limit <= tip) {
            return Ok(None);
        }
        let firsts: Vec<u64> =
            self.group.as_ref().and_then(|g| g.aside.get(log)).into_iter().flat_map(|p| p.keys().copied()).collect();
        let (mut entries, mut writes) = (Vec::new(), Vec::new());
        for first in firsts {
            let key = aside_key(&self.id, log, first);
            entries.extend(store.get(Table::Meta, &key)?.as_deref().and_then(decode_part).into_iter().flatten());
            writes.push(Write::Delete(Table::Meta, key));
        }
        entries.retain(|e| e.header().seq > tip && limit.is_none_or(|limit| e.header().seq <= limit));
        let new = match self.sync.replica_mut().admit(&entries) {
            Ok(Admitted::New(new)) => new,
            // Others bring it, if anybody does.
            _ => Vec::new(),
        };
        if let Some(group) = &mut self.group {
            group.aside.remove(log);
        }
        Ok(Some((new, writes)))
    }

    /// The control log is read anew: so is who belongs to the group.
    pub(super) fn reset_roster(&mut self) {
        if let SpaceKind::Group(origin) = self.kind {
            self.sync.replica_mut().set_roster(Roster::new(origin));
        }
        self.group_failed();
    }
}
