//! What is still to come while a longer absence is made up for.

use cairn_crdt::ids::{DeviceId, SpaceId};
use serde::{Deserialize, Serialize};

/// How far catching up in one conversation is. Entries are messages and everything else that is replicated there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchUp {
    /// Where.
    pub conversation: SpaceId,
    /// How it is shown.
    pub title: String,
    /// Entries that came since it began and are safe on the disk.
    pub came: u64,
    /// Entries still to come, as far as those who bring them have said; 0: it is over.
    pub left: u64,
    /// Who brings them, at most a few; when it is over, who did last.
    pub from: Vec<Bringer>,
}

/// A device that brings entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bringer {
    /// Who.
    pub id: DeviceId,
    /// Its name here.
    pub name: String,
    /// Entries still to come from it.
    pub left: u64,
}
