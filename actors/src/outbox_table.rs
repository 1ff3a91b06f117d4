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
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
}

/// The same as the first builds wrote it.
#[derive(Serialize, Deserialize)]
struct First {
    id: MessageId,
    to: To,
    body: String,
    at: u64,
}

impl Intent {
    /// What a record of the outbox says; `None` where it cannot be read.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        postcard::from_bytes(value).ok().or_else(|| {
            let First { id, to, body, at } = postcard::from_bytes(value).ok()?;
            Some(Self { id, to, body, at, reply_to: None })
        })
    }

    /// The write that keeps it. Records sort by time; one id is kept once.
    #[must_use]
    pub fn write(&self) -> Write {
        let key = [&self.at.to_be_bytes()[..], &self.id.0].concat();
        Write::Put(Table::Outbox, key, postcard::to_stdvec(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_first_builds_are_read() {
        let (id, to, body) = (MessageId([1; 16]), To::Person(DeviceId([2; 32])), "hello".to_owned());
        let old = postcard::to_stdvec(&First { id, to, body: body.clone(), at: 7 }).unwrap();
        let intent = Intent { id, to, body, at: 7, reply_to: None };
        assert_eq!(Intent::read(&old), Some(intent.clone()));
        let answer = Intent { reply_to: Some(MessageId([3; 16])), ..intent };
        assert_eq!(Intent::read(&postcard::to_stdvec(&answer).unwrap()), Some(answer));
        assert_eq!(Intent::read(b"\xff"), None);
    }
}
