//! What was said while no node ran: message id and intent, durable, to be signed by the next node. Signing in each
//! one-shot command would make a log (an incarnation) a command.

use cairn_crdt::ids::{DeviceId, MessageId, SpaceId};
use serde::{Deserialize, Serialize};

use crate::store::{Table, Write};

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum To {
    /// The primary network's room, whichever that is when a node starts.
    Everyone,
    /// A conversation known by id.
    Space(SpaceId),
    /// A person.
    Person(DeviceId),
}

/// A message to be signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Its id.
    pub id: MessageId,
    /// Where to.
    pub to: To,
    /// What it says.
    pub body: String,
    /// When it was said, milliseconds since 1970.
    pub at: u64,
}

impl Intent {
    /// The write that keeps it. Records sort by time; one id is kept once.
    #[must_use]
    pub fn write(&self) -> Write {
        let key = [&self.at.to_be_bytes()[..], &self.id.0].concat();
        Write::Put(Table::Outbox, key, postcard::to_stdvec(self).unwrap_or_default())
    }
}
