//! When sides meet again: who came back with whom, what was written on each side meanwhile, and when that is complete.
//! Pure: times come in, records come out; what they are shown as is `documents::briefings`' business.
//!
//! A device that was not heard for [`BRIEFING_APART`] and is heard again has been apart; a flap is shorter. Whoever
//! comes back within [`BRIEFING_GATHER`] of the last one belongs to the same reunion; of those, devices lost within
//! [`BRIEFING_TOGETHER`] of each other were lost together and are a side. Where this device was itself asleep or off,
//! all others are one side. A reunion is kept at once, told once there is something to tell, told again while it grows,
//! and final once digests with all who came back were equal, or after [`BRIEFING_SETTLE`].
//!
//! What was written on the other side is counted as it arrives by catching up. What is pushed live was written after
//! the sides met, whatever anybody's clock says. A record holds no text: who reads it looks the messages up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, SpaceId};
use serde::{Deserialize, Serialize};

use crate::limits::{
    BRIEFING_APART, BRIEFING_AUTHORS, BRIEFING_GATHER, BRIEFING_GATHER_MAX, BRIEFING_LACKING, BRIEFING_MEMBERS,
    BRIEFING_OFF, BRIEFING_OPEN, BRIEFING_QUIET, BRIEFING_SETTLE, BRIEFING_TOGETHER, BRIEFING_UPDATE, BRIEFING_WAKE,
};

/// Now, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970.
    pub ms: u64,
    /// Since this node started; it stands still while the machine sleeps, and never goes back.
    pub mono: Duration,
}

/// Why sides were apart, as far as this device can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Several were lost together, or this device was left alone.
    Partition,
    /// One device was away.
    Absence,
    /// This device was asleep or off.
    OwnAbsence,
}

/// A device that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    /// Until when it had been heard; `None` for one that was never met before and came with the others.
    pub heard: Option<u64>,
    /// When it came.
    pub back: u64,
}

/// What one author wrote to one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Where.
    pub space: SpaceId,
    /// Who.
    pub author: DeviceId,
    /// Who brought it; our own device for what was here.
    pub from: DeviceId,
    /// Messages.
    pub messages: u64,
    /// Entries of other kinds.
    pub changes: u64,
    /// The lowest stamp.
    pub first: Hlc,
    /// The highest stamp.
    pub last: Hlc,
}

impl Tally {
    /// The tally of one entry.
    #[must_use]
    pub fn one(space: SpaceId, author: DeviceId, from: DeviceId, stamp: Hlc, message: bool) -> Self {
        let (messages, changes) = (u64::from(message), u64::from(!message));
        Self { space, author, from, messages, changes, first: stamp, last: stamp }
    }

    /// Takes in another of the same author and space.
    pub fn add(&mut self, more: &Self) {
        self.messages = self.messages.saturating_add(more.messages);
        self.changes = self.changes.saturating_add(more.changes);
        self.first = self.first.min(more.first);
        self.last = self.last.max(more.last);
    }
}

/// A space in which a device that came back and we have not been equal yet. How much lacks on either side is by its last
/// statement, and filled in by whoever knows that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacking {
    /// Where.
    pub space: SpaceId,
    /// With whom.
    pub from: DeviceId,
    /// Entries that it holds and that are not here; `None` where it has stated nothing.
    pub entries: Option<u64>,
    /// Entries here that it has not stated to hold.
    pub owed: Option<u64>,
}

/// Edits of both sides that met at one place of a document. No kind of document has such places yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Met {
    /// Where.
    pub space: SpaceId,
    /// How many places.
    pub places: u64,
}

/// A reunion, as it is kept. Fields are only added, each with a default, so that older records are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reunion {
    /// Counts up from 1 on each device.
    pub id: u64,
    /// When the first came back, milliseconds since 1970.
    pub began: u64,
    /// Until when all were together.
    pub since: u64,
    /// Whether this device was asleep or off.
    pub own: bool,
    /// Who came back.
    pub back: BTreeMap<DeviceId, Returned>,
    /// Who was with us then, without ourselves.
    pub here: BTreeSet<DeviceId>,
    /// What arrived that was written on the other side.
    pub theirs: Vec<Tally>,
    /// What had been written here meanwhile.
    pub ours: Vec<Tally>,
    /// Entries by more authors than are told apart.
    #[serde(default)]
    pub others: u64,
    /// What is lacking: while it is not final, what is still to be compared.
    pub lacking: Vec<Lacking>,
    /// Who was there when all were together and has not come back, with the time it was last heard.
    pub absent: BTreeMap<DeviceId, u64>,
    /// Where edits met.
    #[serde(default)]
    pub met: Vec<Met>,
    /// When it last grew.
    pub updated: u64,
    /// Whether nothing more is counted.
    pub settled: bool,
    /// Whether it was worth a word. It is kept before that, so that a crash forgets nobody's return.
    pub told: bool,
    /// Whether its person has closed it.
    #[serde(default)]
    pub seen: bool,
}

impl Reunion {
    /// Why they were apart.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match (self.own, self.back.len()) {
            (true, _) => Cause::OwnAbsence,
            (false, 0 | 1) if !self.here.is_empty() => Cause::Absence,
            _ => Cause::Partition,
        }
    }

    /// Who came back with whom: the largest side first.
    #[must_use]
    pub fn sides(&self) -> Vec<Vec<DeviceId>> {
        let mut known: Vec<(u64, DeviceId)> = self.back.iter().filter_map(|(d, r)| Some((r.heard?, *d))).collect();
        known.sort_unstable();
        let together = |a: u64, b: u64| self.own || b.saturating_sub(a) <= ms(BRIEFING_TOGETHER);
        let mut sides: Vec<Vec<DeviceId>> =
            known.chunk_by(|a, b| together(a.0, b.0)).map(|side| side.iter().map(|(_, d)| *d).collect()).collect();
        sides.sort_by_key(|side| std::cmp::Reverse(side.len()));
        let new = self.back.iter().filter(|(_, r)| r.heard.is_none()).map(|(d, _)| *d);
        match sides.first_mut() {
            Some(first) => first.extend(new),
            None => sides.push(new.collect()),
        }
        sides
    }

    /// What each of [`Reunion::sides`] wrote. What somebody wrote who has not come back counts for the side that
    /// brought it; what somebody wrote who was here all the time is not theirs.
    #[must_use]
    pub fn wrote(&self) -> Vec<Vec<Tally>> {
        let sides = self.sides();
        let side_of = |d: &DeviceId| sides.iter().position(|side| side.contains(d));
        let mut out = vec![Vec::new(); sides.len()];
        for tally in self.theirs.iter().filter(|t| !self.here.contains(&t.author)) {
            let side = side_of(&tally.author).or_else(|| side_of(&tally.from)).unwrap_or(0);
            if let Some(list) = out.get_mut(side).filter(|_| tally.messages > 0 || tally.changes > 0) {
                list.push(*tally);
            }
        }
        out
    }

    /// Whether it is worth a word: the others wrote something, or the time was long.
    #[must_use]
    pub fn is_worth_telling(&self) -> bool {
        self.wrote().iter().any(|side| !side.is_empty()) || self.began.saturating_sub(self.since) >= ms(BRIEFING_QUIET)
    }
}

/// A reunion that still grows.
#[derive(Debug)]
struct Open {
    reunion: Reunion,
    began: Duration,
    last_back: Duration,
    /// When it was given out last.
    out: Option<Duration>,
    /// Whether it changed since.
    changed: bool,
    /// Spaces in which digests with a device that came back have not been equal yet.
    waiting: BTreeSet<(DeviceId, SpaceId)>,
    /// What was written is still being counted.
    counting: bool,
}

impl Open {
    fn take(&mut self, tally: &Tally, ms: u64) {
        (self.changed, self.reunion.updated) = (true, ms);
        let theirs = &mut self.reunion.theirs;
        let room = theirs.len() < BRIEFING_AUTHORS;
        match theirs.iter_mut().find(|t| t.space == tally.space && t.author == tally.author) {
            Some(t) => t.add(tally),
            None if room => theirs.push(*tally),
            None => {
                let n = tally.messages.saturating_add(tally.changes);
                self.reunion.others = self.reunion.others.saturating_add(n);
            }
        }
    }

    fn gathers(&self, now: &Now) -> bool {
        let passed = |since: Duration, limit: Duration| now.mono.saturating_sub(since) >= limit;
        !self.reunion.settled && !passed(self.last_back, BRIEFING_GATHER) && !passed(self.began, BRIEFING_GATHER_MAX)
    }
}

/// What a device that comes up is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coming {
    /// Who.
    pub peer: DeviceId,
    /// Until when it had been heard, milliseconds since 1970; `None` if it was never met.
    pub heard: Option<u64>,
    /// How long it was not heard, by the clock that stands still while the machine sleeps; `None` if it was not here
    /// since this node started.
    pub gap: Option<Duration>,
    /// Whether it shares a conversation with us.
    pub shares: bool,
}

/// Notices reunions and counts what they bring.
#[derive(Debug)]
pub struct Briefer {
    me: DeviceId,
    started: u64,
    last_tick: Option<Now>,
    /// This device was asleep or off until then, and has met nobody since.
    absent_until: Option<Duration>,
    next: u64,
    open: Vec<Open>,
    /// What came in the last [`BRIEFING_GATHER`] from devices that were here all the time, by space and author.
    early: BTreeMap<(SpaceId, DeviceId), (Duration, Tally)>,
}

impl Briefer {
    /// Begins at a start of the node. `alive`: the last time at which this device is known to have run before, if
    /// ever; `kept`: the records of earlier reunions. One that was still growing when the node stopped goes on, if that
    /// was a moment ago; answers the others, which are settled now.
    #[must_use]
    pub fn new(me: DeviceId, now: Now, alive: Option<u64>, kept: &[Reunion]) -> (Self, Vec<Reunion>) {
        let off = alive.is_some_and(|at| now.ms.saturating_sub(at) >= ms(BRIEFING_OFF));
        let next = kept.iter().map(|r| r.id).max().unwrap_or(0).saturating_add(1);
        let mut this = Self {
            me,
            started: now.ms,
            last_tick: None,
            absent_until: off.then_some(now.mono),
            next,
            open: Vec::new(),
            early: BTreeMap::new(),
        };
        let mut settled = Vec::new();
        for reunion in kept.iter().filter(|r| !r.settled).cloned() {
            if now.ms.saturating_sub(reunion.updated) < ms(BRIEFING_OFF) && this.open.len() < BRIEFING_OPEN {
                let waiting = reunion.lacking.iter().map(|l| (l.from, l.space)).collect();
                let (began, last_back, out) = (now.mono, now.mono, Some(now.mono));
                this.open.push(Open { reunion, began, last_back, out, changed: true, waiting, counting: false });
            } else {
                let told = reunion.told || reunion.is_worth_telling();
                settled.push(Reunion { settled: true, told, ..reunion });
            }
        }
        (this, settled)
    }

    /// A device comes up; `here` is who is connected already and shares a conversation with us. Answers the reunion
    /// whose own side must be counted anew, from [`Reunion::since`] to [`Reunion::began`]: see [`Briefer::ours`].
    pub fn back(&mut self, coming: &Coming, here: &BTreeSet<DeviceId>, now: Now) -> Option<Reunion> {
        if !coming.shares || self.open.iter().any(|o| o.reunion.back.contains_key(&coming.peer)) {
            return None;
        }
        let returned = Returned { heard: coming.heard, back: now.ms };
        let was_apart = coming.heard.is_some_and(|heard| self.apart(coming, heard, &now));
        let me = self.me;
        if let Some(open) = self.open.iter_mut().rev().find(|o| o.gathers(&now)) {
            // One never met before came with those who are just coming back.
            if (!was_apart && coming.heard.is_some()) || open.reunion.back.len() >= BRIEFING_MEMBERS {
                return None;
            }
            open.reunion.back.insert(coming.peer, returned);
            open.reunion.here.remove(&coming.peer);
            self.early.retain(|(_, author), (_, tally)| {
                let its = *author == coming.peer;
                if its {
                    open.take(tally, now.ms);
                }
                !its
            });
            open.last_back = now.mono;
            open.changed = true;
            let since = coming.heard.unwrap_or(u64::MAX);
            let counted = open.reunion.since;
            open.reunion.since = counted.min(since);
            let fewer = open.reunion.ours.iter().any(|t| t.author == coming.peer);
            return (since < counted || fewer).then(|| open.reunion.clone());
        }
        let heard = coming.heard.filter(|_| was_apart)?;
        if self.open.len() >= BRIEFING_OPEN {
            return None;
        }
        let woke = self.absent_until.take().is_some_and(|at| now.mono.saturating_sub(at) < BRIEFING_WAKE);
        let here = here.iter().copied().filter(|d| *d != coming.peer && *d != me).collect::<BTreeSet<_>>();
        let reunion = Reunion {
            id: self.next,
            began: now.ms,
            since: heard,
            own: woke,
            back: BTreeMap::from([(coming.peer, returned)]),
            here,
            theirs: Vec::new(),
            ours: Vec::new(),
            others: 0,
            lacking: Vec::new(),
            absent: BTreeMap::new(),
            met: Vec::new(),
            updated: now.ms,
            settled: false,
            told: false,
            seen: false,
        };
        self.next = self.next.saturating_add(1);
        let (began, last_back) = (now.mono, now.mono);
        let (out, waiting) = (None, BTreeSet::new());
        let mut open = Open { reunion, began, last_back, out, changed: true, waiting, counting: false };
        self.forget_early(&now);
        let early = std::mem::take(&mut self.early);
        for (_, tally) in early.values() {
            if !open.reunion.here.contains(&tally.author) {
                open.take(tally, now.ms);
            }
        }
        let reunion = open.reunion.clone();
        self.open.push(open);
        Some(reunion)
    }

    fn apart(&self, coming: &Coming, heard: u64, now: &Now) -> bool {
        let wall = Duration::from_millis(now.ms.saturating_sub(heard));
        match coming.gap {
            // A clock that was set back hides no absence.
            Some(gap) => wall.max(gap) >= BRIEFING_APART,
            // Heard in an earlier start: of that the store knows no more than the minute.
            None if heard < self.started => wall >= BRIEFING_OFF,
            None => wall >= BRIEFING_APART,
        }
    }

    /// A device that came back shares these spaces: what it holds of them is to be compared.
    pub fn shares(&mut self, peer: DeviceId, spaces: impl IntoIterator<Item = SpaceId>) {
        let of = self.open.iter_mut().find(|o| !o.reunion.settled && o.reunion.back.contains_key(&peer));
        if let Some(open) = of {
            open.waiting.extend(spaces.into_iter().map(|space| (peer, space)));
        }
    }

    /// What was written is being counted from now on, or is no more: until then a reunion is not final.
    pub fn counting(&mut self, id: u64, counting: bool) {
        if let Some(open) = self.open.iter_mut().find(|o| o.reunion.id == id) {
            open.counting = counting;
        }
    }

    /// What was written on our side of a reunion.
    pub fn ours(&mut self, id: u64, tallies: Vec<Tally>) {
        if let Some(open) = self.open.iter_mut().find(|o| o.reunion.id == id) {
            open.reunion.ours = tallies;
            open.reunion.ours.truncate(BRIEFING_AUTHORS);
            open.changed = true;
        }
    }

    /// Digests with a device were equal.
    pub fn equal(&mut self, peer: DeviceId, space: SpaceId) {
        for open in &mut self.open {
            open.waiting.remove(&(peer, space));
        }
    }

    /// A session ended: its device is not waited for. One that seemed to be here while others come back was not, if
    /// its end is noticed only now (as after a sleep).
    pub fn gone(&mut self, peer: &DeviceId, now: Now) {
        for open in &mut self.open {
            open.waiting.retain(|(p, _)| p != peer);
            if open.gathers(&now) {
                open.reunion.here.remove(peer);
            }
        }
    }

    /// Whether anything is being counted.
    #[must_use]
    pub fn counts(&self) -> bool {
        !self.open.is_empty()
    }

    /// What is still to be compared: spaces, with the devices that came back.
    #[must_use]
    pub fn waiting(&self) -> BTreeSet<(DeviceId, SpaceId)> {
        self.open.iter().flat_map(|o| o.waiting.iter().copied()).collect()
    }

    /// Entries by one author became durable that were fetched from a device (`Tally::from`).
    pub fn arrived(&mut self, tally: &Tally, now: Now) {
        if tally.author == self.me {
            return;
        }
        let of = |who: &DeviceId| self.open.iter().rposition(|o| o.reunion.back.contains_key(who));
        // Where its author is not back (yet) it goes to who brought it. Where that one is not back either, it was here
        // before its author met us: it waits for the author.
        let at = of(&tally.author).or_else(|| of(&tally.from));
        match at.and_then(|at| self.open.get_mut(at)) {
            Some(open) => open.take(tally, now.ms),
            None => {
                self.forget_early(&now);
                let room = self.early.len() < BRIEFING_AUTHORS;
                match self.early.get_mut(&(tally.space, tally.author)) {
                    Some((_, t)) => t.add(tally),
                    None if room => {
                        self.early.insert((tally.space, tally.author), (now.mono, *tally));
                    }
                    None => {}
                }
            }
        }
    }

    /// What has waited for its author long enough goes to the last reunion, if one still grows.
    fn forget_early(&mut self, now: &Now) {
        let mut last = self.open.last_mut();
        self.early.retain(|_, (at, tally)| {
            let over = now.mono.saturating_sub(*at) >= BRIEFING_GATHER;
            if let Some(open) = last.as_deref_mut().filter(|_| over) {
                open.take(tally, now.ms);
            }
            !over
        });
    }

    /// A message that was counted does not count: its entry is void.
    pub fn void(&mut self, space: SpaceId, author: &DeviceId) {
        if let Some((_, t)) = self.early.get_mut(&(space, *author)) {
            t.messages = t.messages.saturating_sub(1);
        }
        for open in &mut self.open {
            for t in open.reunion.theirs.iter_mut().filter(|t| t.space == space && t.author == *author) {
                t.messages = t.messages.saturating_sub(1);
            }
        }
    }

    /// Reunions that grow.
    pub fn growing(&self) -> impl Iterator<Item = &Reunion> {
        self.open.iter().map(|o| &o.reunion)
    }

    /// After a restart: what of theirs is here. Some of it may have become durable after the record was kept last.
    pub fn recounted(&mut self, id: u64, found: Vec<Tally>) {
        let Some(open) = self.open.iter_mut().find(|o| o.reunion.id == id) else { return };
        for tally in found {
            let theirs = &mut open.reunion.theirs;
            let room = theirs.len() < BRIEFING_AUTHORS;
            match theirs.iter_mut().find(|t| t.space == tally.space && t.author == tally.author) {
                Some(t) => {
                    t.messages = t.messages.max(tally.messages);
                    (t.first, t.last) = (t.first.min(tally.first), t.last.max(tally.last));
                }
                None if room => theirs.push(tally),
                None => open.reunion.others = open.reunion.others.saturating_add(tally.messages),
            }
        }
    }

    /// A person closed a briefing that may still grow.
    pub fn seen(&mut self, id: u64) {
        if let Some(open) = self.open.iter_mut().find(|o| o.reunion.id == id) {
            open.reunion.seen = true;
        }
    }

    /// Time passes. Answers the reunions that are to be kept now, and of them those that were [`Reunion::told`] are to
    /// be told, for the first time or again; one that is settled and was not worth a word is to be forgotten. What the
    /// caller knows of them beside this (who is absent, how much is lacking) it fills in.
    pub fn tick(&mut self, now: Now) -> Vec<Reunion> {
        if let Some(last) = self.last_tick.replace(now) {
            let (wall, mono) = (now.ms.saturating_sub(last.ms), now.mono.saturating_sub(last.mono));
            if Duration::from_millis(wall) >= mono.saturating_add(BRIEFING_APART) {
                self.absent_until = Some(now.mono);
            }
        }
        self.forget_early(&now);
        let (mut out, mut early) = (Vec::new(), std::mem::take(&mut self.early));
        // The last one first: it takes what still waits when it ends.
        for open in self.open.iter_mut().rev() {
            let gathers = open.gathers(&now);
            let late = now.mono.saturating_sub(open.began) >= BRIEFING_SETTLE;
            let done = !gathers && ((open.waiting.is_empty() && !open.counting) || late);
            if done {
                std::mem::take(&mut early).values().for_each(|(_, t)| open.take(t, now.ms));
            }
            let between = open.waiting.iter().take(BRIEFING_LACKING);
            let lacking: Vec<Lacking> = between
                .map(|(from, space)| Lacking { space: *space, from: *from, entries: None, owed: None })
                .collect();
            if open.reunion.lacking != lacking {
                open.reunion.lacking = lacking;
                open.changed = true;
            }
            let lately = open.out.is_some_and(|at| now.mono.saturating_sub(at) < BRIEFING_UPDATE);
            // Who comes next most likely belongs to it: the first word waits until they are there.
            let early = now.mono.saturating_sub(open.last_back) < BRIEFING_UPDATE;
            if done || (open.changed && !lately) {
                let worth = open.reunion.told || open.reunion.is_worth_telling();
                open.reunion.told = worth && (open.reunion.told || done || !early);
                open.reunion.settled = done;
                open.out = Some(now.mono);
                // What is worth a word and waits for others to come is given out once more.
                open.changed = worth && !open.reunion.told;
                open.reunion.updated = open.reunion.updated.max(open.reunion.began);
                out.push(open.reunion.clone());
            }
        }
        self.early = early;
        self.open.retain(|o| !o.reunion.settled);
        out.reverse();
        out
    }
}

fn ms(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
