//! The dials in the orders in which they are asked for: by when they are due, by whose turn it is, by when they began.
//! Each question costs the logarithm of their number or a fixed number of steps (at most `DIALS_MAX`), since every
//! message to discovery asks some of them. There is no way to go through all from outside, and tests count what is
//! looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use cairn_crdt::ids::DeviceId;

use super::{Dial, Target, Urgency};

/// How long the number of dials to a machine counts.
const LOAD_FOR: Duration = Duration::from_secs(30);

/// What decides whose turn it is; the lowest goes first. How many dials to its machine, and of its teller, began lately
/// only grows while it waits: a turn that was noted too low is put right when it comes to the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    rank: u8,
    load: usize,
    told: usize,
    due: Duration,
}

/// All dials.
#[derive(Debug)]
pub(super) struct Order {
    dials: BTreeMap<Target, Dial>,
    /// Wanted, by when they are due; those that peers told of apart. Who was found due is in `ready` instead.
    later: [BTreeSet<(Duration, Target)>; 2],
    ready: BTreeSet<(Turn, Target)>,
    /// The turns noted in `ready`.
    turns: BTreeMap<Target, Turn>,
    /// Under way, by when they began.
    running: BTreeSet<(Duration, Target)>,
    /// Not wanted again, by when they began if they run.
    silent: BTreeSet<(Option<Duration>, Target)>,
    /// How many are wanted that peers told of, in all and by who told.
    told: usize,
    told_by: BTreeMap<DeviceId, usize>,
    /// How many are wanted at an address, members and configured peers apart.
    at: BTreeMap<IpAddr, usize>,
    /// How many began lately, by address and by who told of them.
    load: BTreeMap<IpAddr, usize>,
    began_told: BTreeMap<DeviceId, usize>,
    load_from: Duration,
    /// Dials looked at.
    #[cfg(test)]
    pub(super) looked: std::cell::Cell<usize>,
}

impl Order {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            dials: BTreeMap::new(),
            later: Default::default(),
            ready: BTreeSet::new(),
            turns: BTreeMap::new(),
            running: BTreeSet::new(),
            silent: BTreeSet::new(),
            told: 0,
            told_by: BTreeMap::new(),
            at: BTreeMap::new(),
            load: BTreeMap::new(),
            began_told: BTreeMap::new(),
            load_from: now,
            #[cfg(test)]
            looked: std::cell::Cell::new(0),
        }
    }

    /// Counts what is looked at, for tests.
    fn looks(&self, dials: usize) {
        #[cfg(test)]
        self.looked.set(self.looked.get() + dials);
        #[cfg(not(test))]
        let _ = dials;
    }

    pub(super) fn len(&self) -> usize {
        self.dials.len()
    }

    pub(super) fn get(&self, target: Target) -> Option<&Dial> {
        self.looks(1);
        self.dials.get(&target)
    }

    /// Forgets a dial.
    pub(super) fn remove(&mut self, target: Target) {
        self.take_out(target);
    }

    /// Changes a dial, if there is one.
    pub(super) fn change<T>(&mut self, target: Target, change: impl FnOnce(&mut Dial) -> T) -> Option<T> {
        let mut dial = self.take_out(target)?;
        let result = change(&mut dial);
        self.put_in(target, dial);
        Some(result)
    }

    /// Changes a dial, or this new one.
    pub(super) fn change_or(&mut self, target: Target, new: Dial, change: impl FnOnce(&mut Dial)) {
        let mut dial = self.take_out(target).unwrap_or(new);
        change(&mut dial);
        self.put_in(target, dial);
    }

    fn take_out(&mut self, target: Target) -> Option<Dial> {
        self.looks(1);
        let dial = self.dials.remove(&target)?;
        if let Some(began) = dial.running {
            self.running.remove(&(began, target));
        }
        let Some(due) = dial.due else {
            self.silent.remove(&(dial.running, target));
            return Some(dial);
        };
        match self.turns.remove(&target) {
            Some(turn) => self.ready.remove(&(turn, target)),
            None => self.later_of(dial.is_told()).remove(&(due, target)),
        };
        if let Urgency::Told(by) = dial.urgency {
            self.told = self.told.saturating_sub(1);
            less(&mut self.told_by, &by);
        }
        if dial.urgency.is_bounded() {
            less(&mut self.at, &dial.addr.ip());
        }
        Some(dial)
    }

    fn put_in(&mut self, target: Target, dial: Dial) {
        if let Some(began) = dial.running {
            self.running.insert((began, target));
        }
        match dial.due {
            Some(due) => {
                self.later_of(dial.is_told()).insert((due, target));
                if let Urgency::Told(by) = dial.urgency {
                    self.told = self.told.saturating_add(1);
                    more(&mut self.told_by, by);
                }
                if dial.urgency.is_bounded() {
                    more(&mut self.at, dial.addr.ip());
                }
            }
            None => {
                self.silent.insert((dial.running, target));
            }
        }
        self.dials.insert(target, dial);
    }

    /// Forgets those that nobody wants and that do not run, or began by then.
    pub(super) fn forget_silent(&mut self, began_by: Option<Duration>) {
        while let Some((began, target)) = self.silent.first().copied()
            && began <= began_by
        {
            self.take_out(target);
        }
    }

    /// How many are wanted that peers told of.
    pub(super) fn told(&self) -> usize {
        self.told
    }

    /// How many of those this peer told of.
    pub(super) fn told_by(&self, by: &DeviceId) -> usize {
        self.told_by.get(by).copied().unwrap_or(0)
    }

    /// How many are wanted at an address, members and configured peers apart.
    pub(super) fn at(&self, ip: &IpAddr) -> usize {
        self.at.get(ip).copied().unwrap_or(0)
    }

    /// When the first is due of those that peers told of, or of all others; some time in the past if it is due.
    pub(super) fn due(&self, told: bool) -> Option<Duration> {
        let [others_later, told_later] = &self.later;
        // Those that were told of come last.
        let (later, ready) = if told { (told_later, self.ready.last()) } else { (others_later, self.ready.first()) };
        let ready = ready.filter(|(turn, _)| (turn.rank == Urgency::TOLD) == told).map(|(turn, _)| turn.due);
        self.looks(2);
        ready.into_iter().chain(later.first().map(|(due, _)| *due)).min()
    }

    /// Whose turn it is of those that are due, and whether a peer told of it.
    pub(super) fn first(&mut self, now: Duration) -> Option<(Target, bool)> {
        if now.saturating_sub(self.load_from) >= LOAD_FOR {
            self.load.clear();
            self.began_told.clear();
            self.load_from = now;
            for (_, target) in std::mem::take(&mut self.ready) {
                self.note_turn(target);
            }
        }
        for told in [false, true] {
            while let Some((due, target)) = self.later_of(told).first().copied()
                && due <= now
            {
                self.later_of(told).remove(&(due, target));
                self.note_turn(target);
            }
        }
        while let Some((noted, target)) = self.ready.first().copied() {
            if self.turn(target) == Some(noted) {
                return Some((target, noted.rank == Urgency::TOLD));
            }
            self.note_turn(target);
        }
        None
    }

    /// The turn of a dial that is wanted, as it is now.
    fn turn(&self, target: Target) -> Option<Turn> {
        self.looks(1);
        let dial = self.dials.get(&target)?;
        let told = match dial.urgency {
            Urgency::Told(by) => self.began_told.get(&by).copied().unwrap_or(0),
            _ => 0,
        };
        let load = self.load.get(&dial.addr.ip()).copied().unwrap_or(0);
        Some(Turn { rank: dial.urgency.rank(), load, told, due: dial.due? })
    }

    /// Notes it.
    fn note_turn(&mut self, target: Target) {
        if let Some(noted) = self.turns.remove(&target) {
            self.ready.remove(&(noted, target));
        }
        if let Some(turn) = self.turn(target) {
            self.turns.insert(target, turn);
            self.ready.insert((turn, target));
        }
    }

    /// A dial begins: it is under way from now on, and counts for its machine and its teller.
    pub(super) fn begin(&mut self, target: Target, now: Duration) -> Option<&Dial> {
        let began = self.change(target, |d| {
            (d.due, d.running) = (None, Some(now));
            (d.addr.ip(), d.urgency)
        });
        let (ip, urgency) = began?;
        more(&mut self.load, ip);
        if let Urgency::Told(by) = urgency {
            more(&mut self.began_told, by);
        }
        self.get(target)
    }

    /// When the last began but so many; `None` where fewer are under way.
    pub(super) fn began_last(&self, count: usize) -> Option<Duration> {
        self.looks(count.min(self.running.len()));
        self.running.iter().nth_back(count.saturating_sub(1)).map(|(began, _)| *began)
    }

    fn later_of(&mut self, told: bool) -> &mut BTreeSet<(Duration, Target)> {
        let [others_later, told_later] = &mut self.later;
        if told { told_later } else { others_later }
    }
}

fn more<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
}

fn less<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}
