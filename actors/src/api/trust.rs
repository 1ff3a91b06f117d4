//! What tells people who somebody is: badges, warnings, safety numbers.

use cairn_crdt::ids::DeviceId;
use cairn_crdt::safety::{Code, SafetyNumber};
use serde::{Deserialize, Serialize};

use super::Peer;

/// How well a person is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Badge {
    /// It took the name of somebody known here, or ours, and is another device ([`Peer::warning`] says whose).
    Warning,
    /// Never seen before this session.
    Unknown,
    /// Seen before with the same key.
    Contact,
    /// Safety number or QR code compared in person.
    Verified,
}

/// A device took a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Whose: a device known here, or this one.
    pub of: DeviceId,
    /// Whether it is ours.
    pub mine: bool,
    /// What happened and what to do, for people.
    pub sentence: String,
}

impl Peer {
    /// Its name as people need it: with the short code where another device is shown under that name or one like it.
    #[must_use]
    pub fn label(&self) -> String {
        if self.namesake { told_apart(&self.name, &self.id) } else { self.name.clone() }
    }
}

/// A name and the short code of who bears it.
#[must_use]
pub fn told_apart(name: &str, device: &DeviceId) -> String {
    format!("{name} ({})", device.code())
}

/// What two people compare, each on their own screen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Safety {
    /// The other device, as it is known now.
    pub peer: Box<Peer>,
    /// Twelve groups of five digits; the same on both screens.
    pub digits: Vec<String>,
    /// Twelve words; the same on both screens.
    pub words: Vec<String>,
    /// The text of the QR code that the other one reads: both devices as this one knows them.
    pub code: String,
}

impl Safety {
    /// Between this device and another: 2^17 hashes, some 30 ms.
    #[must_use]
    pub fn between(me: &DeviceId, peer: Peer) -> Self {
        let number = SafetyNumber::of(&me.principal(), &peer.id.principal());
        Self {
            digits: number.digits(),
            words: number.words().iter().map(|w| (*w).to_owned()).collect(),
            code: Code::new(*me, peer.id).to_string(),
            peer: Box::new(peer),
        }
    }
}
