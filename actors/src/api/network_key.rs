//! What is told of the network's key, never the key itself; and what may be done with it.

use cairn_crdt::ids::NetworkId;
use cairn_crdt::netkey::{NetworkKey, Ring};
use serde::{Deserialize, Serialize};

/// The key of the network that this device is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkKeyState {
    /// What people compare to see that they have the same.
    pub code: String,
    /// Since when it is the present one here.
    pub since: u64,
    /// Old keys that are accepted too, with until when, the longest accepted first.
    pub old: Vec<OldKey>,
}

/// A key that was changed for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldKey {
    /// What people compare.
    pub code: String,
    /// Until when it is accepted.
    pub until: u64,
}

impl NetworkKeyState {
    /// What is told of these keys at a time.
    #[must_use]
    pub fn of(ring: &Ring, now: u64) -> Option<Self> {
        let old = ring.old().iter().filter(|o| o.until > now);
        let old = old.map(|o| OldKey { code: o.key.code(), until: o.until }).collect();
        Some(Self { code: ring.key()?.code(), since: ring.since()?, old })
    }
}

/// What is to become of the key of this device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChange {
    /// Have this one, of this network. Where there is another, that one is accepted for a time, and the network stays.
    Use(NetworkKey, NetworkId),
    /// Accept old ones no longer.
    DropOld,
    /// Have none: the network of this device is open.
    Remove,
}
