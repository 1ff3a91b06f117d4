//! A node for tests: a real handle whose requests are answered from a list.

use std::sync::{Arc, Mutex, MutexGuard};

use cairn_actors::api::{
    ApiError, BackedUp, Badge, Briefing, Checkup, Compacted, Conversation, ConversationKind, Custody, DeliveryState,
    DocumentCustody, Event, Finding, Group, GroupCommand, GroupState, Health, Holder, LinkState, Member, Message,
    Network, NetworkState, OrderKey, Page, PageAt, Peer, PeerState, Reacted, Receipt, Restored, Retention, Role,
    Safety, Said, Status, Version,
};
use cairn_actors::documents::Amendment;
use cairn_actors::handle::{Care, Handle, Request};
use cairn_actors::limits::{EVENTS, PAGE_MAX};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, DocumentId, Incarnation, MessageId, NetworkId, SpaceId};
use cairn_crdt::safety::Code;
use tokio::sync::{Notify, broadcast, mpsc};

use crate::cli::start::RunningNode;
use crate::ui::sample;

/// What was said: where, under which id, what.
type Utterance = (SpaceId, Option<MessageId>, String);

struct State {
    status: Status,
    peers: Vec<Peer>,
    conversations: Vec<Conversation>,
    messages: Vec<Message>,
    said: Vec<Utterance>,
    answered: Vec<MessageId>,
    keep: Option<u64>,
    briefings: Vec<Briefing>,
    groups: Vec<Group>,
    stopped: Arc<Notify>,
}

/// The node.
pub struct FakeNode {
    state: Arc<Mutex<State>>,
    handle: Handle,
    events: broadcast::Sender<Event>,
    stopped: Arc<Notify>,
}

/// A status.
pub fn status() -> Status {
    let id = DeviceId([99; 32]);
    Status {
        id,
        name: "Post".into(),
        code: id.code(),
        incarnation: Incarnation([3; 16]),
        port: 27475,
        peers_online: 1,
        link: LinkState::Online,
        interfaces: Vec::new(),
        data: "/data".into(),
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

/// A peer.
pub fn peer(n: u8, name: &str, state: PeerState) -> Peer {
    let id = DeviceId([n; 32]);
    Peer {
        id,
        name: name.into(),
        petname: None,
        own_name: Some(name.into()),
        code: id.code(),
        state,
        address: None,
        rtt_ms: None,
        badge: Badge::Contact,
        namesake: false,
        warning: None,
        last_seen: None,
        clock_offset_ms: None,
        conversation: SpaceId::direct(&status().id.principal(), &id.principal()),
    }
}

/// A conversation.
pub fn conversation(n: u8, kind: ConversationKind, title: &str) -> Conversation {
    Conversation {
        id: SpaceId([n; 32]),
        kind,
        title: title.into(),
        peer: None,
        network: None,
        last: None,
        unread: 0,
        read_to: OrderKey::MIN,
        members: 2,
        here: 1,
        needs_newer: 0,
        needs_key: 0,
        mentions: 0,
        pinned: None,
        muted_until: None,
    }
}

/// A message of Maya's.
pub fn message(c: &Conversation, n: u64, sent: u64, body: &str) -> Message {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&n.to_be_bytes());
    let (id, author) = (MessageId(id), DeviceId([1; 32]));
    Message {
        id,
        conversation: c.id,
        key: OrderKey { stamp: Hlc::from_ms(sent), device: author, id },
        author,
        author_name: "Maya".into(),
        badge: Badge::Contact,
        mine: false,
        sent,
        received: sent + 1,
        body: body.into(),
        state: DeliveryState::Delivered,
        delivered_to: 1,
        members: 2,
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

/// A network that asks.
pub fn network(n: u8) -> Network {
    let id = NetworkId([n; 16]);
    Network {
        id,
        name: "Post 3".into(),
        state: NetworkState::Asking,
        primary: false,
        settled: true,
        here: 2,
        conversation: SpaceId::commons(&id),
    }
}

/// A check that found one damaged log.
pub fn checkup() -> Checkup {
    let finding = |check: &str, health, message: &str| Finding { check: check.into(), health, message: message.into() };
    Checkup {
        findings: vec![
            finding("key", Health::Ok, "this device is 0000-0000"),
            finding("disk", Health::Warning, "the disk is nearly full"),
            finding("store", Health::Damaged, "a log is damaged"),
        ],
        logs: 2,
        entries: 12,
        erased: 1,
        bytes: 4_000,
        file_bytes: 100_000,
        signatures: 2,
    }
}

fn none(code: &str) -> ApiError {
    ApiError::new(code, "there is none")
}

impl FakeNode {
    /// A node with four peers, one of them here, two with one name.
    pub fn start() -> Self {
        let (tx, mut rx) = mpsc::channel(16);
        let (events, _) = broadcast::channel(EVENTS);
        let stopped = Arc::new(Notify::new());
        let state = Arc::new(Mutex::new(State {
            status: status(),
            peers: vec![
                peer(1, "Maya", PeerState::Online),
                peer(2, "张伟", PeerState::Offline),
                peer(3, "Sam", PeerState::Offline),
                peer(4, "sam", PeerState::Offline),
            ],
            conversations: vec![conversation(40, ConversationKind::Everyone, "Everyone")],
            messages: Vec::new(),
            said: Vec::new(),
            answered: Vec::new(),
            keep: None,
            briefings: vec![sample::briefing(3), sample::briefing(4)],
            groups: Vec::new(),
            stopped: Arc::clone(&stopped),
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Some(request) = rx.recv().await {
                answer(&mut shared.lock().unwrap(), request);
            }
        });
        Self { state, handle: Handle::new(tx, events.clone()), events, stopped }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The door.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What was answered.
    pub fn answered(&self) -> Vec<MessageId> {
        self.state().answered.clone()
    }

    /// What was said so far.
    pub fn said(&self) -> Vec<Utterance> {
        self.state().said.clone()
    }

    /// Takes a message into the history.
    pub fn add(&self, message: Message) {
        let mut state = self.state();
        state.messages.push(message);
        state.messages.sort_by_key(|m| m.key);
    }

    /// Knows these peers.
    pub fn set_peers(&self, peers: Vec<Peer>) {
        self.state().peers = peers;
    }

    /// Tells everybody who listens.
    pub fn event(&self, event: Event) {
        // Nobody need listen.
        let _ = self.events.send(event);
    }

    /// The node as the app holds it: it stops when it is told to.
    pub fn running(&self) -> RunningNode {
        let stopped = Arc::clone(&self.stopped);
        RunningNode::new(self.handle(), async move { stopped.notified().await })
    }

    /// How many listen to events.
    pub fn subscribers(&self) -> usize {
        self.events.receiver_count()
    }

    /// Waits until somebody listens to events.
    pub async fn subscribed(&self) {
        while self.subscribers() == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Everybody comes.
    pub fn set_online(&self) {
        let peers = {
            let mut state = self.state();
            state.peers.iter_mut().for_each(|p| p.state = PeerState::Online);
            state.peers.clone()
        };
        peers.into_iter().for_each(|p| self.event(Event::Peer(Box::new(p))));
    }
}

fn page(state: &State, conversation: SpaceId, at: PageAt, limit: usize) -> Page {
    let all: Vec<&Message> = state.messages.iter().filter(|m| m.conversation == conversation).collect();
    let limit = limit.min(PAGE_MAX);
    let (from, to) = match at {
        PageAt::Newest => (all.len().saturating_sub(limit), all.len()),
        PageAt::Before(k) => {
            let end = all.partition_point(|m| m.key < k);
            (end.saturating_sub(limit), end)
        }
        PageAt::After(k) => {
            let start = all.partition_point(|m| m.key <= k);
            (start, (start + limit).min(all.len()))
        }
        PageAt::Number(n) => {
            let start = all.len().min(n as usize);
            (start, (start + limit).min(all.len()))
        }
    };
    Page {
        messages: all[from..to].iter().map(|m| (*m).clone()).collect(),
        older: from > 0,
        newer: to < all.len(),
        total: all.len() as u64,
        before: from as u64,
    }
}

/// The first peer holds all, the others a part; this device has ten entries.
fn custody(state: &State, conversation: SpaceId, document: Option<DocumentId>) -> Custody {
    let me = &state.status;
    let holder = |id, name: &str, holds, seen: Option<u64>| Holder {
        id,
        name: name.to_owned(),
        me: id == me.id,
        member: true,
        state: PeerState::Offline,
        holds,
        complete: holds == 10,
        up_to: Some(1_795_161_600_000).filter(|_| holds < 10),
        ahead: 0,
        stated: seen,
        last_seen: seen,
    };
    let others = state.peers.iter().enumerate();
    let others = others.map(|(i, p)| holder(p.id, &p.name, if i == 0 { 10 } else { 7 }, Some(1_795_161_720_000)));
    let devices: Vec<_> = [holder(me.id, &me.name, 10, None)].into_iter().chain(others).collect();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (members, holders) = (count(devices.len()), count(devices.iter().filter(|d| d.complete).count()));
    let chat = DocumentId::chat(2_968, 0);
    let part =
        DocumentCustody { id: chat, kind: "chat".into(), from: Some(1_795_046_400_000), entries: 10, holders, members };
    Custody { conversation, document, entries: 10, members, holders, devices, documents: vec![part] }
}

fn retention(state: &State, conversation: SpaceId) -> Retention {
    Retention {
        conversation,
        keep: state.keep,
        shared: true,
        set_by: Some(DeviceId([1; 32])),
        set_by_name: Some("Maya".into()),
        set_at: Some(1_000),
        gone_before: Some(5_000),
        erased_before: None,
        erases_at: None,
        agreed: false,
        sentence: "Messages between you are kept.".into(),
    }
}

fn verify(state: &mut State, device: DeviceId, verified: bool) -> Result<Peer, ApiError> {
    let peer = state.peers.iter_mut().find(|p| p.id == device).ok_or_else(|| none("no_such_peer"))?;
    peer.badge = if verified { Badge::Verified } else { Badge::Contact };
    Ok(peer.clone())
}

fn liked(state: &mut State, id: SpaceId, change: impl FnOnce(&mut Conversation)) -> Result<Conversation, ApiError> {
    let line = state.conversations.iter_mut().find(|c| c.id == id).ok_or_else(|| none("no_such_conversation"))?;
    change(line);
    Ok(line.clone())
}

fn group(state: &mut State, command: GroupCommand) -> Result<Group, ApiError> {
    match command {
        GroupCommand::Create { name, history } => {
            let group = Group {
                id: SpaceId([50 + u8::try_from(state.groups.len()).unwrap(); 32]),
                name,
                topic: String::new(),
                epoch: None,
                history,
                state: GroupState::Joined,
                role: Some(Role::Admin),
                members: Vec::new(),
            };
            state.groups.push(group.clone());
            Ok(group)
        }
        _ => Err(none("no_such_group")),
    }
}

fn answer(state: &mut State, request: Request) {
    match request {
        Request::Status(r) => drop(r.send(Ok(state.status.clone()))),
        Request::SetName(name, r) => {
            state.status.name = name;
            drop(r.send(Ok(state.status.clone())));
        }
        Request::Peers(r) => drop(r.send(Ok(state.peers.clone()))),
        Request::Conversations(r) => drop(r.send(Ok(state.conversations.clone()))),
        Request::Say { conversation, body, id, reply_to, reply } => {
            state.answered.extend(reply_to);
            state.said.push((conversation, id, body));
            let id = id.unwrap_or(MessageId([5; 16]));
            drop(reply.send(Ok(Said {
                id,
                conversation: Some(conversation),
                state: DeliveryState::Queued,
                ambiguous: Vec::new(),
            })));
        }
        Request::Amend { id, what, reply, .. } => {
            let Some(m) = state.messages.iter_mut().find(|m| m.id == id) else {
                return drop(reply.send(Err(none("no_such_message"))));
            };
            match what {
                Amendment::Edit(body) => (m.body, m.about.edited) = (body, Some(m.sent + 1)),
                Amendment::Delete => (m.body, m.about.deleted) = (String::new(), true),
                Amendment::React(emoji, on) => {
                    let by = vec![state.status.name.clone()];
                    m.about.reactions = Vec::from_iter(on.then_some(Reacted { emoji, count: 1, mine: true, by }));
                }
            }
            drop(reply.send(Ok(m.clone())));
        }
        Request::Typing(_, _, r) => drop(r.send(Ok(()))),
        Request::SetPinned(id, pinned, r) => {
            drop(r.send(liked(state, id, |c| c.pinned = pinned.then_some(1_795_161_600_000))));
        }
        Request::SetMuted(id, until, r) => drop(r.send(liked(state, id, |c| c.muted_until = until))),
        Request::Versions(_, id, r) => {
            let found = state.messages.iter().find(|m| m.id == id);
            let all = found.map(|m| {
                let at = |at, body: &str| Version { at, body: Some(body.to_owned()) };
                Vec::from_iter([at(m.sent, "first")].into_iter().chain(m.about.edited.map(|t| at(t, &m.body))))
            });
            drop(r.send(all.ok_or_else(|| none("no_such_message"))));
        }
        Request::Page(conversation, at, limit, r) => drop(r.send(Ok(page(state, conversation, at, limit)))),
        Request::Message(_, id, r) => {
            let found = state.messages.iter().find(|m| m.id == id).cloned();
            drop(r.send(found.ok_or_else(|| none("no_such_message"))));
        }
        Request::Receipts(_, id, r) => {
            let known = state.said.iter().any(|s| s.1 == Some(id));
            let receipts = state.peers.iter().map(|p| Receipt {
                id: p.id,
                name: p.name.clone(),
                state: DeliveryState::Delivered,
                last_seen: None,
            });
            drop(r.send(if known { Ok(receipts.collect()) } else { Err(none("no_such_message")) }));
        }
        Request::Custody(id, document, r) => drop(r.send(Ok(custody(state, id, document)))),
        Request::Members(_, r) => {
            let member = |p: &Peer| Member { id: p.id, name: p.name.clone(), state: p.state };
            drop(r.send(Ok(state.peers.iter().map(member).collect())));
        }
        Request::Retention(id, r) => drop(r.send(Ok(retention(state, id)))),
        Request::SetRetention(id, keep, r) => {
            state.keep = keep;
            drop(r.send(if keep == Some(1) { Err(none("bad_duration")) } else { Ok(retention(state, id)) }));
        }
        Request::Forget(id, before, r) => {
            let now = Retention { erased_before: Some(before.unwrap_or(9_000)), ..retention(state, id) };
            drop(r.send(Ok(now)));
        }
        Request::Briefings(r) => drop(r.send(Ok(state.briefings.clone()))),
        Request::BriefingSeen(id, r) => {
            let found = state.briefings.iter_mut().find(|b| b.id == id).map(|b| b.seen = true);
            drop(r.send(found.ok_or_else(|| none("no_such_briefing"))));
        }
        Request::Group(command, r) => drop(r.send(group(state, command))),
        Request::Groups(r) => drop(r.send(Ok(state.groups.clone()))),
        Request::Invitations(r) => drop(r.send(Ok(Vec::new()))),
        Request::GroupLog(_, r) => drop(r.send(Ok(Vec::new()))),
        Request::Networks(r) => drop(r.send(Ok(vec![network(3)]))),
        Request::JoinNetwork(_, r) => drop(r.send(Ok(Network { state: NetworkState::Joined, ..network(3) }))),
        Request::KeepApart(_, r) => drop(r.send(Ok(Network { state: NetworkState::Apart, ..network(3) }))),
        Request::NameNetwork(_, name, r) => drop(r.send(Ok(Network { name, ..network(3) }))),
        Request::SetPetname(_, _, r) => drop(r.send(Err(none("no_such_peer")))),
        Request::Safety(device, r) => {
            let peer = state.peers.iter().find(|p| p.id == device).cloned();
            let found = peer.map(|p| Safety::between(&state.status.id, p));
            drop(r.send(found.ok_or_else(|| none("no_such_peer"))));
        }
        // The window's alone: nothing on the socket asks for them.
        Request::ChangeKey(_, r) => drop(r.send(Err(none("no_network_key")))),
        Request::Key(r) => drop(r.send(Ok(None))),
        Request::SetVerified(device, verified, r) => drop(r.send(verify(state, device, verified))),
        Request::Scan { code, meant, reply } => {
            let me = state.status.id;
            let judged = code.parse::<Code>().map_err(|_| none("bad_code"));
            let judged = judged.and_then(|c| c.judge(&me, meant.as_ref()).map_err(|_| none("other_device")));
            drop(reply.send(judged.and_then(|device| verify(state, device, true))));
        }
        Request::Kill(actor, r) => drop(r.send(if actor == "storage" { Ok(()) } else { Err(none("no_such_actor")) })),
        Request::MarkRead(_, _, r) => drop(r.send(Ok(()))),
        Request::SetReadReceipts(told, r) => {
            state.status.read_receipts = told;
            drop(r.send(Ok(state.status.clone())));
        }
        Request::SetAway(_, r) | Request::SettingsChanged(r) => drop(r.send(Ok(()))),
        Request::Care(care) => match care {
            Care::Check(_, r) => drop(r.send(Ok(checkup()))),
            Care::Repair(r) => drop(r.send(Ok(vec!["the store was damaged".into()]))),
            Care::Compact(r) => drop(r.send(Ok(Compacted { before: 3_000_000, after: 1_000_000 }))),
            Care::BackUp(file, r) => {
                let done = BackedUp { file, id: state.status.id, created: 0, entries: 3, bytes: 5_000 };
                drop(r.send(Ok(done)));
            }
            Care::Restore(_, replace, r) => {
                let done = Restored { id: state.status.id, created: 0, entries: 3, kept: Some("/old".into()) };
                drop(r.send(if replace { Ok(done) } else { Err(none("folder_in_use")) }));
            }
        },
        Request::Stop(r) => {
            state.stopped.notify_one();
            drop(r.send(Ok(())));
        }
    }
}
