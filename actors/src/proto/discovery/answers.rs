//! Beacons that answer newcomers, waiting for their time: one for each device, and no more than there are places.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use cairn_crdt::ids::DeviceId;

use crate::limits::DIALS_WAITING;

/// The answers that wait.
#[derive(Debug, Default)]
pub(super) struct Answers {
    of: BTreeMap<DeviceId, (Duration, SocketAddr)>,
    by_time: BTreeSet<(Duration, DeviceId)>,
}

impl Answers {
    /// One more, unless there is one for this device or no place.
    pub(super) fn add(&mut self, id: DeviceId, to: SocketAddr, due: Duration) {
        if self.of.len() < DIALS_WAITING && !self.of.contains_key(&id) {
            self.of.insert(id, (due, to));
            self.by_time.insert((due, id));
        }
    }

    /// The device needs none any more.
    pub(super) fn remove(&mut self, id: &DeviceId) {
        if let Some((due, _)) = self.of.remove(id) {
            self.by_time.remove(&(due, *id));
        }
    }

    /// When the first is due.
    pub(super) fn due(&self) -> Option<Duration> {
        self.by_time.first().map(|(due, _)| *due)
    }

    /// Takes the first that is due: where it goes.
    pub(super) fn next(&mut self, now: Duration) -> Option<SocketAddr> {
        let (_, id) = self.by_time.first().copied().filter(|(due, _)| *due <= now)?;
        let to = self.of.get(&id).map(|(_, to)| *to);
        self.remove(&id);
        to
    }
}
