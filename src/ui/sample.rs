//! A model filled by hand: people, conversations and messages as a field day has them. Tests, pictures and the scroll
//! bench use it, so that none of them needs a node.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use cairn_actors::api::{
    Absent, Badge, Briefing, Bringer, CatchUp, Cause, Conversation, ConversationKind, Custody, DeliveryState, Holder,
    InterfaceInfo, Line, LinkState, Member, Mentioned, Message, Network, NetworkState, OrderKey, Page, PageAt, Peer,
    PeerState, Preview, Quote, Reacted, Receipt, Side, SideMember, Status, Wrote, Wrotes,
};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, Incarnation, MessageId, NetworkId, PrincipalId, SpaceId};
use jiff::tz::TimeZone;

use super::intent::Intent;
use super::model::{Clock, Model, Preferences, Update};

/// 2026-11-20 12:00:00 UTC in milliseconds since 1970.
pub const NOON: u64 = 1_795_176_000_000;

/// A clock that stands: 14:10 in a zone two hours east.
#[must_use]
pub fn clock() -> Clock {
    Clock { now: NOON + 10 * 60_000, zone: TimeZone::fixed(jiff::tz::offset(2)) }
}

/// The device of number `n`.
#[must_use]
pub fn device(n: u8) -> DeviceId {
    let mut id = [n.wrapping_mul(53); 32];
    id[0] = n;
    DeviceId(id)
}

/// The network of the sample.
#[must_use]
pub fn network_id(n: u8) -> NetworkId {
    NetworkId([n; 16])
}

/// The Everyone room of the sample.
#[must_use]
pub fn everyone() -> SpaceId {
    SpaceId::commons(&network_id(1))
}

/// The direct conversation with device `n`.
#[must_use]
pub fn direct(n: u8) -> SpaceId {
    SpaceId::direct(&me().principal(), &PrincipalId(device(n).0))
}

/// Our own device.
#[must_use]
pub fn me() -> DeviceId {
    device(99)
}

/// Message number `n` of the Everyone room, `n` milliseconds after [`NOON`].
#[must_use]
pub fn message(n: u64) -> Message {
    let mut id = [0u8; 16];
    id[8..].copy_from_slice(&n.to_be_bytes());
    let author = 1 + u8::try_from(n / 3 % 5).unwrap_or(0);
    build(n, id, author, NOON + n, TEXTS[usize::try_from(n).unwrap_or(0) % TEXTS.len()])
}

fn build(n: u64, id: [u8; 16], author: u8, sent: u64, body: &str) -> Message {
    let who = device(author);
    let id = MessageId(id);
    Message {
        id,
        conversation: everyone(),
        key: OrderKey { stamp: Hlc(Hlc::from_ms(sent).0 | (n & 0xfff)), device: who, id },
        author: who,
        author_name: name(author).to_owned(),
        badge: badge(author),
        mine: author == 99,
        sent,
        received: sent + 3,
        body: body.to_owned(),
        state: DeliveryState::Delivered,
        delivered_to: 7,
        members: 9,
        read_by: 0,
        carried_by: 0,
        late: false,
        is_final: None,
        final_waits_for: Vec::new(),
        needs_newer: 0,
        needs_key: 0,
        about: Default::default(),
    }
}

const TEXTS: [&str; 8] = [
    "Copied.",
    "Gate B is open again, the upper track is clear and two crews are on their way down.",
    "二号路口积水，车辆绕行。 Crossing 2 is flooded, vehicles go around.",
    "Fuel: 340 l left, truck at 16:00 👍",
    "On it.",
    "Can somebody bring the spare batteries for the radios to post 3? We have four left, that is enough until about \
     seven this evening, and the night shift will need all of them. The charger is in the blue box behind the tent.",
    "Radio check at the hour",
    "Thanks, see you at the brief 🙂",
];

/// What device `n` is called.
#[must_use]
pub fn name(n: u8) -> &'static str {
    match n {
        1 => "Maya Okafor",
        2 => "张伟",
        3 => "T. Rinaldi",
        4 => "S. Brandt",
        5 => "J. Pelletier",
        6 => "Medic-3",
        7 => "Post 2",
        8 => "Wolfeschlegelsteinhausenbergerdorff Senior of the Northern Ridge",
        99 => "Linh Wagner",
        _ => "desk",
    }
}

fn badge(n: u8) -> Badge {
    match n {
        1 | 4 | 5 | 99 => Badge::Verified,
        2 | 6 | 7 => Badge::Contact,
        _ => Badge::Unknown,
    }
}

/// Device `n` as a peer.
#[must_use]
pub fn peer(n: u8) -> Peer {
    let state = match n {
        3 | 8 => PeerState::Offline,
        2 => PeerState::Away,
        _ => PeerState::Online,
    };
    Peer {
        id: device(n),
        name: name(n).to_owned(),
        petname: None,
        own_name: Some(name(n).to_owned()),
        code: device(n).code(),
        state,
        address: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 77, 0, 10 + n)), 27475)),
        rtt_ms: (state != PeerState::Offline).then(|| 0.4 + f64::from(n) / 3.0),
        badge: badge(n),
        namesake: false,
        warning: None,
        last_seen: Some(NOON - u64::from(n) * 900_000),
        clock_offset_ms: Some(if n == 3 { 9 * 525_960 * 60_000 } else { 40 }),
        conversation: direct(n),
    }
}

/// The node at a glance.
#[must_use]
pub fn status() -> Status {
    Status {
        id: me(),
        name: name(99).to_owned(),
        code: me().code(),
        incarnation: Incarnation([7; 16]),
        port: 27475,
        peers_online: 6,
        link: LinkState::Online,
        interfaces: vec![InterfaceInfo {
            name: "eth0".into(),
            addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 77, 0, 12))],
        }],
        data: "/home/linh/.local/share/cairn".into(),
        version: "0.1.0".into(),
        named: true,
        clock_offset_ms: 0,
        needs_newer: 0,
        read_receipts: true,
        catching_up: Vec::new(),
        compacted: None,
        held_back: Vec::new(),
        held_back_entries: 0,
        network_key: None,
        troubles: Vec::new(),
    }
}

/// How far catching up in a conversation is.
#[must_use]
pub fn catch_up(conversation: SpaceId, came: u64, left: u64) -> CatchUp {
    let from = vec![Bringer { id: device(1), name: name(1).to_owned(), left }];
    let title = if conversation == everyone() { "Everyone" } else { name(1) };
    CatchUp { conversation, title: title.to_owned(), came, left, from }
}

/// A network in a state.
#[must_use]
pub fn network(n: u8, state: NetworkState) -> Network {
    Network {
        id: network_id(n),
        name: if n == 1 { "North Ridge".into() } else { "Valley office".into() },
        state,
        primary: n == 1,
        settled: true,
        here: if n == 1 { 6 } else { 3 },
        conversation: SpaceId::commons(&network_id(n)),
    }
}

fn line(id: SpaceId, title: &str, peer: Option<u8>, last: Option<(u8, &str, u64)>, unread: u64) -> Conversation {
    Conversation {
        id,
        kind: if peer.is_some() { ConversationKind::Direct } else { ConversationKind::Everyone },
        title: title.to_owned(),
        peer: peer.map(device),
        network: peer.is_none().then(|| network_id(1)),
        last: last.map(|(author, text, ago_min)| Preview {
            author: device(author),
            author_name: name(author).to_owned(),
            text: text.to_owned(),
            sent: NOON + 600_000 - ago_min * 60_000,
            mine: author == 99,
            deleted: false,
        }),
        unread,
        read_to: OrderKey::MIN,
        members: if peer.is_some() { 1 } else { 9 },
        here: if peer.is_some() { 1 } else { 6 },
        needs_newer: 0,
        needs_key: 0,
        mentions: 0,
        pinned: None,
        muted_until: None,
    }
}

/// The list of conversations.
#[must_use]
pub fn conversations() -> Vec<Conversation> {
    vec![
        line(everyone(), "Everyone", None, Some((99, "Logged in the incident log, entry 41.", 3)), 0),
        line(direct(1), name(1), Some(1), Some((1, "Sent the new perimeter map", 8)), 3),
        line(direct(2), name(2), Some(2), Some((2, "好的，我在二号路口", 23)), 0),
        line(direct(3), name(3), Some(3), Some((99, "can you bring the spare radio up", 170)), 0),
        line(direct(8), name(8), Some(8), Some((8, "Fuel: 340 l left, truck at 16:00, same place as", 245)), 128),
        line(direct(4), name(4), Some(4), Some((99, "thanks, see you at the brief", 1_800)), 0),
    ]
}

/// What was said in the Everyone room this morning and yesterday.
#[must_use]
pub fn morning() -> Vec<Message> {
    let said: [(u8, i64, &str); 12] = [
        (4, -1_330, "Generators are fuelled for the night."),
        (5, -1_325, "Thanks. I take the first watch, Medic-3 the second."),
        (2, -19, "二号路口积水，车辆绕行。 Crossing 2 is flooded, vehicles go around."),
        (1, -8, "New perimeter with the two closed tracks marked. Everyone pull it before 14:30 please."),
        (1, -7, "If the printer at post 2 is back, print one for the gate as well 🗺️👍"),
        (99, -5, "Post 2 prints it now."),
        (
            3,
            -4,
            "Can somebody bring the spare batteries for the radios to post 3? Four are left, enough until about seven.",
        ),
        (5, 1, "Wind turns north-west within the hour. Pull crews off the upper track now."),
        (1, 6, "Copied. Upper track is clear, gate B is open again. @Linh please log it."),
        (99, 7, "Logged in the incident log, entry 41."),
        (99, 8, "Fuel truck is at 16:00, not 15:30 ⛽"),
        (99, 9, "Who takes the evening brief?"),
    ];
    said.iter()
        .enumerate()
        .map(|(i, (author, minute, body))| {
            let sent = NOON.saturating_add_signed(minute * 60_000);
            let mut id = [1u8; 16];
            id[15] = u8::try_from(i).unwrap_or(0);
            let mut m = build(i as u64, id, *author, sent, body);
            match i {
                9 => (m.delivered_to, m.read_by, m.state) = (9, 4, DeliveryState::Read),
                10 => (m.delivered_to, m.carried_by, m.state) = (7, 7, DeliveryState::Delivered),
                // As the receipts say that the model has.
                11 => (m.delivered_to, m.read_by, m.carried_by, m.state) = (5, 2, 5, DeliveryState::Read),
                _ => {}
            }
            m
        })
        .collect()
}

/// What happened while the ridge was cut off for an hour.
#[must_use]
pub fn briefing(id: u64) -> Briefing {
    let at = |minutes: i64| NOON.saturating_add_signed(minutes * 60_000);
    let member = |n: u8, heard: Option<i64>, back: Option<i64>| SideMember {
        id: device(n),
        name: name(n).to_owned(),
        heard: heard.map(at),
        back: back.map(at),
    };
    let wrote = |n: u8, messages: u64| Wrotes {
        id: device(n),
        name: name(n).to_owned(),
        messages,
        changes: 0,
        first: at(-55),
        last: at(-4),
    };
    let all = morning();
    let lines = all.iter().filter(|m| [1, 2, 3].map(device).contains(&m.author)).map(|m| Line {
        id: m.id,
        key: m.key,
        author: m.author,
        author_name: m.author_name.clone(),
        sent: m.sent,
        text: m.body.clone(),
    });
    let room = |authors: Vec<Wrotes>, lines: Vec<Line>| Wrote {
        conversation: everyone(),
        kind: ConversationKind::Everyone,
        title: "Everyone".into(),
        messages: authors.iter().map(|a| a.messages).sum(),
        changes: 0,
        first: at(-55),
        last: at(-4),
        authors,
        lines,
    };
    let theirs = room(vec![wrote(1, 20), wrote(2, 10), wrote(3, 4)], lines.take(3).collect());
    let ours = room(vec![wrote(99, 10), wrote(5, 2)], Vec::new());
    let side = |here: bool, members: Vec<SideMember>, wrote: Wrote| Side {
        here,
        members,
        messages: wrote.messages,
        changes: 0,
        conversations: vec![wrote],
    };
    Briefing {
        id,
        cause: Cause::Partition,
        since: at(-61),
        began: at(2),
        updated: at(3),
        is_final: true,
        seen: false,
        sides: vec![
            side(true, vec![member(5, None, None)], ours),
            side(false, [1, 2, 3].map(|n| member(n, Some(-61), Some(2))).to_vec(), theirs),
        ],
        missing: Vec::new(),
        not_back: vec![Absent {
            id: device(6),
            name: name(6).to_owned(),
            last_seen: at(-60),
            last_wrote: Some(at(-20)),
        }],
        met: Vec::new(),
    }
}

/// The place of `n` messages that need a newer Cairn, `minutes` after [`NOON`].
#[must_use]
pub fn placeholder(n: u64, minutes: i64) -> Message {
    let sent = NOON.saturating_add_signed(minutes * 60_000);
    Message { body: String::new(), needs_newer: n, ..build(0, [0; 16], 2, sent, "") }
}

/// Who holds the Everyone room: two lack something, one of them was never heard of it.
#[must_use]
pub fn custody() -> Custody {
    let seen = |n: u8| Some(NOON.saturating_sub(u64::from(n) * 60_000));
    let holder = |n: u8, holds: u64| Holder {
        id: device(n),
        name: name(n).to_owned(),
        me: n == 99,
        member: true,
        state: if n == 99 { PeerState::Online } else { peer(n).state },
        holds,
        complete: holds == 340,
        up_to: Some(NOON - 480_000).filter(|_| holds == 328),
        ahead: 0,
        stated: seen(n),
        last_seen: seen(n).filter(|_| n != 99),
    };
    let mut devices: Vec<_> = [99, 1, 2, 4, 5, 7].into_iter().map(|n| holder(n, 340)).collect();
    devices.extend([holder(6, 328), holder(3, 0)]);
    Custody {
        conversation: everyone(),
        document: None,
        entries: 340,
        members: 8,
        holders: 6,
        devices,
        documents: vec![],
    }
}

/// A model with everything in it, the Everyone room open.
#[must_use]
pub fn model() -> Model {
    let mut m = Model::new(Preferences::default());
    m.apply(Update::Status(Box::new(status())));
    m.apply(Update::Peers((1..=8).map(peer).collect()));
    m.apply(Update::Networks(vec![network(1, NetworkState::Joined)]));
    m.apply(Update::Conversations(conversations()));
    let messages = morning();
    m.act(Intent::Open(everyone()));
    m.apply(Update::Page(
        everyone(),
        PageAt::Newest,
        Ok(Page { total: messages.len() as u64, messages, older: false, newer: false, before: 0 }),
    ));
    let list = (1..=8)
        .map(|n| Receipt {
            id: device(n),
            name: name(n).to_owned(),
            state: match n {
                1 | 3 => DeliveryState::Read,
                0..6 => DeliveryState::Delivered,
                6 => DeliveryState::Carried,
                _ => DeliveryState::Queued,
            },
            last_seen: Some(NOON),
        })
        .collect();
    // Number 8 was met on another network.
    let member = |n| Member { id: device(n), name: name(n).to_owned(), state: peer(n).state };
    m.apply(Update::Members(everyone(), Some((1..=7).map(member).collect())));
    m.apply(Update::Custody(everyone(), Some(Box::new(custody()))));
    if let Some(last) = m.history(&everyone()).and_then(|h| h.last_own()).map(|m| m.id) {
        m.apply(Update::Receipts(everyone(), last, Some(list)));
    }
    m
}

/// A model whose Everyone room has `n` messages, all in memory.
#[must_use]
pub fn long_model(n: u64) -> Model {
    let mut m = model();
    let mut messages: Vec<Message> = (0..n).map(message).collect();
    for (i, m) in messages.iter_mut().enumerate() {
        // A minute apart, so that days and groups come as in real life.
        m.sent = NOON - (n - i as u64) * 60_000;
        m.key.stamp = Hlc::from_ms(m.sent);
    }
    m.apply(Update::Page(
        everyone(),
        PageAt::Newest,
        Ok(Page { messages, older: false, newer: false, total: n, before: 0 }),
    ));
    m
}

/// Lets a morning's messages answer, mention and react; one is edited, another deleted.
pub fn talk(messages: &mut [Message]) {
    let quote = messages.get(7).map(|m| Quote {
        id: m.id,
        key: Some(m.key),
        author: Some(m.author),
        author_name: m.author_name.clone(),
        text: m.body.clone(),
        deleted: false,
    });
    let reacted = |emoji: &str, count, mine| Reacted { emoji: emoji.into(), count, mine, by: vec![name(1).into()] };
    for (n, m) in messages.iter_mut().enumerate() {
        match n {
            7 => m.about.reactions = vec![reacted("👍", 5, true), reacted("✅", 2, false), reacted("👀", 1, false)],
            8 => {
                m.about.reply_to.clone_from(&quote);
                m.about.edited = Some(m.sent + 60_000);
                let said = "Linh".to_owned();
                m.about.mentions = vec![Mentioned { id: me(), said, name: "Linh Wagner".into(), me: true }];
            }
            9 => m.about.reactions = vec![reacted("🙏", 1, false)],
            10 => (m.body, m.about.deleted) = (String::new(), true),
            _ => {}
        }
    }
}
