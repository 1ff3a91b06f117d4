//! Beacons on the wire: what discovery needs of sockets, and nothing else. `udp` has the real sockets, `interfaces`
//! says which interfaces they stand on; the in-memory twin is [`crate::link::memory`].

pub mod interfaces;
pub mod udp;

use std::net::SocketAddr;

use bytes::Bytes;

use crate::api::InterfaceInfo;
use crate::link::BoxFuture;

/// What comes from the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BeaconEvent {
    /// A datagram of at most [`crate::limits::BEACON_MAX`] bytes (plus one, so that a longer one is known as such).
    Heard {
        /// Where it came from; an IPv6 link-local address carries its scope.
        from: SocketAddr,
        /// The datagram.
        bytes: Bytes,
    },
    /// Interfaces or addresses came or went.
    Changed(Vec<InterfaceInfo>),
    /// What is wrong with the sockets, in one sentence each; empty when all is well again.
    Troubles(Vec<String>),
}

/// Sends beacons to every neighbour and hears theirs.
pub trait BeaconIo: Send + Sync + 'static {
    /// Lists the interfaces again, then sends to every group and broadcast address of each. Best effort: what fails is
    /// logged and tried again with the next beacon. Never waits.
    fn announce(&self, beacon: &[u8]);
    /// Sends to one address, where a beacon came from, and to the beacon port there. Best effort.
    fn answer(&self, to: SocketAddr, beacon: &[u8]);
    /// The next event. One caller.
    fn recv(&self) -> BoxFuture<'_, BeaconEvent>;
    /// Lists the interfaces again; a change comes out of [`BeaconIo::recv`].
    fn rescan(&self);
    /// The interfaces in use.
    fn interfaces(&self) -> Vec<InterfaceInfo>;
}
