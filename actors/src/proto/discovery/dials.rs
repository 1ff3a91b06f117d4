//! Which address is dialled when: one line of waiting dials under one rate, co-members and configured peers first,
//! then whoever's machine was dialled least, so that a crowd of made-up devices at one address delays only itself. What
//! peers only tell of comes last, each teller in turn, and never fills the line.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cairn_crdt::ids::DeviceId;

use crate::limits::{
    DIAL_BURST, DIALS_PER_SECOND, DIALS_TOLD, DIALS_TOLD_PER_PEER, DIALS_WAITING, DIALS_WAITING_PER_ADDRESS,
};
use crate::proto::bucket::Bucket;

/// How long the number of dials to a machine counts.
const LOAD_FOR: Duration = Duration::from_secs(30);
/// A running dial older than this does not hold up another: it may be waiting out a broken path.
const STALE: Duration = Duration::from_millis(500);
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

/// All dials.
#[derive(Debug)]
pub(super) struct Dials {
    bucket: Bucket,
    dials: BTreeMap<Target, Dial>,
    load: BTreeMap<IpAddr, u32>,
    /// Dials by who told of them, over the same time.
    told: BTreeMap<DeviceId, u32>,
    load_from: Duration,
}

impl Dials {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            bucket: Bucket::new(DIALS_PER_SECOND, DIAL_BURST, now),
            dials: BTreeMap::new(),
            load: BTreeMap::new(),
            told: BTreeMap::new(),
            load_from: now,
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
        let fresh = Dial { addr, urgency, due: None, running: None, failures: 0, not_before: Duration::ZERO };
        let dial = self.dials.entry(target).or_insert(fresh);
        if anew {
            (dial.failures, dial.not_before) = (0, Duration::ZERO);
        }
        if dial.running.is_some_and(|since| now.saturating_sub(since) < STALE) {
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
        let due = self.dials.iter().filter(|(_, d)| d.due.is_some_and(|t| t <= now));
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

    /// Dials that wait or run.
    pub(super) fn len(&self) -> usize {
        self.dials.len()
    }

    /// When [`Dials::next`] gives something, if nothing else happens.
    pub(super) fn next_wake(&self, now: Duration) -> Option<Duration> {
        let first = self.dials.values().filter_map(|d| d.due).min()?;
        Some(first.max(self.bucket.ready_at(now)))
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
