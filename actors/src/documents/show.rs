//! How conversations, messages and networks are shown: plain data for the window, the command line and events.

use cairn_crdt::ids::{DeviceId, MessageId, NetworkId, SpaceId};
use cairn_crdt::kinds::chat::{MessageView, OpaqueRun, PageAt as At, TEXT};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::network::Standing;

use super::DocumentsState;
use super::about::about;
use crate::api::{
    About, Badge, Conversation, ConversationKind, DeliveryState, Event, Member, Message, Network, NetworkState, Page,
    PeerState, Preview, Receipt, count,
};
use crate::liking::Liking;
use crate::space::{Space, SpaceKind};
use crate::wiring::Wiring;

/// Longest preview in characters.
const PREVIEW: usize = 200;
/// More messages than this whose delivery changed are told as "all".
const TOLD_ONE_BY_ONE: usize = 16;

/// A message as shown.
pub(crate) fn message(sp: &Space, m: &MessageView<'_>, members: &[DeviceId], wiring: &Wiring) -> Message {
    let fate = sp.fate(m, members, &wiring.me);
    let mine = m.key.device == wiring.me;
    let waits_for = sp.final_waits_for(&m.key, &wiring.me);
    Message {
        id: m.key.id,
        conversation: sp.id,
        key: m.key,
        author: m.key.device,
        author_name: wiring.name_of(&m.key.device),
        badge: if mine { Badge::Verified } else { wiring.people.badge(&m.key.device) },
        mine,
        sent: m.sent.ms(),
        received: m.received,
        body: m.body.to_owned(),
        state: fate.state(),
        delivered_to: count(fate.delivered()),
        members: count(fate.members.len()),
        read_by: count(fate.read()),
        carried_by: count(fate.carried_by),
        late: sp.is_late(&m.log, m.seq),
        is_final: waits_for.as_ref().map(Vec::is_empty),
        final_waits_for: waits_for.unwrap_or_default().iter().map(|d| wiring.name_of(d)).collect(),
        // A kind of message to come, in a payload that can be read.
        needs_newer: u64::from(m.kind != TEXT),
        needs_key: 0,
        about: about(sp, m, wiring),
    }
}

/// One line of a text, of at most 200 characters.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(PREVIEW).collect()
}

/// What a space is to people: its kind and title, the other device of a direct one, the network of a room. `called`: the
/// name of the network, or of the group.
pub(crate) fn titled(
    kind: SpaceKind,
    called: &str,
    wiring: &Wiring,
) -> (ConversationKind, String, Option<DeviceId>, Option<NetworkId>) {
    match kind {
        SpaceKind::Commons(id) if called.is_empty() => (ConversationKind::Everyone, "Everyone".into(), None, Some(id)),
        SpaceKind::Commons(id) => (ConversationKind::Everyone, format!("Everyone · {called}"), None, Some(id)),
        SpaceKind::Direct(peer) => (ConversationKind::Direct, wiring.people.name(&peer), Some(peer), None),
        SpaceKind::Group(_) => (ConversationKind::Group, called.to_owned(), None, None),
    }
}

/// The place of messages that cannot be read: they need a newer Cairn, or their key has not come.
fn placeholder(sp: &Space, run: &OpaqueRun, wiring: &Wiring) -> Message {
    let (key, author) = (run.first.key(), run.first.device);
    let (needs_newer, needs_key) = if run.first.locked { (0, run.count) } else { (run.count, 0) };
    Message {
        id: key.id,
        conversation: sp.id,
        key,
        author,
        author_name: wiring.name_of(&author),
        badge: wiring.people.badge(&author),
        mine: false,
        sent: run.first.stamp.ms(),
        received: run.first.received,
        body: String::new(),
        state: DeliveryState::Delivered,
        delivered_to: 0,
        members: 0,
        read_by: 0,
        carried_by: 0,
        late: false,
        is_final: None,
        final_waits_for: Vec::new(),
        needs_newer,
        needs_key,
        about: About::default(),
    }
}

/// A page as shown; what it needs is in memory.
pub(crate) fn page(sp: &Space, at: &At, n: usize, wiring: &Wiring) -> Page {
    let (members, _) = sp.members(wiring);
    let page = sp.chat.page(at, n);
    let mut messages = Vec::with_capacity(page.messages.len().saturating_add(page.opaque.len()));
    let mut runs = page.opaque.iter().peekable();
    for (place, m) in page.messages.iter().enumerate() {
        while let Some(run) = runs.next_if(|run| run.before <= place) {
            messages.push(placeholder(sp, run, wiring));
        }
        messages.push(message(sp, m, &members, wiring));
    }
    messages.extend(runs.map(|run| placeholder(sp, run, wiring)));
    Page { messages, older: page.older, newer: page.newer, total: sp.chat.total(), before: page.before }
}

/// A line in the list of conversations.
pub(crate) fn conversation(
    sp: &Space,
    read_to: OrderKey,
    network_name: &str,
    liking: &Liking,
    wiring: &Wiring,
) -> Conversation {
    let (members, here) = sp.members(wiring);
    let (messages, others) = sp.needs_newer(&wiring.known);
    let newer = messages.saturating_add(others);
    let last = sp.chat.page(&At::Newest, 1).messages.last().map(|m| Preview {
        author: m.key.device,
        author_name: wiring.name_of(&m.key.device),
        text: one_line(m.body),
        sent: m.sent.ms(),
        mine: m.key.device == wiring.me,
        deleted: m.deleted,
    });
    let unread = sp.chat.unread(&read_to, &wiring.me);
    let called = if matches!(sp.kind, SpaceKind::Group(_)) { sp.group_name() } else { network_name };
    let (kind, title, peer, network) = titled(sp.kind, called, wiring);
    Conversation {
        id: sp.id,
        kind,
        title,
        peer,
        network,
        last,
        unread: unread.messages,
        mentions: unread.mentions,
        pinned: liking.pinned,
        muted_until: liking.muted(wiring.mesh_ms()),
        read_to,
        members: count(members.len()),
        here,
        needs_newer: newer,
        needs_key: sp.chat.locked(),
    }
}

/// What became of a message, a line a member.
pub(crate) fn receipts(sp: &Space, m: &MessageView<'_>, wiring: &Wiring) -> Vec<Receipt> {
    let (members, _) = sp.members(wiring);
    sp.fate(m, &members, &wiring.me)
        .members
        .into_iter()
        .map(|(id, state)| Receipt {
            id,
            name: wiring.name_of(&id),
            state,
            last_seen: wiring.people.record(&id).and_then(|r| r.last_seen),
        })
        .collect()
}

/// Whom messages are for, those here first, then by name.
pub(crate) fn members(sp: &Space, wiring: &Wiring) -> Vec<Member> {
    let peers = sp.members(wiring).0.into_iter().filter_map(|id| wiring.people.peer(&id));
    let mut all: Vec<Member> = peers.map(|p| Member { id: p.id, name: p.label(), state: p.state }).collect();
    all.sort_by_cached_key(|m| (m.state == PeerState::Offline, m.name.to_lowercase(), m.id));
    all
}

impl DocumentsState {
    pub(super) fn message_at(&self, space: SpaceId, key: &OrderKey) -> Option<Message> {
        let sp = self.spaces.get(&space)?;
        let view = sp.chat.get(&key.device.principal(), &key.id)?;
        let (members, _) = sp.members(&self.wiring);
        Some(message(sp, &view, &members, &self.wiring))
    }

    /// The messages with an id: one, unless two people gave the same.
    pub(super) fn view<'a>(&'a self, sp: &'a Space, id: &MessageId) -> Option<MessageView<'a>> {
        let found = sp.chat.find(id);
        found.iter().find(|m| m.key.device == self.wiring.me).or(found.first()).copied()
    }

    /// How far the person has read, written or not yet.
    pub(super) fn read_mark(&self, space: &SpaceId) -> OrderKey {
        self.marks.get(space).copied().unwrap_or_default().max(self.own.mark(space))
    }

    pub(super) fn conversation(&self, sp: &Space) -> Conversation {
        let liking = self.liking.get(&sp.id).copied().unwrap_or_default();
        conversation(sp, self.read_mark(&sp.id), self.network_name(sp.kind), &liking, &self.wiring)
    }

    /// The name of the network whose room a space is; empty where it has none.
    pub(super) fn network_name(&self, kind: SpaceKind) -> &str {
        match kind {
            SpaceKind::Commons(id) => self.networks.get(&id).map_or("", |k| k.name.as_str()),
            SpaceKind::Direct(_) | SpaceKind::Group(_) => "",
        }
    }

    pub(super) fn network(&self, id: &NetworkId) -> Option<Network> {
        let k = self.networks.get(id)?;
        let state = match k.standing {
            Standing::Joined => NetworkState::Joined,
            Standing::Asking => NetworkState::Asking,
            Standing::Apart => NetworkState::Apart,
            Standing::Folded(_) => return None,
        };
        let here = self.peers.values().filter(|p| p.claims.iter().any(|c| c.id == *id)).count();
        Some(Network {
            id: *id,
            name: k.name.clone(),
            state,
            primary: self.networks.primary() == Some(*id),
            settled: k.settled,
            here: count(here),
            conversation: SpaceId::commons(id),
        })
    }

    /// Tells subscribers of summaries that changed.
    pub(super) fn tell_summaries(&mut self) {
        let dirty: Vec<_> = self.spaces.iter().filter(|(_, sp)| sp.dirty).map(|(id, _)| *id).collect();
        for id in dirty {
            if let Some(sp) = self.spaces.get_mut(&id) {
                sp.dirty = false;
            }
            if self.wiring.events.receiver_count() > 0
                && let Some(sp) = self.spaces.get(&id)
                && self.is_listed(sp)
            {
                self.wiring.emit(Event::Conversation(Box::new(self.conversation(sp))));
            }
        }
    }

    /// Whether a space is a conversation to list: rooms of networks joined, and direct ones with something in them.
    pub(super) fn is_listed(&self, sp: &Space) -> bool {
        match sp.kind {
            SpaceKind::Commons(id) => self.networks.get(&id).is_some_and(|k| k.standing == Standing::Joined),
            SpaceKind::Direct(_) => sp.chat.total() > 0 || sp.chat.opaque() > 0 || sp.chat.locked() > 0,
            SpaceKind::Group(_) => sp.is_shown_group(),
        }
    }

    /// Tells subscribers what became of our own messages.
    pub(super) fn tell_delivery(&self, space: SpaceId, news: &[MessageId]) {
        let Some(sp) = self.spaces.get(&space) else { return };
        if news.is_empty() || self.wiring.events.receiver_count() == 0 {
            return;
        }
        let (members, _) = sp.members(&self.wiring);
        let skip = if news.len() > TOLD_ONE_BY_ONE { news.len().saturating_sub(1) } else { 0 };
        for id in news.iter().skip(skip) {
            let Some(view) = sp.chat.get(&self.wiring.me.principal(), id) else { continue };
            let fate = sp.fate(&view, &members, &self.wiring.me);
            self.wiring.emit(Event::Delivery {
                conversation: space,
                message: (skip == 0).then_some(*id),
                delivered_to: count(fate.delivered()),
                members: count(fate.members.len()),
                read_by: count(fate.read()),
                carried_by: count(fate.carried_by),
                state: fate.state(),
            });
        }
    }
}
