//! What is known of each device: how far its beacons were heard, where it is reached, whether it is here. Bounded; the
//! ones not heard for longest make room, never one that is here or missed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use cairn_crdt::ids::{DeviceId, Incarnation, NetworkId};

use crate::limits::{ADDRESSES_PER_DEVICE, DIALS_WAITING};
use crate::proto::beacon::Beacon;

/// Incarnations of one device whose counters are remembered.
const INCARNATIONS: usize = 4;

/// A device.
#[derive(Debug, Clone, Default)]
pub(super) struct Device {
    /// The last counter of each incarnation, the newest incarnation last.
    counters: Vec<(Incarnation, u64)>,
    /// Where it was heard or reached, the latest first.
    pub(super) addrs: Vec<SocketAddr>,
    /// Network and whether it is settled, as its last beacon said; `None` before the first beacon.
    said: Option<(Option<NetworkId>, bool)>,
    /// The incarnation that a session is open with (`Some(None)`: open, incarnation not known).
    pub(super) here: Option<Option<Incarnation>>,
    /// It is a co-member, and searched for until then.
    pub(super) missing_until: Option<Duration>,
    /// A session with it was open in this run.
    pub(super) proven: bool,
    /// It lacked our network key when it was last met, or we lacked its.
    pub(super) refused: bool,
    age: Duration,
}

impl Device {
    /// Whether a session with the incarnation that sent this is open.
    pub(super) fn is_here(&self, incarnation: Incarnation) -> bool {
        self.here.is_some_and(|i| i.is_none_or(|i| i == incarnation))
    }

    /// Puts an address in front.
    pub(super) fn reached_at(&mut self, addr: SocketAddr) {
        self.addrs.retain(|a| *a != addr);
        self.addrs.insert(0, addr);
        self.addrs.truncate(ADDRESSES_PER_DEVICE);
    }

    /// The newest incarnation heard.
    pub(super) fn incarnation(&self) -> Option<Incarnation> {
        self.counters.last().map(|(i, _)| *i)
    }
}

/// What a beacon is to us before its signature is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not heard before.
    News,
    /// This very beacon by another way: another address of the device.
    OtherWay,
    /// Heard already, or older.
    Old,
}

/// What a verified beacon brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Novelty {
    /// The first beacon of this start of the device.
    pub(super) started: bool,
    /// Network or settledness differ from what it said before.
    pub(super) network: bool,
}

/// All devices.
#[derive(Debug)]
pub(super) struct Table {
    devices: BTreeMap<DeviceId, Device>,
    by_age: BTreeSet<(Duration, DeviceId)>,
    most: usize,
}

impl Table {
    pub(super) fn new(most: usize) -> Self {
        Self { devices: BTreeMap::new(), by_age: BTreeSet::new(), most }
    }

    pub(super) fn get(&self, id: &DeviceId) -> Option<&Device> {
        self.devices.get(id)
    }

    pub(super) fn len(&self) -> usize {
        self.devices.len()
    }

    pub(super) fn proven(&self) -> usize {
        self.devices.values().filter(|d| d.proven).count()
    }

    /// Devices that are searched for at `now`.
    pub(super) fn missing(&self, now: Duration) -> impl Iterator<Item = (&DeviceId, &Device)> {
        self.devices.iter().filter(move |(_, d)| d.missing_until.is_some_and(|t| t > now) && d.here.is_none())
    }

    /// Devices that no session is open with, and where each was heard or reached last, the latest first; no more than
    /// can wait to be dialled.
    pub(super) fn away(&self) -> Vec<(DeviceId, SocketAddr)> {
        let latest = self.by_age.iter().rev().filter_map(|(_, id)| Some((id, self.devices.get(id)?)));
        let away = latest.filter(|(_, d)| d.here.is_none());
        away.filter_map(|(id, d)| Some((*id, *d.addrs.first()?))).take(DIALS_WAITING).collect()
    }

    /// Every device that a session is open with.
    pub(super) fn here(&self) -> impl Iterator<Item = &DeviceId> {
        self.devices.iter().filter(|(_, d)| d.here.is_some()).map(|(id, _)| id)
    }

    /// The device, made if it is new, and counted as heard now.
    pub(super) fn touch(&mut self, id: DeviceId, now: Duration) -> &mut Device {
        if !self.devices.contains_key(&id) {
            self.make_room(now);
        }
        let device = self.devices.entry(id).or_default();
        self.by_age.remove(&(device.age, id));
        device.age = device.age.max(now);
        self.by_age.insert((device.age, id));
        device
    }

    /// The device, if it is known; its age stays.
    pub(super) fn get_mut(&mut self, id: &DeviceId) -> Option<&mut Device> {
        self.devices.get_mut(id)
    }

    fn make_room(&mut self, now: Duration) {
        while self.devices.len() >= self.most {
            let spare = |d: &Device| d.here.is_none() && d.missing_until.is_none_or(|t| t <= now);
            let oldest = self.by_age.iter().find(|(_, id)| self.devices.get(id).is_none_or(spare)).copied();
            let Some((age, id)) = oldest.or_else(|| self.by_age.first().copied()) else { break };
            self.by_age.remove(&(age, id));
            self.devices.remove(&id);
        }
    }

    /// What a claimed beacon would be.
    pub(super) fn standing(&self, claim: &Beacon, from: SocketAddr) -> Standing {
        let Some(device) = self.devices.get(&claim.device) else { return Standing::News };
        let last = device.counters.iter().find(|(i, _)| *i == claim.incarnation).map(|(_, c)| *c);
        match last {
            Some(last) if claim.counter < last => Standing::Old,
            Some(last) if claim.counter == last => {
                let room = device.addrs.len() < ADDRESSES_PER_DEVICE && !device.addrs.contains(&from);
                if room { Standing::OtherWay } else { Standing::Old }
            }
            _ => Standing::News,
        }
    }

    /// Takes in a verified beacon.
    pub(super) fn note(&mut self, beacon: &Beacon, addr: SocketAddr, now: Duration) -> Novelty {
        let device = self.touch(beacon.device, now);
        let known = device.counters.iter_mut().find(|(i, _)| *i == beacon.incarnation);
        let started = match known {
            Some((_, counter)) => {
                *counter = beacon.counter.max(*counter);
                false
            }
            None => {
                if device.counters.len() >= INCARNATIONS {
                    device.counters.remove(0);
                }
                device.counters.push((beacon.incarnation, beacon.counter));
                true
            }
        };
        let said = Some((beacon.network, beacon.settled));
        let network = device.said != said;
        device.said = said;
        device.reached_at(addr);
        Novelty { started, network }
    }
}
