//! Commands, queries and events of the node as plain data: what the window, the command line and the local API speak.
//! Times are milliseconds since 1970 (UTC); ids print in the one text form.

mod about;
mod briefing;
mod care;
mod catch_up;
mod custody;
mod group;
mod network_key;
mod quota;
mod trust;

use std::net::SocketAddr;
use std::path::PathBuf;

use cairn_crdt::ids::{DeviceId, Incarnation, MessageId, NetworkId, SpaceId};
pub use cairn_crdt::kinds::order::OrderKey;
use serde::{Deserialize, Serialize};

pub use about::{About, Mentioned, Quote, Reacted, Version};
pub use briefing::{Absent, Briefing, Cause, Line, MetAt, Missing, Side, SideMember, Wrote, Wrotes};
pub use care::{BackedUp, Checkup, Compacted, Compaction, Finding, Health, Restored};
pub use catch_up::{Bringer, CatchUp};
pub use custody::{Custody, DocumentCustody, Holder};
pub use group::{Group, GroupCommand, GroupInvitation, GroupLine, GroupMember, GroupState, Role};
pub use network_key::{KeyChange, NetworkKeyState, OldKey};
pub use quota::{HeldBack, WhyHeld};
pub use trust::{Badge, Safety, Warning, told_apart};

/// How to start a node. The app fills it from flags and the settings file.
#[derive(Debug, Clone, Default)]
pub struct NodeOptions {
    /// The data folder; created owner-only.
    pub data: PathBuf,
    /// Display name for this start; kept. `None`: the one in the settings, else the host's or user's.
    pub name: Option<String>,
    /// QUIC port; `None`: the remembered one, else the first free of 27475-27484, else any.
    pub port: Option<u16>,
    /// Only these interfaces; empty: all that are up, without tunnels.
    pub interfaces: Vec<String>,
    /// Peers reached without discovery.
    pub peers: Vec<SocketAddr>,
    /// No beacons sent or heard.
    pub no_discovery: bool,
    /// Bind everything to loopback and hear only it (demo and tests).
    pub loopback_only: bool,
    /// Another beacon port than 27474 (several demos on one machine, tests).
    pub beacon_port: Option<u16>,
    /// The key of a folder that has a passphrase.
    pub key: Option<cairn_crdt::vault::DataKey>,
}

/// Whether a peer is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// A session is open and heartbeats arrive.
    Online,
    /// A session is open; the person set or the machine went idle.
    Away,
    /// No session.
    Offline,
}

/// A device that this node knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Its key.
    pub id: DeviceId,
    /// Petname, else its own name, else its code. Not unique: people see [`Peer::label`].
    pub name: String,
    /// What the person here calls it.
    #[serde(default)]
    pub petname: Option<String>,
    /// What it calls itself, once it has said so.
    #[serde(default)]
    pub own_name: Option<String>,
    /// Its short code.
    pub code: String,
    /// Whether it is here.
    pub state: PeerState,
    /// Where it was reached last.
    pub address: Option<SocketAddr>,
    /// Smoothed round trip in milliseconds.
    pub rtt_ms: Option<f64>,
    /// How well it is known.
    pub badge: Badge,
    /// Another device is shown under this name or one like it.
    #[serde(default)]
    pub namesake: bool,
    /// It took a name that is another's; as long as its badge is [`Badge::Warning`].
    #[serde(default)]
    pub warning: Option<Warning>,
    /// When it was last heard.
    pub last_seen: Option<u64>,
    /// How far its own clock is ahead of the time agreed on here, in milliseconds, once measured.
    #[serde(default)]
    pub clock_offset_ms: Option<i64>,
    /// The direct conversation with it.
    pub conversation: SpaceId,
}

/// What a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationKind {
    /// The Everyone room of a network.
    Everyone,
    /// Two people.
    Direct,
    /// A group with a roster.
    Group,
}

/// A line in the list of conversations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// Its space.
    pub id: SpaceId,
    /// What it is.
    pub kind: ConversationKind,
    /// What it is called: "Everyone", the other person's name, the group's.
    pub title: String,
    /// The other device of a direct conversation.
    pub peer: Option<DeviceId>,
    /// The network of an Everyone room.
    pub network: Option<NetworkId>,
    /// The newest message, shortened to one line of at most 200 characters.
    pub last: Option<Preview>,
    /// Messages of others past the read mark.
    pub unread: u64,
    /// How many of them mention the person here; as far as they were looked at.
    #[serde(default)]
    pub mentions: u64,
    /// When it was pinned to the top of the list, if it is.
    #[serde(default)]
    pub pinned: Option<u64>,
    /// Until when it is muted, if it is; [`crate::liking::FOR_GOOD`]: until somebody says otherwise.
    #[serde(default)]
    pub muted_until: Option<u64>,
    /// The read mark: everything up to this key is read.
    pub read_to: OrderKey,
    /// Members as delivery counts them, without oneself.
    pub members: u32,
    /// How many of them are here.
    pub here: u32,
    /// Entries here that need a newer Cairn than this one; as far as they were looked at.
    #[serde(default)]
    pub needs_newer: u64,
    /// Messages here whose keys have not come; as far as they were looked at.
    #[serde(default)]
    pub needs_key: u64,
}

/// The newest message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// Who wrote it.
    pub author: DeviceId,
    /// As shown.
    pub author_name: String,
    /// One line of it.
    pub text: String,
    /// When.
    pub sent: u64,
    /// Whether it is ours.
    pub mine: bool,
    /// Its author has deleted it; the text is empty.
    #[serde(default)]
    pub deleted: bool,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Durable here, nowhere else yet.
    Queued,
    /// Durable on a device that is not its addressee and passes it on. Only where members serve each other: a direct
    /// message is held by its two devices alone.
    Carried,
    /// Durable at one addressee or more.
    Delivered,
    /// Read by one addressee or more.
    Read,
}

/// A message as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its conversation.
    pub conversation: SpaceId,
    /// Where it stands.
    pub key: OrderKey,
    /// Who wrote it.
    pub author: DeviceId,
    /// As shown: with the short code where another device is shown under that name or one like it.
    pub author_name: String,
    /// How well the author is known.
    pub badge: Badge,
    /// Whether it is ours.
    pub mine: bool,
    /// When it was written, by its author's stamp.
    pub sent: u64,
    /// When it became durable here.
    pub received: u64,
    /// What it says.
    pub body: String,
    /// What became of it.
    pub state: DeliveryState,
    /// Addressees that hold it durably.
    pub delivered_to: u32,
    /// Addressees in all.
    pub members: u32,
    /// Addressees who say that they have read it.
    #[serde(default)]
    pub read_by: u32,
    /// While addressees lack it: devices beside its author that hold it and pass it on to them.
    #[serde(default)]
    pub carried_by: u32,
    /// It came after its device had stated that it writes nothing so early any more (a restored backup, most likely).
    #[serde(default)]
    pub late: bool,
    /// Whether nothing can come before it any more; `None` in an Everyone room, where nobody knows who is a member.
    #[serde(default)]
    pub is_final: Option<bool>,
    /// Those whose word is still missing, by name.
    #[serde(default)]
    pub final_waits_for: Vec<String>,
    /// How many messages this stands for that need a newer Cairn than this one; 0 for a message that can be read.
    #[serde(default)]
    pub needs_newer: u64,
    /// How many messages this stands for whose keys have not come; 0 for a message that can be read.
    #[serde(default)]
    pub needs_key: u64,
    /// What it answers, whom it mentions, whether it was edited or deleted, reactions.
    #[serde(default)]
    pub about: About,
}

impl Message {
    /// Whether this is no message, but the place of messages that cannot be read here at all: the author, time and key
    /// are those of the first of them, and the id is all zeros.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        (self.needs_newer > 0 || self.needs_key > 0) && self.id == MessageId([0; 16])
    }
}

/// Which messages to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PageAt {
    /// The newest.
    Newest,
    /// The newest before a key.
    Before(OrderKey),
    /// The oldest after a key.
    After(OrderKey),
    /// From the message of this number on, the oldest being 0.
    Number(u64),
}

impl From<PageAt> for cairn_crdt::kinds::chat::PageAt {
    fn from(at: PageAt) -> Self {
        match at {
            PageAt::Newest => Self::Newest,
            PageAt::Before(k) => Self::Before(k),
            PageAt::After(k) => Self::After(k),
            PageAt::Number(n) => Self::Number(n),
        }
    }
}

/// Part of a history, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The messages, and the places of such as need a newer Cairn.
    pub messages: Vec<Message>,
    /// Whether there are older ones.
    pub older: bool,
    /// Whether there are newer ones.
    pub newer: bool,
    /// Messages in the conversation in all.
    pub total: u64,
    /// Messages before the first of these; like `total` near, not exact, while old parts are not in memory.
    #[serde(default)]
    pub before: u64,
}

/// What `say` answers once the message is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The message.
    pub id: MessageId,
    /// Its conversation; `None` where no node runs and no network was ever met: the next node's first room.
    pub conversation: Option<SpaceId>,
    /// What became of it so far.
    pub state: DeliveryState,
    /// Names behind an `@` in it that could mean several people, so that they mention nobody.
    #[serde(default)]
    pub ambiguous: Vec<String>,
}

/// What one member did with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The member.
    pub id: DeviceId,
    /// As shown.
    pub name: String,
    /// What became of it there.
    pub state: DeliveryState,
    /// When the member was last heard.
    pub last_seen: Option<u64>,
}

/// Somebody whom messages in a conversation are for; oneself is not listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The member.
    pub id: DeviceId,
    /// As shown.
    pub name: String,
    /// Whether it is here.
    pub state: PeerState,
}

/// How long messages of a conversation are kept, and what became of those that are older.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// The conversation.
    pub conversation: SpaceId,
    /// For how many seconds; `None`: for ever.
    pub keep: Option<u64>,
    /// Whether the other side follows it too. In the room of a network each device decides for itself.
    pub shared: bool,
    /// Who set it, where it is shared.
    pub set_by: Option<DeviceId>,
    /// As shown.
    pub set_by_name: Option<String>,
    /// When.
    pub set_at: Option<u64>,
    /// What was said before is hidden here or gone.
    pub gone_before: Option<u64>,
    /// What was said before is gone from this device.
    pub erased_before: Option<u64>,
    /// When the next part of what is hidden is removed, at the earliest.
    pub erases_at: Option<u64>,
    /// Whether other clocks agree on the time just now; without, nothing is hidden or removed for its age.
    pub agreed: bool,
    /// What the setting does, in a sentence or two.
    pub sentence: String,
}

/// What happened to a part of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It is too old, and not shown any more.
    Hidden,
    /// It is shown again.
    Back,
    /// It was removed from this device.
    Erased,
    /// The person here deleted their copy.
    Forgotten,
}

/// A network that this node knows of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its id.
    pub id: NetworkId,
    /// Its name, if somebody gave one.
    pub name: String,
    /// Where this node stands.
    pub state: NetworkState,
    /// Whether its Everyone room is where `everyone` points.
    pub primary: bool,
    /// Whether it is settled: a device in it holds another's message.
    pub settled: bool,
    /// Devices of it that are here.
    pub here: u32,
    /// Its Everyone room.
    pub conversation: SpaceId,
}

/// Where this node stands with a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkState {
    /// In it.
    Joined,
    /// Met; the person has not answered yet.
    Asking,
    /// Met, and to be kept apart.
    Apart,
}

/// Whether there is a network to speak of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// At least one session is open.
    Online,
    /// Interfaces are up, nobody is here.
    Alone,
    /// No interface is up.
    NoNetwork,
}

/// The node at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Our key.
    pub id: DeviceId,
    /// Our name.
    pub name: String,
    /// Our short code.
    pub code: String,
    /// This start.
    pub incarnation: Incarnation,
    /// The QUIC port.
    pub port: u16,
    /// Peers here.
    pub peers_online: u32,
    /// Whether there is a network.
    pub link: LinkState,
    /// Interfaces in use, with an address each.
    pub interfaces: Vec<InterfaceInfo>,
    /// The data folder.
    pub data: PathBuf,
    /// The version of Cairn.
    pub version: String,
    /// Whether the name was chosen or confirmed by a person.
    pub named: bool,
    /// Mesh time minus this device's own clock in milliseconds: what its stamps are corrected by.
    #[serde(default)]
    pub clock_offset_ms: i64,
    /// Entries here that need a newer Cairn than this one; as far as they were looked at.
    #[serde(default)]
    pub needs_newer: u64,
    /// Whether others are told how far the person here has read.
    #[serde(default)]
    pub read_receipts: bool,
    /// Conversations in which much is still to come after an absence.
    #[serde(default)]
    pub catching_up: Vec<CatchUp>,
    /// When the store last gave room back by itself, in this start.
    #[serde(default)]
    pub compacted: Option<Compaction>,
    /// What others write that is not kept here for now.
    #[serde(default)]
    pub held_back: Vec<HeldBack>,
    /// Entries that came in this start and were not kept because of that; one that comes again counts again.
    #[serde(default)]
    pub held_back_entries: u64,
    /// The key of the network; `None`: it is open.
    #[serde(default)]
    pub network_key: Option<NetworkKeyState>,
    /// What is wrong, in one sentence each; empty when all is well.
    pub troubles: Vec<String>,
}

/// An interface in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceInfo {
    /// As the system calls it.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<std::net::IpAddr>,
}

/// What happened. Subscribers that fall behind get [`Event::Lagged`] and ask again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The node is up.
    Ready(Box<Status>),
    /// A peer came, went or changed.
    Peer(Box<Peer>),
    /// A message became visible.
    Message(Box<Message>),
    /// A message that was visible before was edited or deleted, or has other reactions.
    Changed(Box<Message>),
    /// Somebody is writing something, or has stopped. Told of nobody for longer than a few seconds.
    Typing {
        /// Where.
        conversation: SpaceId,
        /// Who.
        device: DeviceId,
        /// As shown.
        name: String,
        /// Whether they still are.
        typing: bool,
    },
    /// Messages became visible, too many to list or such as need a newer Cairn: ask for pages.
    Messages {
        /// Where.
        conversation: SpaceId,
        /// How many.
        count: u64,
    },
    /// How far catching up after an absence is, ten times a second at most; the last one says that nothing is left.
    CatchUp(Box<CatchUp>),
    /// What became of messages changed: everything of ours up to a key.
    Delivery {
        /// Where.
        conversation: SpaceId,
        /// One message, or all.
        message: Option<MessageId>,
        /// Addressees that hold it.
        delivered_to: u32,
        /// Addressees in all.
        members: u32,
        /// Addressees who say that they have read it.
        #[serde(default)]
        read_by: u32,
        /// While addressees lack it: devices beside its author that hold it and pass it on to them.
        #[serde(default)]
        carried_by: u32,
        /// What became of it.
        state: DeliveryState,
    },
    /// How long a conversation is kept was set, or what became of its older messages changed.
    Retention(Box<Retention>),
    /// A part of a conversation was hidden, shown again or removed: ask for its pages again.
    Gone {
        /// Where.
        conversation: SpaceId,
        /// What happened.
        what: What,
        /// It reaches up to this time.
        before: u64,
    },
    /// A device wrote twice at one place of a log, or stated two things that cannot both be true: everybody keeps the
    /// same branch, and goes by the same statement.
    Forked {
        /// Where.
        conversation: SpaceId,
        /// Who.
        device: DeviceId,
        /// Whether it is this device.
        mine: bool,
        /// What happened and what to do, for people.
        sentence: String,
    },
    /// Title, preview, unread count or members changed.
    Conversation(Box<Conversation>),
    /// Who belongs to a group, what it is called, or how this device stands to it changed.
    Group(Box<Group>),
    /// Somebody invites this device into a group.
    Invitation(Box<GroupInvitation>),
    /// A network was met, joined, folded or kept apart; `state: asking` wants an answer.
    Network(Box<Network>),
    /// Name, link or troubles changed.
    Status(Box<Status>),
    /// Sides met again; told again, under the same id, while more of what was written apart arrives.
    Briefing(Box<Briefing>),
    /// Something a person should know, in one sentence.
    Notice {
        /// Stable name of what happened.
        code: String,
        /// The sentence.
        message: String,
    },
    /// Events were lost to slowness: ask for everything again.
    Lagged,
    /// The node is going down.
    Stopping,
}

/// Why a command failed: a stable code for scripts, a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// snake_case, stable.
    pub code: String,
    /// One clear sentence.
    pub message: String,
    /// What could have been meant, when the name was ambiguous.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
}

impl ApiError {
    /// An error of a code and a sentence.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), candidates: Vec::new() }
    }
}

/// A number of things as it is told.
pub(crate) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
