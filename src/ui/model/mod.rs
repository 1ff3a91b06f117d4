//! Everything the window shows, as plain data: updates from the node come in through [`Model::apply`], what a person
//! wants through [`Model::act`]; both answer with the commands that the node must do. No egui, no clock, no task.

mod act;
pub mod amend;
pub mod briefing;
pub mod catch_up;
pub mod format;
pub mod history;
pub mod key;
pub mod list;
pub mod lock;
mod notice;
pub mod palette;
mod place;
mod preferences;
pub mod verify;

use std::collections::{BTreeMap, VecDeque};

use cairn_actors::api::{
    ApiError, Briefing, Conversation, Custody, Event, Member, Message, Network, NetworkState, OrderKey, Page, PageAt,
    Peer, Receipt, Retention, Safety, Said, Status, Version,
};
use cairn_actors::limits;
pub use cairn_actors::settings::ThemeChoice;
use cairn_crdt::ids::{DeviceId, MessageId, SpaceId};

use super::intent::{Command, NameField};
pub use format::Clock;
pub use history::History;
pub use list::{Row, Section};
pub use notice::Notice;
pub use palette::Palette;
pub use place::{Focus, View};
pub use preferences::{Preferences, SCALES};

/// What the controller brings.
#[derive(Debug, Clone)]
pub enum Update {
    /// The node said something by itself.
    Event(Box<Event>),
    /// The node at a glance.
    Status(Box<Status>),
    /// Everybody known.
    Peers(Vec<Peer>),
    /// All conversations.
    Conversations(Vec<Conversation>),
    /// All networks.
    Networks(Vec<Network>),
    /// The last briefings.
    Briefings(Vec<Briefing>),
    /// A page, or why it did not come.
    Page(SpaceId, PageAt, Result<Page, ApiError>),
    /// What became of a message; `None`: it could not be told.
    Receipts(SpaceId, MessageId, Option<Vec<Receipt>>),
    /// Who is in a room; `None`: it could not be told.
    Members(SpaceId, Option<Vec<Member>>),
    /// Who holds a conversation; `None`: it could not be told.
    Custody(SpaceId, Option<Box<Custody>>),
    /// What to compare with somebody.
    Safety(Box<Safety>),
    /// The code that somebody shows was read, or was not.
    ReadCode(DeviceId, Result<(), ApiError>),
    /// The network's key was set, changed or removed, or was not.
    KeyChanged(Result<(), ApiError>),
    /// The network's key as text.
    Key(Result<key::Secret, ApiError>),
    /// A message is durable.
    Said(Said),
    /// All that a message said; `None`: that could not be read.
    Versions(SpaceId, MessageId, Option<Vec<Version>>),
    /// Where a message stands that was looked for.
    Found(SpaceId, OrderKey),
    /// A message could not be said: its text goes back into the composer.
    NotSaid {
        /// Where.
        conversation: SpaceId,
        /// What.
        body: String,
        /// Why.
        error: ApiError,
    },
    /// Something else failed.
    Failed(ApiError),
    /// Whether there is a passphrase, and whether all is behind it.
    Lock {
        /// There is one.
        sealed: bool,
        /// What the lock is now.
        state: crate::lock::State,
    },
    /// The passphrase did not open it.
    NotUnlocked(ApiError),
    /// The node has stopped.
    Stopped,
}

/// What became of our newest message in the open conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipts {
    /// Where.
    pub conversation: SpaceId,
    /// Which message.
    pub message: MessageId,
    /// A line a member.
    pub list: Vec<Receipt>,
}

/// Everything the window shows.
#[derive(Debug, Default)]
pub struct Model {
    /// The lock screen, while it shows: then there is nothing else in here but what was typed before.
    pub locked: Option<lock::Locked>,
    /// Whether there is a passphrase to lock with.
    pub sealed: bool,
    last_active: Option<u64>,
    /// The node at a glance, once known.
    pub status: Option<Status>,
    /// Everybody known.
    pub peers: BTreeMap<DeviceId, Peer>,
    /// All conversations, in the order of the list.
    pub conversations: Vec<Conversation>,
    /// Whether the list of conversations has arrived.
    pub listed: bool,
    /// All networks.
    pub networks: Vec<Network>,
    /// The last briefings, oldest first.
    pub briefings: Vec<Briefing>,
    /// Whether a person asked to see the last one.
    briefing_asked: bool,
    /// The conversation that is open.
    pub open: Option<SpaceId>,
    /// Which main view shows.
    pub view: View,
    /// What the window remembers between starts.
    pub preferences: Preferences,
    /// The filter of the list.
    pub search: String,
    /// The command palette, when open.
    pub palette: Option<Palette>,
    /// In a narrow window: whether the list shows instead of the conversation.
    pub list_on_top: bool,
    /// In a window without room for it: whether the details lie over the conversation.
    pub details_on_top: bool,
    /// Whether the window has room for the details beside the conversation.
    pub roomy: bool,
    /// Whether the window has the keyboard.
    pub focused: bool,
    /// Whether the node is gone.
    pub stopped: bool,
    /// Something of ours is on its way to the disk.
    pub saving: u32,
    /// What became of our newest message.
    pub receipts: Option<Receipts>,
    /// Who is in the room that is open, once known.
    pub members: Option<(SpaceId, Vec<Member>)>,
    /// Who holds the conversation that is open, once known.
    pub custody: Option<Box<Custody>>,
    /// Whether the details ask if one's own copy should be deleted.
    pub asks_to_forget: bool,
    /// The sheet for comparing safety numbers, while it is open.
    pub verifying: Option<verify::Verifying>,
    /// The sheet about the network's key, while it is open.
    pub key_sheet: Option<key::KeySheet>,
    retention: Option<Retention>,
    histories: BTreeMap<SpaceId, History>,
    drafts: BTreeMap<SpaceId, String>,
    composing: BTreeMap<SpaceId, amend::Composing>,
    past: Option<amend::Past>,
    /// Who is writing where, as shown.
    typing: BTreeMap<(SpaceId, DeviceId), String>,
    names: BTreeMap<NameField, String>,
    notices: VecDeque<Notice>,
    /// How far catching up is.
    pub catching_up: catch_up::CatchingUp,
    next_notice: u64,
    named_here: bool,
    /// A question for receipts is under way, and something happened since.
    receipts_asked: bool,
    receipts_late: bool,
    /// Likewise for who is in the open room.
    members_asked: bool,
    members_late: bool,
    /// Likewise for who holds the open conversation.
    custody_asked: bool,
    custody_late: bool,
    /// Set by intents that move the keyboard; the view takes it.
    pub wants_focus: Option<Focus>,
    /// Set by intents that scroll a history to a message, until it is there.
    pub wants_message: Option<(SpaceId, OrderKey)>,
    /// Set by intents that scroll the open history to its newest message; the view takes it.
    pub wants_newest: bool,
}

impl Model {
    /// A model that knows nothing yet.
    #[must_use]
    pub fn new(preferences: Preferences) -> Self {
        Self { preferences, focused: true, list_on_top: true, ..Self::default() }
    }

    /// A conversation of the list.
    #[must_use]
    pub fn conversation(&self, id: &SpaceId) -> Option<&Conversation> {
        self.conversations.iter().find(|c| c.id == *id)
    }

    /// What is in memory of a conversation.
    #[must_use]
    pub fn history(&self, id: &SpaceId) -> Option<&History> {
        self.histories.get(id)
    }

    /// How long the open conversation is kept, once known.
    #[must_use]
    pub fn retention(&self) -> Option<&Retention> {
        self.retention.as_ref().filter(|r| self.open == Some(r.conversation))
    }

    /// The text in the composer of a conversation.
    #[must_use]
    pub fn draft(&self, id: &SpaceId) -> &str {
        self.drafts.get(id).map_or("", String::as_str)
    }

    /// The text in a name field: as typed, else as it is.
    #[must_use]
    pub fn name_field(&self, field: NameField) -> String {
        if let Some(typed) = self.names.get(&field) {
            return typed.clone();
        }
        match field {
            NameField::Own => self.status.as_ref().map(|s| s.name.clone()).unwrap_or_default(),
            NameField::Petname(d) => self.peers.get(&d).map(|p| p.name.clone()).unwrap_or_default(),
            NameField::Network(id) => {
                self.networks.iter().find(|n| n.id == id).map(|n| n.name.clone()).unwrap_or_default()
            }
        }
    }

    /// Whether to ask for a name instead of showing conversations.
    #[must_use]
    pub fn first_start(&self) -> bool {
        !self.named_here && self.status.as_ref().is_some_and(|s| !s.named)
    }

    /// A network that wants an answer.
    #[must_use]
    pub fn ask(&self) -> Option<&Network> {
        self.networks.iter().find(|n| n.state == NetworkState::Asking)
    }

    /// The other person of the open conversation.
    #[must_use]
    pub fn open_peer(&self) -> Option<&Peer> {
        let open = self.open.as_ref()?;
        let by_line = self.conversation(open).and_then(|c| c.peer).and_then(|p| self.peers.get(&p));
        by_line.or_else(|| self.peers.values().find(|p| p.conversation == *open))
    }

    /// Messages of others that are not read yet, in all conversations; of those that are muted only what mentions one.
    #[must_use]
    pub fn unread(&self) -> u64 {
        let counts = |c: &Conversation| if c.muted_until.is_some() { c.mentions } else { c.unread };
        self.conversations.iter().map(counts).fold(0, u64::saturating_add)
    }

    /// People who are here, by name.
    #[must_use]
    pub fn people(&self) -> Vec<&Peer> {
        let mut all: Vec<&Peer> = self.peers.values().collect();
        all.sort_by_cached_key(|p| (p.state, p.name.to_lowercase(), p.id));
        all
    }

    /// People in the open room by what is known of each now, those here first, then by name; `None` until the node has
    /// said who is in it.
    #[must_use]
    pub fn room_people(&self) -> Option<Vec<&Peer>> {
        let (_, members) = self.members.as_ref().filter(|(id, _)| self.open == Some(*id))?;
        let mut all: Vec<&Peer> = members.iter().filter_map(|m| self.peers.get(&m.id)).collect();
        all.sort_by_cached_key(|p| (p.state, p.name.to_lowercase(), p.id));
        Some(all)
    }

    /// Takes in what the controller brought. Answers what must be asked next.
    pub fn apply(&mut self, update: Update) -> Vec<Command> {
        let update = match self.behind_the_lock(update) {
            Some(update) => update,
            None => return Vec::new(),
        };
        match update {
            Update::Event(event) => return self.event(*event),
            Update::Lock { sealed, state } => return self.lock_state(sealed, state),
            Update::NotUnlocked(e) => self.not_unlocked(e),
            Update::Status(s) => self.status = Some(*s),
            Update::Peers(list) => self.peers = list.into_iter().map(|p| (p.id, p)).collect(),
            Update::Networks(list) => self.networks = list,
            Update::Briefings(list) => list.into_iter().for_each(|b| self.briefed(b)),
            Update::Conversations(list) => {
                self.conversations = list;
                self.listed = true;
                if self.open.is_none() {
                    return self.open_first();
                }
                // After lost events the open history may lack messages too.
                let again = self.open.and_then(|id| self.read_again(id));
                return again.into_iter().chain(self.ask_members()).collect();
            }
            Update::Page(id, at, Ok(page)) => {
                let next = self.histories.entry(id).or_default().take(at, page);
                let mut out: Vec<Command> =
                    next.map(|at| Command::Page(id, at, limits::PAGE_MAX)).into_iter().collect();
                if at == PageAt::Newest && self.open == Some(id) {
                    out.extend(self.ask_receipts(id));
                }
                return out;
            }
            Update::Page(id, at, Err(e)) => self.histories.entry(id).or_default().fail(at, e.message),
            Update::Receipts(conversation, message, list) => {
                if let Some(list) = list {
                    self.receipts = Some(Receipts { conversation, message, list });
                }
                // One question at a time: what happened meanwhile is asked now.
                let again = std::mem::take(&mut self.receipts_late);
                self.receipts_asked = false;
                return self.open.filter(|_| again).and_then(|id| self.ask_receipts(id)).into_iter().collect();
            }
            Update::Members(conversation, list) => {
                if let Some(list) = list.filter(|_| self.open == Some(conversation)) {
                    self.members = Some((conversation, list));
                }
                self.members_asked = false;
                let again = std::mem::take(&mut self.members_late) || self.open != Some(conversation);
                return again.then(|| self.ask_members()).flatten().into_iter().collect();
            }
            Update::Custody(conversation, custody) => {
                if let Some(custody) = custody.filter(|_| self.open == Some(conversation)) {
                    self.custody = Some(custody);
                }
                self.custody_asked = false;
                let again = std::mem::take(&mut self.custody_late) || self.open != Some(conversation);
                return again.then(|| self.ask_custody()).flatten().into_iter().collect();
            }
            Update::Safety(safety) => self.safety(safety),
            Update::ReadCode(device, result) => self.read_code(device, result),
            Update::KeyChanged(result) => self.key_changed(result),
            Update::Key(result) => self.key_told(result),
            Update::Said(said) => {
                self.saving = self.saving.saturating_sub(1);
                for name in said.ambiguous {
                    let why =
                        format!("@{name} could be several people, so it mentions nobody. Write the code behind it.");
                    self.notify("ambiguous", why, false);
                }
            }
            Update::Versions(at, id, versions) => self.versions_came(at, id, versions),
            Update::Found(at, key) => return self.go_to(at, key),
            Update::NotSaid { conversation, body, error } => {
                self.not_said(conversation, body);
                self.notify(&error.code, format!("Not saved: {}", error.message), true);
            }
            Update::Failed(e) => self.notify(&e.code, e.message, true),
            Update::Stopped => self.stopped = true,
        }
        Vec::new()
    }

    fn event(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Ready(s) | Event::Status(s) => self.status = Some(*s),
            Event::Peer(p) => self.peer_changed(*p),
            Event::Message(m) => return self.message(*m),
            Event::Changed(m) => {
                if let Some(h) = self.histories.get_mut(&m.conversation) {
                    h.changed(*m);
                }
            }
            Event::Typing { conversation, device, name, typing } => {
                if typing {
                    self.typing.insert((conversation, device), name);
                } else {
                    self.typing.remove(&(conversation, device));
                }
            }
            Event::Messages { conversation, .. } => {
                return self.read_again(conversation).into_iter().collect();
            }
            Event::CatchUp(c) => self.catching_up.told(*c),
            Event::Delivery { conversation, message, delivered_to, members, read_by, carried_by, state } => {
                let told = history::Delivered { state, to: delivered_to, of: members, read_by, carried_by };
                let open = self.open == Some(conversation);
                let again = match (message, self.histories.get_mut(&conversation)) {
                    (Some(id), Some(h)) => h.delivered(id, &told),
                    (None, Some(_)) => true,
                    (_, None) => false,
                };
                let mut out = Vec::new();
                if open {
                    let tail = self.histories.get_mut(&conversation).filter(|_| again).and_then(History::ask_tail);
                    out.extend(tail.map(|at| Command::Page(conversation, at, history::PAGE)));
                    out.extend(self.ask_receipts(conversation));
                    out.extend(self.ask_custody());
                }
                return out;
            }
            Event::Conversation(c) => {
                let open = self.open == Some(c.id);
                let before = self.conversation(&c.id).map(|c| (c.members, c.here));
                let changed = before != Some((c.members, c.here));
                self.conversation_changed(*c);
                let mut out = self.open_first();
                out.extend(if open && changed { self.ask_members() } else { None });
                out.extend(if open && changed { self.ask_custody() } else { None });
                return out;
            }
            Event::Retention(r) => {
                if self.open == Some(r.conversation) {
                    self.retention = Some(*r);
                }
            }
            Event::Gone { conversation, .. } | Event::Forked { conversation, .. } => {
                return self.read_anew(conversation);
            }
            Event::Network(n) => {
                // Ours became part of another: it is gone, and its room with it.
                let folded = n.primary && self.networks.iter().any(|o| o.primary && o.id != n.id);
                match self.networks.iter_mut().find(|o| o.id == n.id) {
                    Some(old) => *old = *n,
                    None => self.networks.push(*n),
                }
                if folded {
                    return vec![Command::Everything];
                }
            }
            Event::Briefing(b) => self.briefed(*b),
            Event::Group(_) | Event::Invitation(_) => {}
            Event::Notice { code, message } => {
                let bad = matches!(code.as_str(), "name_taken" | "other_device" | "not_you");
                self.notify(&code, message, bad);
            }
            Event::Lagged => {
                self.typing.clear();
                return vec![Command::Everything];
            }
            Event::Stopping => self.stopped = true,
        }
        Vec::new()
    }

    fn message(&mut self, m: Message) -> Vec<Command> {
        let id = m.conversation;
        let open = self.open == Some(id);
        let (mine, focused) = (m.mine, self.focused);
        if let Some(h) = self.histories.get_mut(&id) {
            let last = h.messages().last().map(|l| l.key);
            let seen = mine || (open && focused);
            if !seen && h.new_after.is_none() {
                h.new_after = last;
            }
            h.insert(m);
        }
        if open && mine { self.ask_receipts(id).into_iter().collect() } else { Vec::new() }
    }

    /// With nothing open, opens the room of one's network, which is what one most likely wants to see; narrow windows
    /// go on showing the list.
    fn open_first(&mut self) -> Vec<Command> {
        let first = self.conversations.first().filter(|c| self.open.is_none() && c.network.is_some()).map(|c| c.id);
        let Some(id) = first else { return Vec::new() };
        let (view, search) = (self.view, self.wants_focus);
        let out = self.open(id);
        (self.view, self.list_on_top) = (view, true);
        self.wants_focus = search.or(self.wants_focus).filter(|_| matches!(view, View::Chat | View::People));
        out
    }

    fn conversation_changed(&mut self, c: Conversation) {
        self.conversations.retain(|o| o.id != c.id);
        let pinned = |c: &Conversation| c.pinned.unwrap_or(u64::MAX);
        let rank = |c: &Conversation| (pinned(c), std::cmp::Reverse(c.last.as_ref().map(|l| l.sent)));
        // Everyone rooms keep the node's order (the primary one first); the others go by their newest message.
        let first = self.conversations.iter().take_while(|o| pinned(o) < pinned(&c)).count();
        let rest = self.conversations.iter().skip(first);
        let after = if c.network.is_some() {
            let primary = self.networks.iter().any(|n| n.primary && n.conversation == c.id);
            if primary { 0 } else { rest.take_while(|o| o.network.is_some()).count() }
        } else {
            rest.take_while(|o| o.network.is_some() || rank(o) < rank(&c)).count()
        };
        let at = first.saturating_add(after);
        self.conversations.insert(at.min(self.conversations.len()), c);
    }

    fn ask_receipts(&mut self, id: SpaceId) -> Option<Command> {
        let own = self.histories.get(&id)?.last_own()?.id;
        if std::mem::replace(&mut self.receipts_asked, true) {
            self.receipts_late = true;
            return None;
        }
        Some(Command::Receipts(id, own))
    }

    /// Asks who is in the open conversation, where that is a room.
    fn ask_members(&mut self) -> Option<Command> {
        let id = self.open.filter(|id| self.conversation(id).is_some_and(|c| c.peer.is_none()))?;
        if std::mem::replace(&mut self.members_asked, true) {
            self.members_late = true;
            return None;
        }
        Some(Command::Members(id))
    }

    /// Asks who holds the open conversation.
    fn ask_custody(&mut self) -> Option<Command> {
        let id = self.open?;
        if std::mem::replace(&mut self.custody_asked, true) {
            self.custody_late = true;
            return None;
        }
        Some(Command::Custody(id))
    }

    fn read_again(&mut self, id: SpaceId) -> Option<Command> {
        let h = self.histories.get_mut(&id)?;
        if self.open == Some(id) {
            h.ask_again().map(|at| Command::Page(id, at, limits::PAGE_MAX))
        } else {
            // Not on screen: it is read afresh when it is opened.
            h.forget();
            None
        }
    }

    /// A part of a conversation went or came back: what is in memory of it is not what there is.
    fn read_anew(&mut self, id: SpaceId) -> Vec<Command> {
        if let Some(h) = self.histories.get_mut(&id) {
            h.forget();
        }
        if self.open != Some(id) {
            return Vec::new();
        }
        self.page(id, PageAt::Newest).into_iter().chain([Command::Retention(id)]).collect()
    }

    fn page(&mut self, id: SpaceId, at: PageAt) -> Option<Command> {
        self.histories.entry(id).or_default().ask(at).map(|at| Command::Page(id, at, history::PAGE))
    }
}

#[cfg(test)]
mod tests;
