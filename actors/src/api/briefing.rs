//! What a person is told when sides meet again. Times are milliseconds since 1970 (UTC).

use cairn_crdt::ids::{DeviceId, MessageId, SpaceId};
use serde::{Deserialize, Serialize};

use super::{ConversationKind, OrderKey};
pub use crate::proto::briefing::Cause;

/// A reunion, as shown. One that is not final is told again, under the same id, while it grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Briefing {
    /// Counts up from 1 on each device.
    pub id: u64,
    /// Why they were apart.
    pub cause: Cause,
    /// Until when all were together, as far as this device had heard.
    pub since: u64,
    /// When the first came back.
    pub began: u64,
    /// When it last grew.
    pub updated: u64,
    /// Whether all is here that the others had, or it is waited for no longer.
    pub is_final: bool,
    /// Whether its person has closed it.
    pub seen: bool,
    /// Our side first, then those who came back, the largest side first.
    pub sides: Vec<Side>,
    /// What those who came back have and is not here.
    pub missing: Vec<Missing>,
    /// Who was there when all were together and has not come back, the one heard last first.
    pub not_back: Vec<Absent>,
    /// Where edits of both sides met at one place. No kind of document has such places yet.
    pub met: Vec<MetAt>,
}

/// Devices that were together, and what was written there meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Whether this is our side; we ourselves are not among its members.
    pub here: bool,
    /// Who.
    pub members: Vec<SideMember>,
    /// Messages written there.
    pub messages: u64,
    /// Entries of other kinds.
    pub changes: u64,
    /// Where, the most messages first.
    pub conversations: Vec<Wrote>,
}

/// A device of a side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideMember {
    /// Who.
    pub id: DeviceId,
    /// As shown.
    pub name: String,
    /// Until when it had been heard before; `None` for our side, and for one that was never met.
    pub heard: Option<u64>,
    /// When it came back; `None` for our side.
    pub back: Option<u64>,
}

/// What a side wrote in one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrote {
    /// Where.
    pub conversation: SpaceId,
    /// What it is.
    pub kind: ConversationKind,
    /// What it is called.
    pub title: String,
    /// Messages.
    pub messages: u64,
    /// Entries of other kinds.
    pub changes: u64,
    /// When the first was written, by its author's stamp.
    pub first: u64,
    /// When the last was.
    pub last: u64,
    /// By whom, the most messages first.
    pub authors: Vec<Wrotes>,
    /// The first messages, in order; none for our side, which has read them.
    pub lines: Vec<Line>,
}

/// What one author wrote in one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrotes {
    /// Who.
    pub id: DeviceId,
    /// As shown.
    pub name: String,
    /// Messages.
    pub messages: u64,
    /// Entries of other kinds.
    pub changes: u64,
    /// When the first was written.
    pub first: u64,
    /// When the last was.
    pub last: u64,
}

/// A message to go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its id.
    pub id: MessageId,
    /// Where it stands.
    pub key: OrderKey,
    /// Who wrote it.
    pub author: DeviceId,
    /// As shown.
    pub author_name: String,
    /// When.
    pub sent: u64,
    /// One line of it, shortened.
    pub text: String,
}

/// A conversation in which somebody who came back and we have not the same yet. Entries are counted by the last statement
/// of that device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Where.
    pub conversation: SpaceId,
    /// What it is called.
    pub title: String,
    /// With whom.
    pub from: DeviceId,
    /// As shown.
    pub from_name: String,
    /// Entries that it holds and that are not here; `None` where it has stated nothing.
    pub entries: Option<u64>,
    /// Entries here that it has not stated to hold.
    pub owed: Option<u64>,
}

/// A device that has not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// Who.
    pub id: DeviceId,
    /// As shown.
    pub name: String,
    /// When it was last heard here.
    pub last_seen: u64,
    /// When it wrote the last that is here, by its own stamp; later than `last_seen` where others brought it.
    pub last_wrote: Option<u64>,
}

/// A conversation in which edits met at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetAt {
    /// Where.
    pub conversation: SpaceId,
    /// How many places.
    pub places: u64,
}

impl Missing {
    /// Whether something is not here, as far as is known.
    #[must_use]
    pub fn lacks(&self) -> bool {
        self.entries != Some(0)
    }
}

impl Briefing {
    /// What those who came back wrote.
    pub fn news(&self) -> impl Iterator<Item = &Wrote> {
        self.sides.iter().filter(|s| !s.here).flat_map(|s| &s.conversations)
    }

    /// The first new message: of the conversation in which the others wrote the most.
    #[must_use]
    pub fn first_new(&self) -> Option<(SpaceId, &Line)> {
        let of = |w: &'_ Wrote| (w.conversation, w.messages);
        let mut all: Vec<&Wrote> = self.news().filter(|w| !w.lines.is_empty()).collect();
        all.sort_by_key(|w| std::cmp::Reverse(of(w).1));
        let most = all.first()?;
        // Two sides may have written to the same conversation: what stands first there is the first.
        let here = all.iter().filter(|w| w.conversation == most.conversation);
        let line = here.filter_map(|w| w.lines.first()).min_by_key(|l| l.key)?;
        Some((most.conversation, line))
    }
}
