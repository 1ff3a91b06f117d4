//! The JSON lines of the command line: a contract that scripts depend on. The types are apart from the node's own, so
//! that a change there changes nothing here unseen.

mod about;
mod briefing;
mod care;
mod catch_up;
mod config;
mod group;
mod network_key;
pub mod passphrase;
mod people;
mod room;

use cairn_actors::api::{
    Badge, Conversation, ConversationKind, Custody, DeliveryState, DocumentCustody, Event, Holder, Message, Network,
    NetworkState, PeerState, Receipt, Retention, Said, Status, Version, What,
};
use cairn_actors::liking::FOR_GOOD;
use cairn_crdt::ids::{DeviceId, DocumentId, Incarnation, MessageId, NetworkId, SpaceId};
use serde::Serialize;

use super::time::rfc3339;
use crate::local::resolve::Resolved;
pub use briefing::briefing;
pub use care::{backed_up, checkup, compacted, finding, restored};
pub use config::config;
pub use group::{group, group_line, invitation};
pub use network_key::{network_key, network_key_text};
pub use people::{peer, safety};

#[derive(Serialize)]
struct StatusLine<'a> {
    id: DeviceId,
    name: &'a str,
    code: &'a str,
    incarnation: Option<Incarnation>,
    port: Option<u16>,
    peers_online: u32,
    data: String,
    version: &'a str,
    clock_offset_ms: Option<i64>,
    needs_newer: u64,
    catching_up: Vec<catch_up::CatchUpLine<'a>>,
    compacted: Option<room::CompactionLine>,
    held_back: Vec<room::HeldBackLine<'a>>,
    held_back_entries: u64,
    network_key: Option<network_key::NetworkKeyLine>,
}

#[derive(Serialize)]
struct WhoamiLine<'a> {
    id: DeviceId,
    name: &'a str,
    code: &'a str,
}

#[derive(Serialize)]
struct CustodyLine<'a> {
    conversation: SpaceId,
    title: &'a str,
    kind: ConversationKind,
    entries: u64,
    holders: u32,
    members: u32,
}

#[derive(Serialize)]
struct HolderLine<'a> {
    conversation: SpaceId,
    document: Option<DocumentId>,
    id: DeviceId,
    name: &'a str,
    me: bool,
    member: bool,
    state: PeerState,
    holds: u64,
    of: u64,
    complete: bool,
    up_to: Option<String>,
    ahead: u64,
    stated: Option<String>,
    last_seen: Option<String>,
}

#[derive(Serialize)]
struct DocumentLine<'a> {
    conversation: SpaceId,
    document: DocumentId,
    kind: &'a str,
    from: Option<String>,
    entries: u64,
    holders: u32,
    members: u32,
}

#[derive(Serialize)]
struct SaidLine {
    id: MessageId,
    /// Null while the device was in no network yet: the message waits for the first Everyone room.
    conversation: Option<SpaceId>,
    state: DeliveryState,
}

#[derive(Serialize)]
struct MessageLine<'a> {
    id: Option<MessageId>,
    conversation: SpaceId,
    author: DeviceId,
    author_name: &'a str,
    sent: String,
    received: String,
    body: &'a str,
    state: DeliveryState,
    delivered_to: u32,
    members: u32,
    #[serde(rename = "final")]
    is_final: Option<bool>,
    final_waits_for: &'a [String],
    needs_newer: u64,
    read_by: u32,
    carried_by: u32,
    late: bool,
    badge: Badge,
    needs_key: u64,
    #[serde(flatten)]
    about: about::AboutLine<'a>,
}

#[derive(Serialize)]
struct ReceiptLine<'a> {
    id: DeviceId,
    name: &'a str,
    state: DeliveryState,
    last_seen: Option<String>,
}

#[derive(Serialize)]
struct NetworkLine<'a> {
    id: NetworkId,
    name: &'a str,
    state: NetworkState,
    primary: bool,
    settled: bool,
    here: u32,
    conversation: SpaceId,
}

#[derive(Serialize)]
struct ConversationLine<'a> {
    id: SpaceId,
    kind: ConversationKind,
    title: &'a str,
    peer: Option<DeviceId>,
    network: Option<NetworkId>,
    unread: u64,
    members: u32,
    here: u32,
    needs_newer: u64,
    needs_key: u64,
    mentions: u64,
    pinned: bool,
    muted: bool,
    muted_until: Option<String>,
}

#[derive(Serialize)]
struct TypingLine<'a> {
    conversation: SpaceId,
    id: DeviceId,
    name: &'a str,
    typing: bool,
}

#[derive(Serialize)]
struct Count {
    conversation: SpaceId,
    count: u64,
}

#[derive(Serialize)]
struct Delivery {
    conversation: SpaceId,
    message: Option<MessageId>,
    delivered_to: u32,
    members: u32,
    state: DeliveryState,
    read_by: u32,
    carried_by: u32,
}

#[derive(Serialize)]
struct Gone {
    conversation: SpaceId,
    what: What,
    before: String,
}

#[derive(Serialize)]
struct Forked<'a> {
    conversation: SpaceId,
    device: DeviceId,
    mine: bool,
    sentence: &'a str,
}

#[derive(Serialize)]
struct RetentionLine<'a> {
    conversation: SpaceId,
    keep_seconds: Option<u64>,
    shared: bool,
    set_by: Option<DeviceId>,
    set_by_name: Option<&'a str>,
    set_at: Option<String>,
    gone_before: Option<String>,
    erased_before: Option<String>,
    erases_at: Option<String>,
    agreed: bool,
    sentence: &'a str,
}

#[derive(Serialize)]
struct Notice<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Tagged<T> {
    event: &'static str,
    #[serde(flatten)]
    body: T,
}

/// None of the types above can fail to print: their keys are strings and their numbers finite or null.
fn print<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn status_of(s: &Status, running: bool) -> StatusLine<'_> {
    StatusLine {
        id: s.id,
        name: &s.name,
        code: &s.code,
        incarnation: running.then_some(s.incarnation),
        port: running.then_some(s.port),
        peers_online: s.peers_online,
        data: s.data.to_string_lossy().into_owned(),
        version: &s.version,
        clock_offset_ms: running.then_some(s.clock_offset_ms),
        needs_newer: s.needs_newer,
        catching_up: s.catching_up.iter().map(catch_up::body).collect(),
        compacted: s.compacted.as_ref().map(room::compaction),
        held_back: s.held_back.iter().map(room::held_back).collect(),
        held_back_entries: s.held_back_entries,
        network_key: s.network_key.as_ref().map(network_key::body),
    }
}

fn message_of<'a>(m: &'a Message, kind: Option<ConversationKind>, versions: Option<&'a [Version]>) -> MessageLine<'a> {
    MessageLine {
        id: (!m.is_placeholder()).then_some(m.id),
        conversation: m.conversation,
        author: m.author,
        author_name: &m.author_name,
        sent: rfc3339(m.sent),
        received: rfc3339(m.received),
        body: &m.body,
        state: m.state,
        delivered_to: m.delivered_to,
        members: m.members,
        // In a commons nothing is ever final.
        is_final: match kind {
            Some(ConversationKind::Direct | ConversationKind::Group) => Some(m.is_final.unwrap_or(false)),
            Some(ConversationKind::Everyone) | None => None,
        },
        final_waits_for: &m.final_waits_for,
        needs_newer: m.needs_newer,
        read_by: m.read_by,
        carried_by: m.carried_by,
        late: m.late,
        badge: m.badge,
        needs_key: m.needs_key,
        about: about::body(m, versions),
    }
}

fn retention_of(r: &Retention) -> RetentionLine<'_> {
    RetentionLine {
        conversation: r.conversation,
        keep_seconds: r.keep,
        shared: r.shared,
        set_by: r.set_by,
        set_by_name: r.set_by_name.as_deref(),
        set_at: r.set_at.map(rfc3339),
        gone_before: r.gone_before.map(rfc3339),
        erased_before: r.erased_before.map(rfc3339),
        erases_at: r.erases_at.map(rfc3339),
        agreed: r.agreed,
        sentence: &r.sentence,
    }
}

fn network_of(n: &Network) -> NetworkLine<'_> {
    NetworkLine {
        id: n.id,
        name: &n.name,
        state: n.state,
        primary: n.primary,
        settled: n.settled,
        here: n.here,
        conversation: n.conversation,
    }
}

fn conversation_of(c: &Conversation) -> ConversationLine<'_> {
    ConversationLine {
        id: c.id,
        kind: c.kind,
        title: &c.title,
        peer: c.peer,
        network: c.network,
        unread: c.unread,
        members: c.members,
        here: c.here,
        needs_newer: c.needs_newer,
        needs_key: c.needs_key,
        mentions: c.mentions,
        pinned: c.pinned.is_some(),
        muted: c.muted_until.is_some(),
        muted_until: c.muted_until.filter(|at| *at != FOR_GOOD).map(rfc3339),
    }
}

/// `pin` and `mute`.
#[must_use]
pub fn conversation(c: &Conversation) -> String {
    print(&conversation_of(c))
}

/// `status`; without a running node there is no incarnation and no port.
#[must_use]
pub fn status(s: &Status, running: bool) -> String {
    print(&status_of(s, running))
}

/// `whoami`.
#[must_use]
pub fn whoami(s: &Status) -> String {
    print(&WhoamiLine { id: s.id, name: &s.name, code: &s.code })
}

/// `say`.
#[must_use]
pub fn said(s: &Said) -> String {
    print(&SaidLine { id: s.id, conversation: s.conversation, state: s.state })
}

/// A line of `log`.
#[must_use]
pub fn message(m: &Message, kind: Option<ConversationKind>) -> String {
    print(&message_of(m, kind, None))
}

/// The same with all that it said before.
#[must_use]
pub fn message_with(m: &Message, kind: Option<ConversationKind>, versions: Option<&[Version]>) -> String {
    print(&message_of(m, kind, versions))
}

/// A line of `receipts`.
#[must_use]
pub fn receipt(r: &Receipt) -> String {
    print(&ReceiptLine { id: r.id, name: &r.name, state: r.state, last_seen: r.last_seen.map(rfc3339) })
}

/// `retention` and `forget`.
#[must_use]
pub fn retention(r: &Retention) -> String {
    print(&retention_of(r))
}

/// A line of `custody` without a conversation.
#[must_use]
pub fn custody(c: &Custody, place: &Resolved) -> String {
    let (entries, holders, members) = (c.entries, c.holders, c.members);
    print(&CustodyLine {
        conversation: c.conversation,
        title: &place.title,
        kind: place.kind,
        entries,
        holders,
        members,
    })
}

/// A line of `custody` of a conversation: a device.
#[must_use]
pub fn holder(c: &Custody, h: &Holder) -> String {
    print(&HolderLine {
        conversation: c.conversation,
        document: c.document,
        id: h.id,
        name: &h.name,
        me: h.me,
        member: h.member,
        state: h.state,
        holds: h.holds,
        of: c.entries,
        complete: h.complete,
        up_to: h.up_to.map(rfc3339),
        ahead: h.ahead,
        stated: h.stated.map(rfc3339),
        last_seen: h.last_seen.map(rfc3339),
    })
}

/// A line of `custody --documents`.
#[must_use]
pub fn document(c: &Custody, d: &DocumentCustody) -> String {
    print(&DocumentLine {
        conversation: c.conversation,
        document: d.id,
        kind: &d.kind,
        from: d.from.map(rfc3339),
        entries: d.entries,
        holders: d.holders,
        members: d.members,
    })
}

/// A line of `network list`, and the answer of the other `network` verbs.
#[must_use]
pub fn network(n: &Network) -> String {
    print(&network_of(n))
}

/// The first line of `node`.
#[must_use]
pub fn ready(s: &Status) -> String {
    print(&Tagged { event: "ready", body: status_of(s, true) })
}

/// A line of `node`. `kind` tells what a conversation is, where that is known.
#[must_use]
pub fn event(e: &Event, kind: impl Fn(&SpaceId) -> Option<ConversationKind>) -> String {
    match e {
        Event::Ready(s) => ready(s),
        Event::Peer(p) => print(&Tagged { event: "peer", body: people::body(p) }),
        Event::Message(m) => print(&Tagged { event: "message", body: message_of(m, kind(&m.conversation), None) }),
        Event::Changed(m) => {
            print(&Tagged { event: "message_changed", body: message_of(m, kind(&m.conversation), None) })
        }
        Event::Typing { conversation, device, name, typing } => print(&Tagged {
            event: "typing",
            body: TypingLine { conversation: *conversation, id: *device, name, typing: *typing },
        }),
        Event::Messages { conversation, count } => {
            print(&Tagged { event: "messages", body: Count { conversation: *conversation, count: *count } })
        }
        Event::CatchUp(c) => print(&Tagged { event: "catch_up", body: catch_up::body(c) }),
        Event::Delivery { conversation, message, delivered_to, members, read_by, carried_by, state } => {
            print(&Tagged {
                event: "delivery",
                body: Delivery {
                    conversation: *conversation,
                    message: *message,
                    delivered_to: *delivered_to,
                    members: *members,
                    state: *state,
                    read_by: *read_by,
                    carried_by: *carried_by,
                },
            })
        }
        Event::Retention(r) => print(&Tagged { event: "retention", body: retention_of(r) }),
        Event::Gone { conversation, what, before } => print(&Tagged {
            event: "gone",
            body: Gone { conversation: *conversation, what: *what, before: rfc3339(*before) },
        }),
        Event::Forked { conversation, device, mine, sentence } => print(&Tagged {
            event: "forked",
            body: Forked { conversation: *conversation, device: *device, mine: *mine, sentence },
        }),
        Event::Conversation(c) => print(&Tagged { event: "conversation", body: conversation_of(c) }),
        Event::Group(g) => print(&Tagged { event: "group", body: group::body(g) }),
        Event::Invitation(i) => print(&Tagged { event: "invitation", body: group::invitation_body(i) }),
        Event::Network(n) => print(&Tagged { event: "network", body: network_of(n) }),
        Event::Status(s) => print(&Tagged { event: "status", body: status_of(s, true) }),
        Event::Briefing(b) => print(&Tagged { event: "briefing", body: briefing::body(b) }),
        Event::Notice { code, message } => print(&Tagged { event: "notice", body: Notice { code, message } }),
        Event::Lagged => lagged(),
        Event::Stopping => print(&Tagged { event: "stopping", body: Nothing {} }),
    }
}

/// Events were lost.
#[must_use]
pub fn lagged() -> String {
    print(&Tagged { event: "lagged", body: Nothing {} })
}
