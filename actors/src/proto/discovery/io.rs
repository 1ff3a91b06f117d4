//! What goes into discovery and what comes out of it.

use std::net::SocketAddr;
use std::time::Duration;

use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DeviceId, Incarnation, NetworkId};
use cairn_crdt::netkey::NetworkKey;

use crate::proto::beacon::BeaconError;

/// A co-member from an earlier run, or from peer exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Who.
    pub device: DeviceId,
    /// Where it was reached last.
    pub addr: SocketAddr,
    /// How long ago.
    pub seen_ago: Duration,
}

/// What discovery begins with.
#[derive(Debug, Clone)]
pub struct DiscoveryConfig {
    /// Our key.
    pub key: DeviceKey,
    /// This start.
    pub incarnation: Incarnation,
    /// Our QUIC port.
    pub port: u16,
    /// Our network, and whether it is settled.
    pub network: Option<(NetworkId, bool)>,
    /// The keys of our network that are accepted, the present one first; none: it is open.
    pub keys: Vec<NetworkKey>,
    /// Peers reached without beacons.
    pub configured: Vec<SocketAddr>,
    /// Co-members of earlier runs.
    pub known: Vec<Known>,
    /// Whether beacons are sent and heard at all.
    pub beacons: bool,
    /// The seed of all jitter.
    pub seed: [u8; 32],
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send to every neighbour.
    SendBeacon(Vec<u8>),
    /// Send to one address only.
    Answer {
        /// Where a beacon came from.
        to: SocketAddr,
        /// The datagram.
        beacon: Vec<u8>,
    },
    /// Dial now. The result comes back by [`super::Discovery::dial_ended`] with the same two values.
    Dial {
        /// Where.
        addr: SocketAddr,
        /// Who must be there; `None` for a configured address.
        device: Option<DeviceId>,
    },
    /// A device that is here says that it goes: ask it over its session.
    Goodbye(DeviceId),
    /// A device was heard for the first time in this start of it, or says another network than before.
    Met(Met),
    /// Somebody else uses our key.
    IdentityElsewhere {
        /// Where it was heard.
        addr: SocketAddr,
    },
    /// List the interfaces again.
    Rescan,
}

/// What a beacon said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// Who.
    pub device: DeviceId,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// Its network, if it has one, and whether it is settled.
    pub network: Option<(NetworkId, bool)>,
    /// Where it takes links.
    pub addr: SocketAddr,
}

/// Why a dial came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialFault {
    /// No answer, or it was refused on the way.
    Failed,
    /// Another device is there.
    WrongPeer,
    /// We are there.
    Oneself,
    /// It and we don't hold the same network key: we don't want it for a while.
    Unwanted,
    /// A link from there came about before ours was begun.
    CameFirst,
}

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// Not a good beacon.
    #[error(transparent)]
    Bad(#[from] BeaconError),
    /// Heard before.
    #[error("heard before")]
    Replay,
    /// Our own.
    #[error("our own")]
    Own,
    /// Too many from this address, or from everywhere.
    #[error("too many")]
    TooMany,
    /// We don't listen.
    #[error("beacons are off")]
    Off,
}
