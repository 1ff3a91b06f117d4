//! Discovery as a machine without sockets or clock: datagrams, session news and time go in, beacons to send and
//! addresses to dial come out. Times are since the node's start; the signing key and a seed are arguments.
//!
//! Bounds (all in `limits`): beacons per address and verifications per second, dials per second, devices remembered,
//! dials and answers waiting. A replayed beacon is known by incarnation and counter; one that was never heard costs
//! one dial that expects the right key.

mod answers;
mod dials;
mod io;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use cairn_crdt::ids::{DeviceId, Incarnation, NetworkId};
use cairn_crdt::netkey::NetworkKey;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::answers::Answers;
use self::dials::{Dials, Target, Urgency};
pub use self::io::{DialFault, DiscoveryConfig, Dropped, Known, Met, Output};
use self::table::{Standing, Table};
use crate::limits::{
    ANSWER_AFTER, BACKOFF, BAN, BEACON_ADDRESSES, BEACON_BURST, BEACON_BURST_PER_ADDRESS, BEACON_INTERVAL,
    BEACON_PEERS_PER_SECOND, BEACON_VERIFICATIONS, BEACONS_PER_ADDRESS, CONFIGURED_BACKOFF_MAX, DIAL_BURST,
    DIAL_JITTER, DIAL_JITTER_EACH, DIAL_JITTER_NEW, DIALS_PER_SECOND, DISCOVERY_IDS, MISSING_FOR, MISSING_INTERVAL,
    RESCAN,
};
use crate::proto::beacon::Beacon;
use crate::proto::bucket::{Bucket, Buckets};

/// A device that is heard but not reached is dialled this often before the next beacon of it is waited for.
const TRIES_PER_BEACON: u32 = 6;
/// Shortest time between two beacons that are not part of a burst.
const BEACON_GAP: Duration = Duration::from_millis(200);

/// The machine.
#[derive(Debug)]
pub struct Discovery {
    config: DiscoveryConfig,
    me: DeviceId,
    rng: ChaCha8Rng,
    counter: u64,
    table: Table,
    /// Devices that a session is open with.
    sessions: u32,
    dials: Dials,
    by_address: Buckets,
    verifications: Bucket,
    answer_rate: Bucket,
    answers: Answers,
    /// Configured addresses, and who was found there.
    found: BTreeMap<SocketAddr, DeviceId>,
    ourselves: BTreeSet<SocketAddr>,
    burst: Vec<Duration>,
    steady: Duration,
    sent: Option<Duration>,
    rescan: Duration,
    elsewhere: Option<(Incarnation, u64, bool)>,
}

impl Discovery {
    /// A machine that starts now: the first beacon of the burst is due at once, and so are the first dials.
    #[must_use]
    pub fn new(config: DiscoveryConfig, now: Duration) -> Self {
        let mut this = Self {
            me: config.key.id(),
            rng: ChaCha8Rng::from_seed(config.seed),
            counter: 0,
            table: Table::new(DISCOVERY_IDS),
            sessions: 0,
            dials: Dials::new(now),
            by_address: Buckets::new(BEACONS_PER_ADDRESS, BEACON_BURST_PER_ADDRESS, BEACON_ADDRESSES),
            verifications: Bucket::new(BEACON_VERIFICATIONS, BEACON_VERIFICATIONS, now),
            answer_rate: Bucket::new(DIALS_PER_SECOND, DIAL_BURST, now),
            answers: Answers::default(),
            found: BTreeMap::new(),
            ourselves: BTreeSet::new(),
            burst: Vec::new(),
            steady: now.saturating_add(BEACON_INTERVAL),
            sent: None,
            rescan: now.saturating_add(RESCAN),
            elsewhere: None,
            config,
        };
        this.begin_burst(now);
        for known in this.config.known.clone() {
            if known.device == this.me {
                continue;
            }
            if let Some(left) = MISSING_FOR.checked_sub(known.seen_ago) {
                let device = this.table.touch(known.device, now);
                device.reached_at(known.addr);
                device.missing_until = Some(now.saturating_add(left));
            }
            let due = now.saturating_add(this.dial_wait());
            this.dials.want(Target::Device(known.device), known.addr, Urgency::Other, due, now, true);
        }
        this.dial_configured(now);
        this
    }

    /// When [`Discovery::tick`] has something to do, if nothing else happens before.
    #[must_use]
    pub fn next_wake(&self, now: Duration) -> Duration {
        let beacon = self.burst.iter().copied().min().map_or(self.steady, |b| b.min(self.steady));
        let dial = self.dials.next_wake(now);
        let beacon = if self.config.beacons { Some(beacon) } else { None };
        let others = [beacon, self.answers.due(), dial].into_iter().flatten();
        others.fold(self.rescan, Duration::min).max(now)
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration, out: &mut Vec<Output>) {
        if self.rescan <= now {
            self.rescan = now.saturating_add(RESCAN);
            out.push(Output::Rescan);
        }
        let burst_due = self.burst.iter().any(|b| *b <= now);
        if self.config.beacons && (burst_due || self.steady <= now) {
            self.burst.retain(|b| *b > now);
            out.extend(self.beacon(now, false).into_iter().map(Output::SendBeacon));
            self.sent = Some(now);
            self.steady = now.saturating_add(self.interval(now));
            self.probe_missing(now);
        }
        while let Some(to) = self.answers.next(now) {
            if self.answer_rate.take(now) {
                out.extend(self.beacon(now, false).into_iter().map(|beacon| Output::Answer { to, beacon }));
            }
        }
        while let Some((target, addr)) = self.dials.next(now) {
            if matches!(target, Target::Address(at) if self.is_found(at)) {
                self.dials.settle(target, now);
                continue;
            }
            let device = match target {
                Target::Device(device) => Some(device),
                Target::Address(_) => None,
            };
            out.push(Output::Dial { addr, device });
        }
    }

    /// How late this node does things now: the later, the fewer dials it begins.
    pub fn set_lag(&mut self, lag: Duration) {
        self.dials.lag = lag;
    }

    /// A datagram came from an address.
    ///
    /// # Errors
    /// Why it was dropped; nothing needs doing about it.
    pub fn heard(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        now: Duration,
        out: &mut Vec<Output>,
    ) -> Result<(), Dropped> {
        if !self.config.beacons {
            return Err(Dropped::Off);
        }
        let unverified = Beacon::parse(bytes, &self.config.keys)?;
        let claim = unverified.claim();
        let own = claim.device == self.me;
        // An echo of ours, unless we have not counted so far: then it is of a copy of this very start.
        let counted = self.counter == 0 || claim.counter <= self.counter;
        if own && claim.incarnation == self.config.incarnation && counted {
            return Err(Dropped::Own);
        }
        let mut addr = from;
        addr.set_port(claim.port);
        let standing = self.table.standing(claim, addr);
        if standing == Standing::Old && !own {
            return Err(Dropped::Replay);
        }
        // Loopback is this machine: it may run any number of nodes, and only the sum is bounded.
        let allowed = from.ip().is_loopback() || self.by_address.take(from.ip(), now);
        if !allowed || !self.verifications.take(now) {
            return Err(Dropped::TooMany);
        }
        let beacon = unverified.verify()?;
        if own {
            self.heard_own_key(&beacon, addr, out);
            return Ok(());
        }
        if standing == Standing::OtherWay {
            if let Some(device) = self.table.get_mut(&beacon.device) {
                device.addrs.push(addr);
            }
            return Ok(());
        }
        self.take_in(&beacon, from, addr, now, out);
        Ok(())
    }

    fn take_in(&mut self, beacon: &Beacon, from: SocketAddr, addr: SocketAddr, now: Duration, out: &mut Vec<Output>) {
        let id = beacon.device;
        let novelty = self.table.note(beacon, addr, now);
        let device = self.table.get(&id);
        let here = device.is_some_and(|d| d.is_here(beacon.incarnation));
        let missing = device.is_some_and(|d| d.missing_until.is_some_and(|t| t > now));
        if beacon.goodbye {
            self.dials.settle(Target::Device(id), now);
            self.answers.remove(&id);
            if here {
                out.push(Output::Goodbye(id));
            }
            return;
        }
        if novelty.started || novelty.network {
            let network = beacon.network.map(|n| (n, beacon.settled));
            out.push(Output::Met(Met { device: id, incarnation: beacon.incarnation, network, addr }));
        }
        if here {
            return;
        }
        let urgency = if missing { Urgency::Member } else { Urgency::Other };
        let due = now.saturating_add(self.dial_wait());
        // Whoever was refused has the key by now: we have just opened what it sealed.
        let refused = self.table.get_mut(&id).is_some_and(|d| std::mem::take(&mut d.refused));
        let anew = novelty.started || missing || (refused && !self.config.keys.is_empty());
        self.dials.want(Target::Device(id), addr, urgency, due, now, anew);
        if novelty.started {
            self.answer_later(id, from, now.saturating_add(ANSWER_AFTER));
        }
    }

    /// Two beacons with a growing counter make it more than an echo.
    fn heard_own_key(&mut self, beacon: &Beacon, addr: SocketAddr, out: &mut Vec<Output>) {
        match &mut self.elsewhere {
            Some((incarnation, counter, told)) if *incarnation == beacon.incarnation => {
                if beacon.counter > *counter && !*told && !beacon.goodbye {
                    *told = true;
                    out.push(Output::IdentityElsewhere { addr });
                }
                *counter = beacon.counter.max(*counter);
            }
            _ => self.elsewhere = Some((beacon.incarnation, beacon.counter, false)),
        }
    }

    fn answer_later(&mut self, id: DeviceId, to: SocketAddr, due: Duration) {
        if self.config.beacons {
            self.answers.add(id, to, due);
        }
    }

    /// A session with a device opened, whoever dialled. `incarnation` as its hello said, if it did.
    pub fn peer_up(&mut self, id: DeviceId, addr: SocketAddr, incarnation: Option<Incarnation>, now: Duration) {
        let device = self.table.touch(id, now);
        device.reached_at(addr);
        let incarnation = incarnation.or_else(|| device.incarnation());
        self.sessions = self.sessions.saturating_add(u32::from(device.here.is_none()));
        (device.here, device.missing_until, device.proven) = (Some(incarnation), None, true);
        self.answers.remove(&id);
        self.dials.settle(Target::Device(id), now);
        if self.config.configured.contains(&addr) {
            self.found.insert(addr, id);
        }
        for at in self.found.iter().filter(|(_, found)| **found == id).map(|(at, _)| *at) {
            self.dials.settle(Target::Address(at), now);
        }
    }

    /// Whether a session is open with the device at a configured address.
    fn is_found(&self, addr: SocketAddr) -> bool {
        let device = self.found.get(&addr).and_then(|id| self.table.get(id));
        device.is_some_and(|d| d.here.is_some())
    }

    /// The last session with a device ended. `missed`: it is a co-member and did not say goodbye, so it is searched
    /// for.
    pub fn peer_down(&mut self, id: DeviceId, missed: bool, now: Duration) {
        let device = self.table.touch(id, now);
        self.sessions = self.sessions.saturating_sub(u32::from(device.here.take().is_some()));
        let addr = device.addrs.first().copied();
        if missed {
            device.missing_until = Some(now.saturating_add(MISSING_FOR));
            let wait = self.jitter(BACKOFF.0);
            self.steady = self.steady.min(now.saturating_add(wait));
            if let Some(addr) = addr {
                self.dials.want(Target::Device(id), addr, Urgency::Other, now.saturating_add(wait), now, true);
            }
        }
        let wait = self.jittered(BACKOFF.0);
        for (at, found) in &self.found {
            if *found == id {
                let target = Target::Address(*at);
                self.dials.want(target, *at, Urgency::Configured, now.saturating_add(wait), now, true);
            }
        }
    }

    /// A dial ended: who is there, or why not.
    pub fn dial_ended(
        &mut self,
        addr: SocketAddr,
        device: Option<DeviceId>,
        result: Result<DeviceId, DialFault>,
        now: Duration,
    ) {
        let target = device.map_or(Target::Address(addr), Target::Device);
        let here = device.map_or(self.is_found(addr), |id| self.table.get(&id).is_some_and(|d| d.here.is_some()));
        match result {
            Ok(id) => {
                self.dials.took(target, now);
                self.dials.settle(target, now);
                if device.is_none() {
                    self.found.insert(addr, id);
                    // Should no session come of the link, try again.
                    let due = now.saturating_add(CONFIGURED_BACKOFF_MAX);
                    self.dials.want(target, addr, Urgency::Configured, due, now, false);
                }
            }
            // It came by another way meanwhile.
            Err(_) if here => self.dials.settle(target, now),
            Err(DialFault::Oneself) => {
                self.ourselves.insert(addr);
                self.dials.settle(target, now);
                self.forget_address(device, addr);
            }
            Err(DialFault::Unwanted) => {
                self.dials.failed(target);
                match device {
                    Some(id) => self.refused(id, now),
                    // Nobody announces what is configured.
                    None => {
                        let due = now.saturating_add(BAN);
                        self.dials.hold(target, due);
                        self.dials.want(target, addr, Urgency::Configured, due, now, false);
                    }
                }
            }
            // Should no session come of that link, try again.
            Err(DialFault::CameFirst) => {
                let due = now.saturating_add(self.jittered(BACKOFF.0));
                self.dials.again(target, due);
            }
            Err(fault) => {
                if fault == DialFault::WrongPeer {
                    self.forget_address(device, addr);
                }
                self.dial_failed(target, addr, now);
            }
        }
    }

    fn forget_address(&mut self, device: Option<DeviceId>, addr: SocketAddr) {
        if let Some(known) = device.and_then(|id| self.table.get_mut(&id)) {
            known.addrs.retain(|a| *a != addr);
        }
    }

    fn dial_failed(&mut self, target: Target, addr: SocketAddr, now: Duration) {
        let (failures, began) = self.dials.failed(target);
        let wait = |most: Duration| BACKOFF.0.saturating_mul(1 << failures.min(16).saturating_sub(1)).min(most);
        let id = match target {
            Target::Address(_) => {
                let due = now.saturating_add(self.jittered(wait(CONFIGURED_BACKOFF_MAX)));
                self.dials.hold(target, due);
                self.dials.want(target, addr, Urgency::Configured, due, now, false);
                return;
            }
            Target::Device(id) => id,
        };
        let missing = self.table.get(&id).is_some_and(|d| d.missing_until.is_some_and(|t| t > now));
        // Another address of it next time.
        let addrs = self.table.get(&id).map(|d| d.addrs.clone()).unwrap_or_default();
        let at = addrs.iter().position(|a| *a == addr).map_or(0, |at| at.saturating_add(1));
        let Some(next) = addrs.get(at).or_else(|| addrs.first()).copied() else {
            return self.dials.settle(target, now);
        };
        if missing {
            // A dial that waited for its timeout has itself probed all the while: the next one follows at once.
            let soonest = now.saturating_add(self.dial_wait());
            let due = began.unwrap_or(now).saturating_add(self.jittered(MISSING_INTERVAL)).max(soonest);
            self.dials.want(target, next, Urgency::Other, due, now, true);
        } else if failures < TRIES_PER_BEACON {
            let due = now.saturating_add(self.jittered(wait(BACKOFF.1)));
            self.dials.hold(target, due);
            self.dials.want(target, next, Urgency::Other, due, now, false);
            self.answer_later(id, next, now);
        } else {
            self.dials.hold(target, now.saturating_add(BACKOFF.1));
            self.dials.settle(target, now);
        }
    }

    /// Peer exchange: `teller` says on its session that a device is reached there.
    pub fn learned(&mut self, teller: DeviceId, id: DeviceId, addr: SocketAddr, now: Duration) {
        let here = self.table.get(&id).is_some_and(|d| d.here.is_some());
        if id == self.me || here || self.ourselves.contains(&addr) {
            return;
        }
        let due = now.saturating_add(self.dial_wait());
        self.dials.want(Target::Device(id), addr, Urgency::Told(teller), due, now, false);
    }

    /// Interfaces or addresses came or went: announce anew, and try again what failed before.
    pub fn links_changed(&mut self, now: Duration) {
        self.ourselves.clear();
        self.begin_burst(now);
        self.dial_configured(now);
        self.probe_missing(now);
    }

    /// A device and we don't hold the same network key: it is not searched for, and not dialled for a while unless a
    /// beacon shows that it does by now.
    pub fn refused(&mut self, id: DeviceId, now: Duration) {
        let device = self.table.touch(id, now);
        (device.missing_until, device.refused) = (None, true);
        self.dials.hold(Target::Device(id), now.saturating_add(BAN));
        self.dials.settle(Target::Device(id), now);
        self.answers.remove(&id);
    }

    /// The keys of our network that are accepted changed: announce anew, and try everybody again who is not here.
    pub fn set_keys(&mut self, keys: Vec<NetworkKey>, now: Duration) {
        if self.config.keys == keys {
            return;
        }
        self.config.keys = keys;
        self.links_changed(now);
        for (id, addr) in self.table.away() {
            let due = now.saturating_add(self.dial_wait());
            self.dials.want(Target::Device(id), addr, Urgency::Other, due, now, true);
        }
    }

    /// Our network, or whether it is settled, changed.
    pub fn set_network(&mut self, network: Option<(NetworkId, bool)>, now: Duration) {
        if self.config.network != network {
            self.config.network = network;
            let soonest = self.sent.map_or(now, |s| s.saturating_add(BEACON_GAP)).max(now);
            self.steady = self.steady.min(soonest);
        }
    }

    /// We go down: the last beacon.
    pub fn goodbye(&mut self, now: Duration, out: &mut Vec<Output>) {
        if self.config.beacons {
            out.extend(self.beacon(now, true).into_iter().map(Output::SendBeacon));
        }
    }

    /// Devices remembered.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.table.len()
    }

    /// The devices that a session is open with, as far as we were told.
    pub fn here(&self) -> impl Iterator<Item = &DeviceId> {
        self.table.here()
    }

    /// The datagrams of one beacon: while a network key is changed, one for those who have the new and one for those who
    /// have the old, under one counter. A counter made of time also grows over a restart of this machine within one
    /// incarnation.
    fn beacon(&mut self, now: Duration, goodbye: bool) -> Vec<Vec<u8>> {
        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.counter = self.counter.saturating_add(1).max(micros);
        let (network, settled) = self.config.network.map_or((None, false), |(n, s)| (Some(n), s));
        let beacon = Beacon {
            device: self.me,
            incarnation: self.config.incarnation,
            counter: self.counter,
            port: self.config.port,
            network,
            settled,
            goodbye,
        };
        let key = &self.config.key;
        if self.config.keys.is_empty() {
            return vec![beacon.encode(key)];
        }
        self.config.keys.iter().map(|network| beacon.encode_sealed(key, network)).collect()
    }

    fn begin_burst(&mut self, now: Duration) {
        self.burst = BEACON_BURST.iter().map(|after| now.saturating_add(*after)).collect();
    }

    fn interval(&mut self, now: Duration) -> Duration {
        if self.table.missing(now).next().is_some() {
            return self.jittered(MISSING_INTERVAL).min(MISSING_INTERVAL);
        }
        let peers = u32::try_from(self.table.proven()).unwrap_or(u32::MAX);
        let crowd = Duration::from_secs(1).saturating_mul(peers / BEACON_PEERS_PER_SECOND);
        self.jittered(BEACON_INTERVAL.max(crowd))
    }

    fn probe_missing(&mut self, now: Duration) {
        let missing: Vec<_> =
            self.table.missing(now).filter_map(|(id, d)| d.addrs.first().map(|a| (*id, *a))).collect();
        for (id, addr) in missing {
            if !self.dials.is_busy(Target::Device(id), now) {
                let due = now.saturating_add(self.dial_wait());
                self.dials.want(Target::Device(id), addr, Urgency::Other, due, now, true);
            }
        }
    }

    fn dial_configured(&mut self, now: Duration) {
        for addr in self.config.configured.clone() {
            if !self.is_found(addr) && !self.ourselves.contains(&addr) {
                self.dials.want(Target::Address(addr), addr, Urgency::Configured, now, now, true);
            }
        }
    }

    /// A beacon with somebody else's address makes everybody who hears it dial there: those who share this LAN with
    /// many wait longer, so that no more than about one dial a millisecond comes of it. Who is here, and who is being
    /// dialled because all start at once, tells how many hear it. Who has just announced itself is being dialled too: it
    /// waits for a moment, so that fewer dials cross.
    fn dial_wait(&mut self) -> Duration {
        if !self.burst.is_empty() {
            return self.jitter(DIAL_JITTER_NEW);
        }
        let others = u32::try_from(self.dials.len()).unwrap_or(u32::MAX).saturating_add(self.sessions);
        self.jitter(DIAL_JITTER.min(DIAL_JITTER_EACH.saturating_mul(others)))
    }

    fn jitter(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.rng.random::<f64>())
    }

    /// Three to five quarters of it.
    fn jittered(&mut self, d: Duration) -> Duration {
        d.mul_f64(0.75 + self.rng.random::<f64>() / 2.0)
    }
}

#[cfg(test)]
mod tests;
