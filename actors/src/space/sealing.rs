//! The keys of a space: which one a message is sealed with, what is to be written into the control log for that, what
//! keys that came open, and who is still to get one. Direct spaces and groups are sealed; a commons is not, and has none.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cairn_crdt::document::Outcome;
use cairn_crdt::entry::Entry;
use cairn_crdt::epochs::{Choice, DAILY_MS, Due, Entitled, Epochs, Fixed, Lacking, delay_ms};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, EntryHash, EpochId, Kind, PrincipalId, SpaceId};
use cairn_crdt::kinds::control::{KeyOperation, Operation, SLACK_MS};
use cairn_crdt::period::period_of;
use cairn_crdt::replica::lies_in;
use cairn_crdt::roster::Roster;
use cairn_crdt::seal::{EpochSecret, Keys, Prekey};
use cairn_crdt::sync::frame::MAX_LACKED;

use super::{Applied, Space};
use crate::limits::{KEY_LEAST, KEYS_ASKED, SHARES_AT_ONCE};
use crate::secrets;
use crate::store::{Store, StoreError, Write};
use crate::wiring::Wiring;

/// How long a choice of key holds while nothing new is known, in milliseconds.
const CHOICE_MS: u64 = 60_000;
/// Keys sealed again for those who asked that are remembered.
const ANSWERED: usize = 4096;

/// Who is entitled to the keys of a space: two, or the members of a group.
enum Who<'a> {
    Pair(&'a Fixed),
    Group(&'a Roster),
}

impl<'a> Who<'a> {
    fn of(pair: &'a Fixed, roster: Option<&'a Roster>) -> Self {
        roster.map_or(Self::Pair(pair), Self::Group)
    }

    /// Whether those who come later get what was sealed before.
    fn gives_history(&self) -> bool {
        match self {
            Self::Pair(_) => true,
            Self::Group(roster) => roster.gives_history(),
        }
    }
}

impl Entitled for Who<'_> {
    fn now(&self) -> BTreeSet<PrincipalId> {
        match self {
            Self::Pair(pair) => pair.now(),
            Self::Group(roster) => roster.now(),
        }
    }

    fn then(&self, parents: &[EntryHash]) -> Option<BTreeSet<PrincipalId>> {
        match self {
            Self::Pair(pair) => pair.then(parents),
            Self::Group(roster) => roster.then(parents),
        }
    }

    fn counts(&self, operation: &EntryHash) -> bool {
        match self {
            Self::Pair(pair) => pair.counts(operation),
            Self::Group(roster) => roster.counts(operation),
        }
    }
}

/// The keys of a space that is sealed.
#[derive(Debug)]
pub(super) struct Sealing {
    space: SpaceId,
    me: DeviceId,
    epochs: Epochs,
    /// The two of a direct space.
    pair: Fixed,
    /// Made here and on its way into the control log: the one to use meanwhile.
    pending: Option<EpochId>,
    /// Made here, and perhaps not in the control log: the next one to use.
    spare: Option<EpochId>,
    /// Keys that the store may not have.
    unsaved: BTreeSet<EpochId>,
    /// The number of our last prekey in the control log, and of the last one on its way there.
    published: u32,
    publishing: u32,
    /// Epochs on their way to devices, by the entries that bring them there.
    under_way: BTreeMap<EpochId, BTreeSet<DeviceId>>,
    /// What was chosen last, and when: it is asked for with each message, and seldom another.
    chosen: Cell<Option<(u64, Choice)>>,
    /// Until when no other key is made because of age.
    made_until: Duration,
    /// Keys that were sealed again to a prekey because its device asked.
    answered: BTreeSet<(EpochId, [u8; 32])>,
    /// Until when nobody's word is taken that keys were lost.
    deaf_until: Duration,
}

impl Sealing {
    /// The keys of a space, of a group or between two, as the store has them.
    pub(super) fn load(space: SpaceId, peer: Option<DeviceId>, wiring: &Wiring) -> Result<Self, StoreError> {
        let pair = Fixed(peer.into_iter().chain([wiring.me]).map(|device| device.principal()).collect());
        let mut sealing = Self {
            space,
            me: wiring.me,
            epochs: Epochs::new(space, wiring.me),
            pair,
            pending: None,
            spare: None,
            unsaved: BTreeSet::new(),
            published: 0,
            publishing: 0,
            under_way: BTreeMap::new(),
            chosen: Cell::default(),
            made_until: Duration::ZERO,
            answered: BTreeSet::new(),
            deaf_until: Duration::ZERO,
        };
        sealing.read(wiring.store.as_ref())?;
        Ok(sealing)
    }

    fn read(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let (secrets, dropped) = secrets::of(&self.space, store)?;
        for secret in secrets {
            self.epochs.hold(secret);
        }
        dropped.iter().for_each(|epoch| self.epochs.forget(epoch));
        Ok(())
    }

    /// Takes operations of the control log in; answers the epochs whose keys came with them.
    fn take(&mut self, operations: Vec<KeyOperation>, roster: Option<&Roster>, wiring: &Wiring) -> Vec<EpochId> {
        for operation in &operations {
            match &operation.operation {
                Operation::Prekey(prekey) if operation.by == self.me => {
                    self.published = self.published.max(prekey.number);
                    wiring.prekeys.ring().seen(prekey);
                }
                Operation::Epoch { epoch, shares } => {
                    if operation.by == self.me {
                        // Its secret came to the store with it or before.
                        self.unsaved.remove(epoch);
                    }
                    self.pending = self.pending.filter(|p| p != epoch);
                    if let Some(devices) = self.under_way.get_mut(epoch) {
                        devices.retain(|device| !shares.contains_key(device));
                    }
                }
                _ => {}
            }
        }
        self.under_way.retain(|_, devices| !devices.is_empty());
        self.epochs.extend(operations, &Who::of(&self.pair, roster));
        let opened = self.epochs.open(&wiring.prekeys.ring());
        self.unsaved.extend(&opened);
        self.chosen.set(None);
        opened
    }

    /// What was on its way may not have come to the disk.
    pub(super) fn failed(&mut self) {
        // The key may lie on the disk with a message: it is the next one to be published.
        self.spare = self.pending.take().or(self.spare);
        self.publishing = 0;
        self.under_way.clear();
    }

    /// The control log is read anew: what of it is known is forgotten, the keys are not.
    pub(super) fn reset(&mut self) {
        self.epochs = self.epochs.without_log();
        self.chosen.set(None);
        self.failed();
        self.published = 0;
    }

    /// Who belongs to the group changed: what was made for those of before is looked at again.
    pub(super) fn roster_changed(&mut self) {
        self.pending = None;
        self.chosen.set(None);
    }

    /// Which key a writer uses by the control log.
    fn choose(&self, now: u64, roster: Option<&Roster>) -> Choice {
        let lately = |at: u64| (at..at.saturating_add(CHOICE_MS)).contains(&now);
        if let Some((_, choice)) = self.chosen.get().filter(|(at, _)| lately(*at)) {
            return choice;
        }
        let choice = self.epochs.choose(now, &Who::of(&self.pair, roster));
        self.chosen.set(Some((now, choice)));
        choice
    }

    /// The key that a message is sealed with now.
    fn current(&self, now: u64, roster: Option<&Roster>) -> Option<EpochId> {
        self.pending.or_else(|| self.choose(now, roster).epoch).filter(|epoch| self.epochs.key(epoch).is_some())
    }

    /// Lets go of a key for good.
    pub(super) fn forget(&mut self, epoch: &EpochId) {
        self.epochs.forget(epoch);
        self.unsaved.remove(epoch);
        self.chosen.set(None);
    }

    /// What publishes our last prekey here, if it is not on its way already. Nothing may be sealed to one that could be
    /// lost: whoever writes the entry writes the ring with it.
    pub(super) fn publish(&mut self, wiring: &Wiring) -> Option<Operation> {
        let (prekey, _) = wiring.prekeys.last()?;
        self.epochs.publish(&prekey);
        if prekey.number <= self.published.max(self.publishing) {
            return None;
        }
        self.publishing = prekey.number;
        Some(Operation::Prekey(prekey))
    }

    /// Makes a key, or takes one that did not get into the control log, and answers what publishes it.
    fn make(&mut self, roster: Option<&Roster>, wiring: &Wiring) -> Vec<Operation> {
        let who = Who::of(&self.pair, roster);
        // In a group it may have been made for others than those of now.
        if let Some(epoch) = self.spare.take().filter(|_| roster.is_none())
            && let Some(lost) = self.epochs.unshown(&who).into_iter().find(|l| l.epoch == epoch)
        {
            let again = self.epochs.seal_again(&lost, &wiring.env.random(), &who);
            if !again.is_empty() {
                self.pending = Some(epoch);
                return again;
            }
        }
        let secret = EpochSecret::new(wiring.env.random());
        let Ok(made) = self.epochs.make(secret, &wiring.env.random(), &who) else { return Vec::new() };
        let id = self.epochs.hold(made.epoch.secret().clone());
        self.pending = Some(id);
        self.unsaved.insert(id);
        made.operations
    }

    /// What a device says to lack, and can have: each key once for each of its prekeys.
    fn asked(&mut self, device: &DeviceId, epochs: &[EpochId], roster: Option<&Roster>) -> Vec<Lacking> {
        let who = Who::of(&self.pair, roster);
        let Some(public) = self.epochs.prekey(device).map(|prekey| prekey.public) else { return Vec::new() };
        let mut asked = self.epochs.asked(device, epochs, &who);
        // Whoever came later gets no more by asking.
        let due = |epoch: &EpochId| who.gives_history() || self.epochs.made_for(epoch, &device.principal(), &who);
        asked.retain(|lacking| due(&lacking.epoch));
        if self.answered.len() > ANSWERED {
            self.answered.clear();
        }
        asked.retain(|lacking| self.answered.insert((lacking.epoch, public)));
        asked
    }

    /// Seals again what others lack.
    fn again(&mut self, lacking: Vec<Lacking>, roster: Option<&Roster>, wiring: &Wiring) -> Vec<Operation> {
        let who = Who::of(&self.pair, roster);
        let mut operations = Vec::new();
        for mut lacking in lacking {
            if self.under_way.len() >= SHARES_AT_ONCE {
                break;
            }
            let under_way = self.under_way.get(&lacking.epoch);
            lacking.devices.retain(|device| !under_way.is_some_and(|devices| devices.contains(device)));
            if self.pending == Some(lacking.epoch) || lacking.devices.is_empty() {
                continue;
            }
            let again = self.epochs.seal_again(&lacking, &wiring.env.random(), &who);
            for operation in &again {
                if let Operation::Epoch { epoch, shares } = operation {
                    self.under_way.entry(*epoch).or_default().extend(shares.keys());
                }
            }
            operations.extend(again);
        }
        operations
    }
}

impl Space {
    /// The keys that open what is sealed here.
    /// Whether what is said here is sealed.
    pub fn is_sealed(&self) -> bool {
        self.sealing.is_some()
    }

    pub(super) fn keys(&self) -> Keys {
        self.sealing.as_ref().map(|s| s.epochs.keys().clone()).unwrap_or_default()
    }

    /// Takes what entries of the control log say about keys, and lets the keys that came open what waits for them.
    pub(super) fn take_keys(&mut self, run: &[Arc<Entry>], outcomes: &[Outcome], wiring: &Wiring, out: &mut Applied) {
        let control = &self.governing.control;
        let found = run.iter().zip(outcomes).filter_map(|(entry, outcome)| control.key_operation(entry, outcome));
        let operations: Vec<_> = found.collect();
        let Some(sealing) = self.sealing.as_mut() else { return };
        // In a group an operation may have waited for what its author had seen.
        let roster = self.sync.replica().roster();
        if operations.is_empty() && roster.is_none() {
            return;
        }
        out.keys |= !operations.is_empty();
        if sealing.take(operations, roster, wiring).is_empty() {
            return;
        }
        let from = self.chat.locked_from(&self.me).map(|key| key.stamp);
        let unlocked = self.unlock();
        if unlocked > 0 {
            out.unlocked = out.unlocked.saturating_add(unlocked);
            // It is shown only now.
            out.counted_from = [out.counted_from, from].into_iter().flatten().min();
        }
    }

    /// Opens what can be opened now; answers how many messages in memory waited for that.
    pub(super) fn unlock(&mut self) -> u64 {
        if self.sealing.is_none() {
            return 0;
        }
        let (keys, before) = (self.keys(), self.chat.locked());
        for document in self.chat.set_keys(&keys) {
            self.read_on_in(document);
        }
        before.saturating_sub(self.chat.locked())
    }

    /// The stamp of what is written where our clock says `hlc`: see [`Space::live`]. What was promised holds too.
    pub(super) fn stamp_of(&self, hlc: Hlc) -> Hlc {
        self.live(hlc).max(self.floor)
    }

    /// What is to be written into the control log before a message can be sealed: nothing, mostly. A key is made where
    /// there is none to use, and where it is a day old: so nothing is sealed with one for longer, and it can go with what
    /// is about that day. It is used at once; where the other side made one at the same time, there are two.
    pub fn before_writing(&mut self, hlc: Hlc, wiring: &Wiring) -> Vec<Operation> {
        let (now, mono) = (self.stamp_of(hlc).ms(), wiring.env.mono());
        let Some(sealing) = &mut self.sealing else { return Vec::new() };
        let roster = self.sync.replica().roster();
        let mut operations: Vec<_> = sealing.publish(wiring).into_iter().collect();
        let due = sealing.choose(now, roster).due.filter(|_| sealing.pending.is_none());
        // Whatever clocks do, not with each message.
        let due = due.is_some_and(|due| due != Due::Day || mono >= sealing.made_until);
        if due || sealing.current(now, roster).is_none() {
            sealing.made_until = mono.saturating_add(KEY_LEAST);
            operations.extend(sealing.make(roster, wiring));
            self.unlock();
        }
        operations
    }

    /// The ends of the control log that a message is written after: the entry on its way that makes its key, which names
    /// those before it, or else those that are known.
    pub(super) fn seen_heads(&self) -> Vec<EntryHash> {
        let pending = self.sealing.as_ref().is_some_and(|s| s.pending.is_some());
        let last = self.governing.pen.as_ref().filter(|_| pending).and_then(|pen| pen.last());
        last.map_or_else(|| self.governing.control.heads(), |last| vec![last])
    }

    /// The key that a message is sealed with now; `None`: there is none, or nothing is sealed here.
    pub(super) fn current_key(&self, hlc: Hlc) -> Option<EpochId> {
        let roster = self.sync.replica().roster();
        self.sealing.as_ref().and_then(|s| s.current(self.stamp_of(hlc).ms(), roster))
    }

    /// Lets go of the keys that nothing here needs: honest writers use one for a day, and all that is about that time is
    /// erased. Answers what keeps that.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn drop_keys(&mut self, wiring: &Wiring) -> Result<Vec<Write>, StoreError> {
        let erased = self.record().erased.union(&self.record().forgotten);
        let now = self.stamp_of(Hlc::from_ms(wiring.mesh_ms())).ms();
        let Some(sealing) = self.sealing.as_mut().filter(|_| !erased.is_empty()) else { return Ok(Vec::new()) };
        let current = sealing.current(now, self.sync.replica().roster());
        let used = |(epoch, first, last): (EpochId, Hlc, Hlc)| {
            let until = last.ms().saturating_add(DAILY_MS).saturating_add(2 * SLACK_MS);
            (epoch, first.ms().saturating_sub(2 * SLACK_MS), until)
        };
        let old = |(epoch, from, until): &(EpochId, u64, u64)| erased.covers(*from, *until) && current != Some(*epoch);
        let mut drop: Vec<_> = sealing.epochs.made().map(used).filter(old).collect();
        if drop.is_empty() {
            return Ok(Vec::new());
        }
        // A segment that goes on is read from its beginning.
        let tips = wiring.store.tips(&self.id)?.into_iter().map(|(log, _)| log.document);
        let left = tips.filter(|d| d.kind() == Kind::Chat && !lies_in(d, &erased)).filter_map(|d| period_of(&d));
        let left: BTreeSet<_> = left.map(|p| (p.start, p.end)).collect();
        drop.retain(|(_, from, until)| !left.iter().any(|(start, end)| start < until && from < end));
        drop.iter().for_each(|(epoch, ..)| sealing.forget(epoch));
        Ok(drop.iter().map(|(epoch, ..)| secrets::drop_secret(&self.id, epoch)).collect())
    }

    /// What must be stored with an entry that names a key, since the store may not have the key.
    #[must_use]
    pub fn with_key(&self, epoch: &EpochId) -> Option<Write> {
        let sealing = self.sealing.as_ref().filter(|s| s.unsaved.contains(epoch))?;
        sealing.epochs.key(epoch).map(|key| secrets::keep(&self.id, key.secret()))
    }

    /// Keys that came and are not in the store. They come again from the control log where this is lost.
    pub fn save_keys(&mut self) -> Vec<Write> {
        let Some(sealing) = &mut self.sealing else { return Vec::new() };
        let pending = sealing.pending;
        let save: Vec<_> = sealing.unsaved.extract_if(.., |epoch| Some(*epoch) != pending).collect();
        let key = |epoch: &EpochId| sealing.epochs.key(epoch).map(|key| secrets::keep(&self.id, key.secret()));
        save.iter().filter_map(key).collect()
    }

    /// A device published a prekey, beside the control log. `false`: it is not signed by that device.
    pub fn take_prekey(&mut self, device: &DeviceId, prekey: &Prekey) -> bool {
        prekey.device == *device && self.sealing.as_mut().is_some_and(|s| s.epochs.told(prekey))
    }

    /// Keys that messages here wait for, ascending, as many as one frame tells.
    #[must_use]
    pub fn lacked(&self) -> Vec<EpochId> {
        self.chat.wanted().into_iter().take(MAX_LACKED).collect()
    }

    /// Whether messages here wait for keys.
    #[must_use]
    pub fn lacks_keys(&self) -> bool {
        self.chat.locked() > 0
    }

    /// Operations about keys could not be written.
    pub fn keys_failed(&mut self) {
        if let Some(sealing) = &mut self.sealing {
            sealing.failed();
        }
    }

    /// What seals keys again to whoever should have them and does not: whose prekey was not known, and `asked`, who says to
    /// lack these (heard once in [`KEYS_ASKED`]). Only where something was written from here: else whoever sends something could make us write.
    pub fn seal_again(&mut self, asked: Option<(DeviceId, &[EpochId])>, wiring: &Wiring) -> Vec<Operation> {
        let me = self.me;
        let Some(sealing) = self.sealing.as_mut().filter(|_| self.usage.own > 0) else { return Vec::new() };
        let roster = self.sync.replica().roster();
        if roster.is_some_and(|roster| roster.role(&me.principal()).is_none()) {
            return Vec::new();
        }
        let who = Who::of(&sealing.pair, roster);
        let history = who.gives_history();
        let mut lacking = if history { sealing.epochs.unshown(&who) } else { Vec::new() };
        let others = sealing.epochs.lacking(history, &who).into_iter();
        lacking.extend(others.map(|l| Lacking { devices: l.devices.into_iter().filter(|d| *d != me).collect(), ..l }));
        let now = wiring.env.mono();
        if let Some((device, epochs)) = asked.filter(|(_, epochs)| !epochs.is_empty() && now >= sealing.deaf_until) {
            sealing.deaf_until = now.saturating_add(KEYS_ASKED);
            lacking.extend(sealing.asked(&device, epochs, roster));
        }
        sealing.again(lacking, roster, wiring)
    }

    /// How long others wait before they seal keys again that somebody else may seal too, in a group.
    #[must_use]
    pub fn seal_delay(&self, wiring: &Wiring) -> Option<Duration> {
        let members = self.sync.replica().roster()?.members().len();
        Some(Duration::from_millis(delay_ms(u64::from_be_bytes(wiring.env.random()), members)))
    }

    /// What publishes our last prekey here, where an earlier one is.
    pub fn publish_again(&mut self, wiring: &Wiring) -> Option<Operation> {
        self.sealing.as_mut().filter(|s| s.published > 0)?.publish(wiring)
    }

    /// The writes that come before an operation about keys of ours: what it names is stored with it or before.
    pub fn before_operation(&self, operation: &Operation, wiring: &Wiring) -> Vec<Write> {
        match operation {
            Operation::Prekey(_) => {
                let unsaved = wiring.prekeys.last().is_some_and(|(_, stored)| !stored);
                Vec::from_iter(unsaved.then(|| wiring.prekeys.write()))
            }
            Operation::Epoch { epoch, .. } => Vec::from_iter(self.with_key(epoch)),
            _ => Vec::new(),
        }
    }
}
