//! Which address is dialled when: one line of waiting dials under one rate, co-members and configured peers first,
//! then whoever's machine was dialled least, so that a crowd of made-up devices at one address delays only itself. What
//! peers only tell of comes last, each teller in turn, and never fills the line.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cairn_crdt::ids::DeviceId;

use crate::limits::{
    DIAL_BURST, DIAL_PLACE, DIALS_AT_ONCE, DIALS_MAX, DIALS_PER_SECOND, DIALS_TOLD, DIALS_TOLD_PER_PEER, DIALS_WAITING,
    DIALS_WAITING_PER_ADDRESS, HANDSHAKE_TIMEOUT,
};
use crate::proto::bucket::Bucket;

/// How long the number of dials to a machine counts.
const LOAD_FOR: Duration = Duration::from_secs(30);
/// A running dial older than this, and than handshakes take now, does not hold up another to the same device: it may be
/// waiting out a broken path.
const STALE: Duration = Duration::from_millis(500);
/// No handshake counts as one that took longer: a device that answers late on purpose slows others down little.
const TOOK_MOST: Duration = Duration::from_secs(1);
/// A dial whose result never came is forgotten after this.
const LOST: Duration = Duration::from_secs(30);

/// What is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// A device, wherever it is.
    Device(DeviceId),
    /// Whoever is at a configured address.
    Address(SocketAddr),
}

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// A co-member that was just heard.
    Member,
    /// A configured peer.
    Configured,
    /// Everybody else who was heard, and probes of last addresses.
    Other,
    /// Whom this peer has told of.
    Told(DeviceId),
}

impl Urgency {
    /// The lower goes first.
    fn rank(self) -> u8 {
        match self {
            Self::Member => 0,
            Self::Configured => 1,
            Self::Other => 2,
            Self::Told(_) => 3,
        }
    }
}

#[derive(Debug, Clone)]
struct Dial {
    addr: SocketAddr,
    urgency: Urgency,
    due: Option<Duration>,
    running: Option<Duration>,
    failures: u32,
    not_before: Duration,
}

impl Dial {
    fn is_told(&self) -> bool {
        matches!(self.urgency, Urgency::Told(_))
    }
}

/// All dials.
#[derive(Debug)]
pub(super) struct Dials {
    bucket: Bucket,
    dials: BTreeMap<Target, Dial>,
    load: BTreeMap<IpAddr, u32>,
    /// Dials by who told of them, over the same time.
    told: BTreeMap<DeviceId, u32>,
    load_from: Duration,
    /// How long handshakes took lately, smoothed.
    took: Duration,
    /// How late this node does things.
    pub(super) lag: Duration,
}

impl Dials {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            bucket: Bucket::new(DIALS_PER_SECOND, DIAL_BURST, now),
            dials: BTreeMap::new(),
            load: BTreeMap::new(),
            told: BTreeMap::new(),
            load_from: now,
            took: Duration::ZERO,
            lag: Duration::ZERO,
        }
    }

    /// Wants a dial at `due`, not before the back-off of earlier failures allows it, unless `anew`. A dial that runs
    /// and is young is enough. Returns whether the line had room.
    pub(super) fn want(
        &mut self,
        target: Target,
        addr: SocketAddr,
        urgency: Urgency,
        due: Duration,
        now: Duration,
        anew: bool,
    ) -> bool {
        if !self.dials.contains_key(&target) && !self.has_room(addr.ip(), urgency, now) {
            return false;
        }
        let stale = STALE.max(self.place());
        let fresh = Dial { addr, urgency, due: None, running: None, failures: 0, not_before: Duration::ZERO };
        let dial = self.dials.entry(target).or_insert(fresh);
        if anew {
            (dial.failures, dial.not_before) = (0, Duration::ZERO);
        }
        if dial.running.is_some_and(|since| now.saturating_sub(since) < stale) {
            return true;
        }
        let due = due.max(dial.not_before);
        if dial.due.is_none_or(|d| due < d) {
            dial.due = Some(due);
        }
        dial.addr = addr;
        if urgency.rank() < dial.urgency.rank() {
            dial.urgency = urgency;
        }
        true
    }

    fn has_room(&mut self, ip: IpAddr, urgency: Urgency, now: Duration) -> bool {
        if urgency.rank() < Urgency::Other.rank() {
            return true;
        }
        if self.dials.len() >= DIALS_WAITING {
            self.dials.retain(|_, d| d.due.is_some() || d.running.is_some_and(|t| now.saturating_sub(t) < LOST));
        }
        if let Urgency::Told(_) = urgency {
            let waiting = || self.dials.values().filter(|d| d.due.is_some()).map(|d| d.urgency);
            let told = || waiting().filter(|u| matches!(u, Urgency::Told(_)));
            if told().count() >= DIALS_TOLD || told().filter(|u| *u == urgency).count() >= DIALS_TOLD_PER_PEER {
                return false;
            }
        }
        let least = Urgency::Other.rank();
        let same = self.dials.values().filter(|d| d.urgency.rank() >= least && d.due.is_some() && d.addr.ip() == ip);
        self.dials.len() < DIALS_WAITING && (ip.is_loopback() || same.count() < DIALS_WAITING_PER_ADDRESS)
    }

    /// The next dial to start now, if the rate allows one.
    pub(super) fn next(&mut self, now: Duration) -> Option<(Target, SocketAddr)> {
        if now.saturating_sub(self.load_from) >= LOAD_FOR {
            self.load.clear();
            self.told.clear();
            self.load_from = now;
        }
        let load = |d: &Dial| self.load.get(&d.addr.ip()).copied().unwrap_or(0);
        let told = |d: &Dial| match d.urgency {
            Urgency::Told(by) => self.told.get(&by).copied().unwrap_or(0),
            _ => 0,
        };
        let (any, told_too) = (self.places_at(false, now) <= now, self.places_at(true, now) <= now);
        let due = self
            .dials
            .iter()
            .filter(|(_, d)| d.due.is_some_and(|t| t <= now) && if d.is_told() { told_too } else { any });
        let first = due.min_by_key(|(_, d)| (d.urgency.rank(), load(d), told(d), d.due)).map(|(t, _)| *t)?;
        if !self.bucket.take(now) {
            return None;
        }
        let dial = self.dials.get_mut(&first)?;
        (dial.due, dial.running) = (None, Some(now));
        let count = self.load.entry(dial.addr.ip()).or_insert(0);
        *count = count.saturating_add(1);
        if let Urgency::Told(by) = dial.urgency {
            let count = self.told.entry(by).or_insert(0);
            *count = count.saturating_add(1);
        }
        Some((first, dial.addr))
    }

    /// How long a dial holds one of the few places: twice what handshakes took lately, so that each has time to end; and
    /// where this node is late itself, four times as long as that (the two ends of a handshake take two turns each).
    fn place(&self) -> Duration {
        let slow = self.took.saturating_mul(2).saturating_add(self.lag.saturating_mul(4));
        DIAL_PLACE.saturating_add(slow).min(HANDSHAKE_TIMEOUT)
    }

    /// When another dial may begin, one that a peer told of or any other, as far as those under way are concerned.
    fn places_at(&self, told: bool, now: Duration) -> Duration {
        let most = if told { DIALS_MAX / 2 } else { DIALS_MAX };
        let began: Vec<_> = self.dials.values().filter_map(|d| d.running).collect();
        let free = |places: usize, held: Duration| {
            let mut ends: Vec<_> = began.iter().map(|t| t.saturating_add(held)).filter(|end| *end > now).collect();
            let over = ends.len().checked_sub(places)?;
            ends.sort_unstable();
            ends.get(over).copied()
        };
        [free(DIALS_AT_ONCE, self.place()), free(most, LOST)].into_iter().flatten().fold(now, Duration::max)
    }

    /// A dial led to a link: how long that took.
    pub(super) fn took(&mut self, target: Target, now: Duration) {
        if let Some(began) = self.dials.get(&target).and_then(|d| d.running) {
            let took = now.saturating_sub(began).min(TOOK_MOST);
            self.took = self.took.saturating_mul(3).saturating_add(took) / 4;
        }
    }

    /// The dial ended without a fault of its own: again at `due`, should it be needed then.
    pub(super) fn again(&mut self, target: Target, due: Duration) {
        if let Some(dial) = self.dials.get_mut(&target) {
            (dial.running, dial.due) = (None, Some(due.max(dial.not_before)));
        }
    }

    /// Dials that wait or run.
    pub(super) fn len(&self) -> usize {
        self.dials.len()
    }

    /// When [`Dials::next`] gives something, if nothing else happens.
    pub(super) fn next_wake(&self, now: Duration) -> Option<Duration> {
        let first = [false, true].into_iter().filter_map(|told| {
            let due = self.dials.values().filter(|d| d.is_told() == told).filter_map(|d| d.due).min()?;
            Some(due.max(self.places_at(told, now)))
        });
        Some(first.min()?.max(self.bucket.ready_at(now)))
    }

    /// A dial failed; says how often in a row, and when the last one began.
    pub(super) fn failed(&mut self, target: Target) -> (u32, Option<Duration>) {
        self.dials.get_mut(&target).map_or((0, None), |dial| {
            dial.failures = dial.failures.saturating_add(1);
            (dial.failures, dial.running.take())
        })
    }

    /// Holds a target back until then.
    pub(super) fn hold(&mut self, target: Target, until: Duration) {
        if let Some(dial) = self.dials.get_mut(&target) {
            dial.not_before = dial.not_before.max(until);
            dial.due = dial.due.map(|d| d.max(until));
        }
    }

    /// The dial led to a link, or is not wanted any more. What was held back stays held back.
    pub(super) fn settle(&mut self, target: Target, now: Duration) {
        let held = self.dials.get(&target).is_some_and(|d| d.not_before > now);
        if held {
            if let Some(dial) = self.dials.get_mut(&target) {
                (dial.due, dial.running) = (None, None);
            }
        } else {
            self.dials.remove(&target);
        }
    }

    /// Whether a target waits for its turn or is being dialled.
    pub(super) fn is_busy(&self, target: Target, now: Duration) -> bool {
        let running = |d: &Dial| d.running.is_some_and(|since| now.saturating_sub(since) < LOST);
        self.dials.get(&target).is_some_and(|d| d.due.is_some() || running(d))
    }
}
