//! Which address is dialled when: one line of waiting dials under one rate, co-members and configured peers first,
//! then whoever's machine was dialled least, so that a crowd of made-up devices at one address delays only itself. What
//! peers only tell of comes last, each teller in turn, and never fills the line.
//!
//! Every message to discovery asks this, so nothing here goes through all dials: `order` keeps them by what is asked.

mod order;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cairn_crdt::ids::DeviceId;

use self::order::Order;
use crate::limits::{
    DIAL_BURST, DIAL_PLACE, DIALS_AT_ONCE, DIALS_MAX, DIALS_PER_SECOND, DIALS_TOLD, DIALS_TOLD_PER_PEER, DIALS_WAITING,
    DIALS_WAITING_PER_ADDRESS, HANDSHAKE_TIMEOUT,
};
use crate::proto::bucket::Bucket;

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
    /// The rank of whom a peer has told of: the last.
    const TOLD: u8 = 3;

    /// The lower goes first.
    fn rank(self) -> u8 {
        match self {
            Self::Member => 0,
            Self::Configured => 1,
            Self::Other => 2,
            Self::Told(_) => Self::TOLD,
        }
    }

    /// Whether only so many may wait: members and configured peers always may.
    fn is_bounded(self) -> bool {
        matches!(self, Self::Other | Self::Told(_))
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
    order: Order,
    /// How long handshakes took lately, smoothed.
    took: Duration,
    /// How late this node does things.
    pub(super) lag: Duration,
}

impl Dials {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            bucket: Bucket::new(DIALS_PER_SECOND, DIAL_BURST, now),
            order: Order::new(now),
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
        if self.order.get(target).is_none() && !self.has_room(addr.ip(), urgency, now) {
            return false;
        }
        let stale = STALE.max(self.place());
        let fresh = Dial { addr, urgency, due: None, running: None, failures: 0, not_before: Duration::ZERO };
        self.order.change_or(target, fresh, |dial| {
            if anew {
                (dial.failures, dial.not_before) = (0, Duration::ZERO);
            }
            if dial.running.is_some_and(|since| now.saturating_sub(since) < stale) {
                return;
            }
            let due = due.max(dial.not_before);
            if dial.due.is_none_or(|d| due < d) {
                dial.due = Some(due);
            }
            dial.addr = addr;
            if urgency.rank() < dial.urgency.rank() {
                dial.urgency = urgency;
            }
        });
        true
    }

    fn has_room(&mut self, ip: IpAddr, urgency: Urgency, now: Duration) -> bool {
        if !urgency.is_bounded() {
            return true;
        }
        if self.order.len() >= DIALS_WAITING {
            self.order.forget_silent(now.checked_sub(LOST));
        }
        if let Urgency::Told(by) = urgency
            && (self.order.told() >= DIALS_TOLD || self.order.told_by(&by) >= DIALS_TOLD_PER_PEER)
        {
            return false;
        }
        self.order.len() < DIALS_WAITING && (ip.is_loopback() || self.order.at(&ip) < DIALS_WAITING_PER_ADDRESS)
    }

    /// The next dial to start now, if the rate allows one.
    pub(super) fn next(&mut self, now: Duration) -> Option<(Target, SocketAddr)> {
        let (first, told) = self.order.first(now)?;
        if self.places_at(told, now) > now || !self.bucket.take(now) {
            return None;
        }
        let dial = self.order.begin(first, now)?;
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
        // A place is free once so few of those that began last still hold theirs.
        let free = |places, held| self.order.began_last(places).map(|began| began.saturating_add(held));
        [free(DIALS_AT_ONCE, self.place()), free(most, LOST)].into_iter().flatten().fold(now, Duration::max)
    }

    /// A dial led to a link: how long that took.
    pub(super) fn took(&mut self, target: Target, now: Duration) {
        if let Some(began) = self.order.get(target).and_then(|d| d.running) {
            let took = now.saturating_sub(began).min(TOOK_MOST);
            self.took = self.took.saturating_mul(3).saturating_add(took) / 4;
        }
    }

    /// The dial ended without a fault of its own: again at `due`, should it be needed then.
    pub(super) fn again(&mut self, target: Target, due: Duration) {
        self.order.change(target, |dial| (dial.running, dial.due) = (None, Some(due.max(dial.not_before))));
    }

    /// Dials that wait or run.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// When [`Dials::next`] gives something, if nothing else happens.
    pub(super) fn next_wake(&self, now: Duration) -> Option<Duration> {
        let first =
            [false, true].into_iter().filter_map(|told| Some(self.order.due(told)?.max(self.places_at(told, now))));
        Some(first.min()?.max(self.bucket.ready_at(now)))
    }

    /// A dial failed; says how often in a row, and when the last one began.
    pub(super) fn failed(&mut self, target: Target) -> (u32, Option<Duration>) {
        let failed = |dial: &mut Dial| {
            dial.failures = dial.failures.saturating_add(1);
            (dial.failures, dial.running.take())
        };
        self.order.change(target, failed).unwrap_or((0, None))
    }

    /// Holds a target back until then.
    pub(super) fn hold(&mut self, target: Target, until: Duration) {
        self.order.change(target, |dial| {
            dial.not_before = dial.not_before.max(until);
            dial.due = dial.due.map(|d| d.max(until));
        });
    }

    /// The dial led to a link, or is not wanted any more. What was held back stays held back.
    pub(super) fn settle(&mut self, target: Target, now: Duration) {
        if self.order.get(target).is_some_and(|d| d.not_before > now) {
            self.order.change(target, |dial| (dial.due, dial.running) = (None, None));
        } else {
            self.order.remove(target);
        }
    }

    /// Whether a target waits for its turn or is being dialled.
    pub(super) fn is_busy(&self, target: Target, now: Duration) -> bool {
        let running = |d: &Dial| d.running.is_some_and(|since| now.saturating_sub(since) < LOST);
        self.order.get(target).is_some_and(|d| d.due.is_some() || running(d))
    }
}

#[cfg(test)]
mod tests;
