//! The custody view as plain data: who holds a conversation up to where, and who was last seen when.

use cairn_crdt::ids::{DeviceId, DocumentId, SpaceId};
use serde::{Deserialize, Serialize};

use super::PeerState;

/// Who holds a conversation, or one document of it, as far as is known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custody {
    /// The conversation.
    pub conversation: SpaceId,
    /// The one document that is asked for; `None`: all of them together.
    pub document: Option<DocumentId>,
    /// Entries held here.
    pub entries: u64,
    /// Those it is meant for, oneself among them.
    pub members: u32,
    /// How many of them hold all that is here.
    pub holders: u32,
    /// What each device holds: members first, those who hold most first. At most [`crate::limits::CUSTODY_LISTED`].
    pub devices: Vec<Holder>,
    /// Each document, the newest part of the conversation first; as many at most.
    pub documents: Vec<DocumentCustody>,
}

/// What one device holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The device.
    pub id: DeviceId,
    /// As shown.
    pub name: String,
    /// Whether it is this one.
    pub me: bool,
    /// Whether it is counted: it belongs to the conversation and, in a room, was seen in the last 24 hours.
    pub member: bool,
    /// Whether it is here.
    pub state: PeerState,
    /// Entries of those here that it is known to hold.
    pub holds: u64,
    /// Whether these are all.
    pub complete: bool,
    /// It holds everything that was written before this; `None` where it holds all, or nothing is known.
    pub up_to: Option<u64>,
    /// Entries that it says it holds and that are not here.
    pub ahead: u64,
    /// When it last said what it holds.
    pub stated: Option<u64>,
    /// When it was last heard here, or said something that was passed on.
    pub last_seen: Option<u64>,
}

/// Who holds one document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentCustody {
    /// The document.
    pub id: DocumentId,
    /// What it is: `chat`, `control`, or the number of a kind that this build does not know.
    pub kind: String,
    /// When the time that it is about begins, where it is about one.
    pub from: Option<u64>,
    /// Entries held here.
    pub entries: u64,
    /// Members who hold all of them.
    pub holders: u32,
    /// Members.
    pub members: u32,
}
