//! What is spoken on the local socket: one JSON object a line, `{"v":1,"do":"status"}` and
//! `{"v":1,"reply":"status","value":{…}}`. Requests are the methods of [`cairn_actors::handle::Handle`] one to one,
//! beside `resolve` (what a conversation's name means) and `subscribe` (events from now on). Answers come in the order
//! of the requests; after `subscribe`, events come between them. Lists come in parts, so that no line exceeds
//! [`LOCAL_LINE_MAX`].

use std::path::PathBuf;

use cairn_actors::api::{
    ApiError, BackedUp, Briefing, Checkup, Compacted, Conversation, Custody, Event, Group, GroupCommand,
    GroupInvitation, GroupLine, Member, Message, Network, OrderKey, Page, PageAt, Peer, Receipt, Restored, Retention,
    Safety, Said, Status, Version,
};
use cairn_actors::limits::LOCAL_LINE_MAX;
use cairn_crdt::ids::{DeviceId, DocumentId, MessageId, NetworkId, SpaceId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::resolve::{ConvRef, Resolved};

/// The version of this protocol.
pub const VERSION: u32 = 1;

/// A request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum LocalRequest {
    /// Who am I, where, with whom.
    Status,
    /// Sets the display name.
    SetName {
        /// The name.
        name: String,
    },
    /// Every device known.
    Peers,
    /// Every conversation.
    Conversations,
    /// What the name of a conversation means.
    Resolve {
        /// The name.
        name: ConvRef,
    },
    /// Says something.
    Say {
        /// Where.
        conversation: SpaceId,
        /// What.
        body: String,
        /// The id to use.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
        /// The message that it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<MessageId>,
    },
    /// Changes what a message of one's own says.
    Edit {
        /// Where.
        conversation: SpaceId,
        /// Which.
        id: MessageId,
        /// What it says.
        body: String,
    },
    /// Deletes a message of one's own.
    Delete {
        /// Where.
        conversation: SpaceId,
        /// Which.
        id: MessageId,
    },
    /// Reacts to a message, or takes that back.
    React {
        /// Where.
        conversation: SpaceId,
        /// Which.
        id: MessageId,
        /// The reaction.
        emoji: String,
        /// Whether it is there.
        on: bool,
    },
    /// The person writes something, or has stopped.
    Typing {
        /// Where.
        conversation: SpaceId,
        /// Which of the two.
        on: bool,
    },
    /// Pins a conversation, or takes that back.
    SetPinned {
        /// Which.
        conversation: SpaceId,
        /// Whether it is pinned.
        pinned: bool,
    },
    /// Mutes a conversation, or no longer.
    SetMuted {
        /// Which.
        conversation: SpaceId,
        /// Until when, in milliseconds since 1970.
        #[serde(default)]
        until: Option<u64>,
    },
    /// All that a message said.
    Versions {
        /// Where.
        conversation: SpaceId,
        /// Which.
        id: MessageId,
    },
    /// Part of a history.
    Page {
        /// Where.
        conversation: SpaceId,
        /// Which part.
        at: At,
        /// How many at most.
        limit: usize,
    },
    /// One message.
    Message {
        /// Where.
        conversation: SpaceId,
        /// Which.
        id: MessageId,
    },
    /// What became of a message.
    Receipts {
        /// Where.
        conversation: SpaceId,
        /// Which.
        id: MessageId,
    },
    /// Whom messages in a conversation are for.
    Members {
        /// Where.
        conversation: SpaceId,
    },
    /// Who holds a conversation, or one document of it.
    Custody {
        /// Where.
        conversation: SpaceId,
        /// Only this document.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        document: Option<DocumentId>,
    },
    /// Everything up to a key is read.
    MarkRead {
        /// Where.
        conversation: SpaceId,
        /// Up to here.
        key: OrderKey,
    },
    /// How long messages of a conversation are kept.
    Retention {
        /// Where.
        conversation: SpaceId,
    },
    /// Sets it.
    SetRetention {
        /// Where.
        conversation: SpaceId,
        /// For how many seconds, or for ever.
        #[serde(default)]
        keep: Option<u64>,
    },
    /// Deletes the copy here.
    Forget {
        /// Where.
        conversation: SpaceId,
        /// Of what was said before, in milliseconds since 1970; of all so far where it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<u64>,
    },
    /// Does something with a group.
    Group {
        /// What.
        command: GroupCommand,
    },
    /// Every group.
    Groups,
    /// Invitations that wait for an answer.
    Invitations,
    /// What was done to who belongs to a group.
    GroupLog {
        /// Which.
        group: SpaceId,
    },
    /// Every network known.
    Networks,
    /// Joins a network.
    JoinNetwork {
        /// Which.
        id: NetworkId,
    },
    /// Keeps apart from a network.
    KeepApart {
        /// Which.
        id: NetworkId,
    },
    /// Names a network.
    NameNetwork {
        /// Which.
        id: NetworkId,
        /// Its name.
        name: String,
    },
    /// The last briefings.
    Briefings,
    /// A person has closed a briefing.
    BriefingSeen {
        /// Which.
        id: u64,
    },
    /// Gives a device a name of one's own, or takes it back.
    SetPetname {
        /// Which.
        device: DeviceId,
        /// The name, or none.
        #[serde(default)]
        name: Option<String>,
    },
    /// The safety number with a device.
    Safety {
        /// Which.
        device: DeviceId,
    },
    /// The person has compared safety numbers, or takes that back.
    SetVerified {
        /// With which device.
        device: DeviceId,
        /// Whether they are the same.
        verified: bool,
    },
    /// Takes the code that another device shows.
    Scan {
        /// Its text.
        code: String,
        /// Whose it should be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        meant: Option<DeviceId>,
    },
    /// Shows this device as away, or as here again.
    SetAway {
        /// Whether it is away.
        away: bool,
    },
    /// The settings file was changed.
    SettingsChanged,
    /// Kills an actor: the hook of the supervision tests.
    Kill {
        /// Its name.
        actor: String,
    },
    /// Checks everything that the node keeps.
    Check {
        /// Every signature, not only some.
        all: bool,
    },
    /// Checks everything and repairs what is damaged.
    Repair {
        /// Every signature, not only some.
        all: bool,
    },
    /// Gives room back to the disk.
    Compact,
    /// Saves everything to a file.
    BackUp {
        /// The file, with its whole path.
        file: PathBuf,
    },
    /// Exchanges everything for a backup.
    Restore {
        /// The file, with its whole path.
        file: PathBuf,
        /// Keep aside what is there.
        replace: bool,
    },
    /// Locks what is shown here until somebody unlocks it.
    Lock,
    /// What whoever holds the key of the folder is to prove it with.
    Challenge,
    /// Unlocks it.
    Unlock {
        /// The proof for the last challenge.
        proof: [u8; 32],
    },
    /// Stops the node.
    Stop,
    /// Events from now on.
    Subscribe,
}

/// Which part of a history; [`PageAt`] on the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// The newest.
    Newest,
    /// The newest before a key.
    Before(OrderKey),
    /// The oldest after a key.
    After(OrderKey),
    /// From the message of this number on.
    Number(u64),
}

impl From<PageAt> for At {
    fn from(at: PageAt) -> Self {
        match at {
            PageAt::Newest => Self::Newest,
            PageAt::Before(k) => Self::Before(k),
            PageAt::After(k) => Self::After(k),
            PageAt::Number(n) => Self::Number(n),
        }
    }
}

impl From<At> for PageAt {
    fn from(at: At) -> Self {
        match at {
            At::Newest => Self::Newest,
            At::Before(k) => Self::Before(k),
            At::After(k) => Self::After(k),
            At::Number(n) => Self::Number(n),
        }
    }
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether another line with more follows.
    pub more: bool,
}

/// An answer, or an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", content = "value", rename_all = "snake_case")]
pub enum LocalReply {
    /// To `status` and `set_name`.
    Status(Box<Status>),
    /// To `peers`.
    Peers(Part<Peer>),
    /// To `set_petname`, `set_verified` and `scan`.
    Peer(Box<Peer>),
    /// To `safety`.
    Safety(Box<Safety>),
    /// To `conversations`.
    Conversations(Part<Conversation>),
    /// To `set_pinned` and `set_muted`.
    Conversation(Box<Conversation>),
    /// To `resolve`.
    Resolved(Resolved),
    /// To `say`.
    Said(Said),
    /// To `page`; may hold fewer messages than asked for, with `older` or `newer` set accordingly.
    Page(Page),
    /// To `message`, `edit`, `delete` and `react`.
    Message(Box<Message>),
    /// To `versions`.
    Versions(Part<Version>),
    /// To `receipts`.
    Receipts(Part<Receipt>),
    /// To `members`.
    Members(Part<Member>),
    /// To `custody`.
    Custody(Box<Custody>),
    /// To `retention`, `set_retention` and `forget`.
    Retention(Box<Retention>),
    /// To `group`.
    Group(Box<Group>),
    /// To `groups`.
    Groups(Part<Group>),
    /// To `invitations`.
    Invitations(Part<GroupInvitation>),
    /// To `group_log`.
    GroupLog(Part<GroupLine>),
    /// To `networks`.
    Networks(Part<Network>),
    /// To `briefings`.
    Briefings(Part<Briefing>),
    /// To `join_network`, `keep_apart` and `name_network`.
    Network(Network),
    /// To `check` and `repair`.
    Checkup(Box<Checkup>),
    /// To `compact`.
    Compacted(Compacted),
    /// To `back_up`.
    BackedUp(BackedUp),
    /// To `restore`.
    Restored(Restored),
    /// To `challenge`.
    Challenge([u8; 16]),
    /// To requests that answer nothing.
    Done,
    /// Something happened.
    Event(Box<Event>),
    /// The request failed.
    Error(ApiError),
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    v: u32,
    #[serde(flatten)]
    body: T,
}

/// A line, with its end.
///
/// # Errors
/// `too_long` where the line would exceed [`LOCAL_LINE_MAX`].
pub fn encode<T: Serialize>(body: &T) -> Result<Vec<u8>, ApiError> {
    let mut line = serde_json::to_vec(&Envelope { v: VERSION, body })
        .map_err(|e| ApiError::new("internal", format!("an answer could not be written: {e}")))?;
    if line.len() > LOCAL_LINE_MAX {
        return Err(ApiError::new("too_long", format!("the line would exceed {LOCAL_LINE_MAX} bytes")));
    }
    line.push(b'\n');
    Ok(line)
}

/// What a line says.
///
/// # Errors
/// `bad_version` where it speaks another version, `bad_request` where it is not of this protocol.
pub fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<T, ApiError> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    match serde_json::from_slice::<Envelope<T>>(line) {
        Ok(e) if e.v == VERSION => Ok(e.body),
        result => match (serde_json::from_slice::<Version>(line), result) {
            (Ok(Version { v }), _) if v != VERSION => Err(ApiError::new(
                "bad_version",
                format!("version {v} of the local protocol is not spoken here, only {VERSION}"),
            )),
            (_, Err(e)) => Err(ApiError::new("bad_request", format!("not understood: {}", cut(&e.to_string())))),
            (_, Ok(_)) => Err(ApiError::new("bad_request", "not understood")),
        },
    }
}

/// At most 200 characters of a parser's complaint, which may quote what it was given.
fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Splits a list into parts whose lines stay below [`LOCAL_LINE_MAX`]. An item alone is always far below it.
#[must_use]
pub fn parts<T: Serialize>(items: Vec<T>) -> Vec<Part<T>> {
    let mut parts = Vec::new();
    let (mut now, mut size) = (Vec::new(), 0usize);
    for item in items {
        let len = encoded_len(&item);
        if size.saturating_add(len) > BUDGET && !now.is_empty() {
            parts.push(Part { items: std::mem::take(&mut now), more: true });
            size = 0;
        }
        size = size.saturating_add(len);
        now.push(item);
    }
    parts.push(Part { items: now, more: false });
    parts
}

/// Drops messages from the far end of a page until its line stays below [`LOCAL_LINE_MAX`]; at least one stays.
#[must_use]
pub fn fit(mut page: Page, at: &PageAt) -> Page {
    let forward = matches!(at, PageAt::After(_) | PageAt::Number(_));
    let lens: Vec<usize> = page.messages.iter().map(encoded_len).collect();
    let mut size = 0usize;
    let mut fits = |len: &&usize| {
        size = size.saturating_add(**len);
        size <= BUDGET
    };
    let keep =
        if forward { lens.iter().take_while(&mut fits).count() } else { lens.iter().rev().take_while(fits).count() };
    let keep = keep.max(1);
    let all = page.messages.len();
    if keep < all {
        if forward {
            page.messages.truncate(keep);
            page.newer = true;
        } else {
            let gone = all.saturating_sub(keep);
            page.messages.drain(..gone);
            page.before = page.before.saturating_add(gone as u64);
            page.older = true;
        }
    }
    page
}

/// Bytes of items in one line, leaving room for the envelope.
const BUDGET: usize = LOCAL_LINE_MAX - 4 * 1024;

fn encoded_len<T: Serialize>(item: &T) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.saturating_add(buf.len());
            Ok(buf.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(1);
    // Counting can't fail; an item that can't be written is refused by `encode`.
    let _ = serde_json::to_writer(&mut count, item);
    count.0
}
