//! Beacons over the switch.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Instance, Net, lock};
use crate::api::InterfaceInfo;
use crate::limits::BEACONS_WAITING;
use crate::link::BoxFuture;
use crate::net::{BeaconEvent, BeaconIo};

/// What a node has not yet taken in.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<InboxState>,
    arrived: Notify,
}

#[derive(Debug)]
struct InboxState {
    address: Option<IpAddr>,
    events: VecDeque<(Instant, BeaconEvent)>,
}

impl Inbox {
    pub(super) fn new(address: IpAddr) -> Self {
        let state = InboxState { address: Some(address), events: VecDeque::new() };
        Self { state: Mutex::new(state), arrived: Notify::new() }
    }

    pub(super) fn push(&self, at: Instant, from: SocketAddr, bytes: &[u8]) {
        self.put(at, BeaconEvent::Heard { from, bytes: Bytes::copy_from_slice(bytes) });
    }

    /// The interface went (`None`) or came.
    pub(super) fn changed(&self, address: Option<IpAddr>) {
        lock(&self.state).address = address;
        self.put(Instant::now(), BeaconEvent::Changed(self.interfaces()));
    }

    fn put(&self, at: Instant, event: BeaconEvent) {
        let mut state = lock(&self.state);
        if state.events.len() < BEACONS_WAITING {
            let place = state.events.partition_point(|(t, _)| *t <= at);
            state.events.insert(place, (at, event));
        }
        drop(state);
        self.arrived.notify_one();
    }

    fn interfaces(&self) -> Vec<InterfaceInfo> {
        let address = lock(&self.state).address;
        address.map(|a| InterfaceInfo { name: "switch0".into(), addresses: vec![a] }).into_iter().collect()
    }

    async fn next(&self) -> BeaconEvent {
        loop {
            let first = {
                let mut state = lock(&self.state);
                match state.events.front() {
                    Some((at, _)) if *at <= Instant::now() => match state.events.pop_front() {
                        Some((_, event)) => return event,
                        None => None,
                    },
                    Some((at, _)) => Some(*at),
                    None => None,
                }
            };
            match first {
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = self.arrived.notified() => {}
                },
                None => self.arrived.notified().await,
            }
        }
    }
}

/// The beacon side of one node.
#[derive(Debug)]
pub struct MemoryBeacons {
    net: Arc<Mutex<Net>>,
    addr: SocketAddr,
    instance: Instance,
    inbox: Arc<Inbox>,
}

impl MemoryBeacons {
    pub(super) fn new(net: Arc<Mutex<Net>>, addr: SocketAddr, instance: Instance, inbox: Arc<Inbox>) -> Self {
        Self { net, addr, instance, inbox }
    }
}

impl BeaconIo for MemoryBeacons {
    fn announce(&self, beacon: &[u8]) {
        lock(&self.net).beacon(self.addr, self.instance, None, beacon);
    }

    fn answer(&self, to: SocketAddr, beacon: &[u8]) {
        lock(&self.net).beacon(self.addr, self.instance, Some(to), beacon);
    }

    fn recv(&self) -> BoxFuture<'_, BeaconEvent> {
        Box::pin(self.inbox.next())
    }

    fn rescan(&self) {}

    fn interfaces(&self) -> Vec<InterfaceInfo> {
        self.inbox.interfaces()
    }
}
