//! What belongs to a message beside its text: what it answers, whom it mentions, what became of its text, reactions.

use cairn_crdt::ids::{DeviceId, MessageId};
use serde::{Deserialize, Serialize};

use super::OrderKey;

/// What belongs to a message beside its text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// The message that it answers.
    pub reply_to: Option<Quote>,
    /// Whom its text mentions.
    pub mentions: Vec<Mentioned>,
    /// When the text that is shown was written, if the message said something else first.
    pub edited: Option<u64>,
    /// Its author has deleted it; the text is empty. Earlier versions stay until retention takes the message.
    pub deleted: bool,
    /// Reactions, those of most people first; at most [`crate::limits::REACTIONS_SHOWN`] kinds.
    pub reactions: Vec<Reacted>,
}

/// A message that another one answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// Its id.
    pub id: MessageId,
    /// Where it stands; `None` where it is not here, or in a part of the history that is not in memory.
    pub key: Option<OrderKey>,
    /// Who wrote it, where that is known.
    pub author: Option<DeviceId>,
    /// As shown.
    pub author_name: String,
    /// One line of it, as [`super::Preview`] has it.
    pub text: String,
    /// Its author has deleted it.
    pub deleted: bool,
}

/// Somebody whom a text mentions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mentioned {
    /// Who. The author of the message decided that when it was written.
    pub id: DeviceId,
    /// The name as the text says it, behind an `@`.
    pub said: String,
    /// As shown today.
    pub name: String,
    /// Whether it is the person here.
    pub me: bool,
}

/// A reaction and who gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reacted {
    /// The reaction, one character as people count them.
    pub emoji: String,
    /// How many people gave it.
    pub count: u32,
    /// Whether the person here did.
    pub mine: bool,
    /// Who, as shown; at most [`crate::limits::REACTORS_NAMED`] of them, oneself first.
    pub by: Vec<String>,
}

/// What a message said at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// When that was written, by its author's stamp.
    pub at: u64,
    /// What it said; `None`: it was deleted.
    pub body: Option<String>,
}
