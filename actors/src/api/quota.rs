//! Whose entries are not kept here for now, and why, as plain data: want of room, mostly.

use cairn_crdt::ids::{DeviceId, SpaceId};
use serde::{Deserialize, Serialize};

/// Why entries are not taken for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyHeld {
    /// Their author has used up its share of the conversation.
    Author,
    /// All others together have used up the conversation's share of the disk.
    Conversation,
    /// Devices that were never written to from here have used up the share that all of them have.
    Strangers,
    /// The disk is nearly full.
    Disk,
    /// Their author, or all others together, have begun as many logs in the conversation as they may: one for each start
    /// of a device and each part of the conversation.
    Logs,
    /// As many devices that were never written to from here have sent direct messages as may: no other begins a chat.
    Chats,
    /// Their author wrote or stated two things where only one can be, and writes more than is taken of it since.
    Forked,
}

/// Entries that are not taken for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// Why.
    pub why: WhyHeld,
    /// Where; `None`: everywhere.
    pub conversation: Option<SpaceId>,
    /// Whose; `None`: everybody's but this device's own.
    pub author: Option<DeviceId>,
    /// Its name as shown.
    pub author_name: Option<String>,
    /// Bytes that are kept already; for logs and chats, how many there are.
    pub bytes: u64,
    /// Bytes, or how many, that may be; where the disk is nearly full, those that are to stay free; of an author that forked, those
    /// that are taken a second.
    pub limit: u64,
    /// That in one sentence.
    pub sentence: String,
}
