//! What stands in the list column: sections of conversations and people, filtered by the search field.

use cairn_actors::api::{Badge, Conversation, PeerState};
use cairn_crdt::ids::{DeviceId, SpaceId};

use super::{Clock, Model, View};

/// A heading and its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// The rows.
    pub rows: Vec<Row>,
}

/// A row of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What it opens.
    pub open: SpaceId,
    /// The person, unless it is a room.
    pub person: Option<DeviceId>,
    /// Name or title.
    pub title: String,
    /// How well the person is known.
    pub badge: Option<Badge>,
    /// Whether the person is here.
    pub presence: Option<PeerState>,
    /// The line below the title.
    pub preview: String,
    /// Whether that line is an unfinished message of ours.
    pub draft: bool,
    /// When the newest message was sent.
    pub time: String,
    /// Messages not read.
    pub unread: u64,
    /// How many of them mention the person here.
    pub mentions: u64,
    /// It calls for no attention.
    pub muted: bool,
}

impl Model {
    /// The sections of the list as the current view and search want them.
    #[must_use]
    pub fn sections(&self, clock: &Clock) -> Vec<Section> {
        let found = |title: &str| matches(title, &self.search);
        let mut out = Vec::new();
        let mut section = |title, rows: Vec<Row>| {
            if !rows.is_empty() {
                out.push(Section { title, rows });
            }
        };
        if self.view == View::People {
            let people: Vec<_> = self.people().into_iter().filter(|p| found(&p.name) || found(&p.code)).collect();
            for (title, here) in [("HERE", true), ("NOT HERE", false)] {
                let rows = people
                    .iter()
                    .filter(|p| (p.state != PeerState::Offline) == here)
                    .map(|p| self.person_row(p, clock))
                    .collect();
                section(title, rows);
            }
            return out;
        }
        let (pinned, others): (Vec<_>, Vec<_>) =
            self.conversations.iter().filter(|c| found(&self.title(c))).partition(|c| c.pinned.is_some());
        section("PINNED", pinned.iter().map(|c| self.row(c, clock)).collect());
        let (rooms, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|c| c.network.is_some());
        let (talked, silent): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|c| has_something(c) || !self.draft(&c.id).is_empty());
        section("EVERYONE", rooms.into_iter().map(|c| self.row(c, clock)).collect());
        section("CONVERSATIONS", talked.iter().map(|c| self.row(c, clock)).collect());
        let people = self.people();
        let here = people
            .iter()
            .filter(|p| found(&p.name) || found(&p.code))
            .filter(|p| !talked.iter().chain(&pinned).any(|c| c.id == p.conversation))
            .filter(|p| p.state != PeerState::Offline || !self.search.is_empty())
            .map(|p| self.person_row(p, clock))
            .collect();
        section("PEOPLE HERE", here);
        // Groups and the like that nobody has said anything in.
        section("QUIET", silent.iter().filter(|c| c.peer.is_none()).map(|c| self.row(c, clock)).collect());
        out
    }

    /// What the rows open, from top to bottom, without the search.
    #[must_use]
    pub fn order(&self) -> Vec<SpaceId> {
        self.conversations
            .iter()
            .filter(|c| has_something(c) || c.network.is_some() || c.pinned.is_some())
            .map(|c| c.id)
            .collect()
    }

    /// What a conversation is called; with several Everyone rooms each says whose it is.
    #[must_use]
    pub fn title(&self, c: &Conversation) -> String {
        let rooms = self.conversations.iter().filter(|o| o.network.is_some()).count();
        let network = c.network.and_then(|n| self.networks.iter().find(|o| o.id == n));
        match network {
            // The node's title says the name of a network that has one.
            Some(n) if rooms > 1 && n.name.is_empty() => format!("{} · {}", c.title, n.id.short()),
            _ => c.title.clone(),
        }
    }

    fn row(&self, c: &Conversation, clock: &Clock) -> Row {
        let peer = c.peer.and_then(|p| self.peers.get(&p));
        let draft = self.draft(&c.id).trim();
        let unfinished = !draft.is_empty() && self.open != Some(c.id);
        let preview = match &c.last {
            _ if self.writing(&c.id).is_some() && self.open != Some(c.id) => self.writing(&c.id).unwrap_or_default(),
            _ if unfinished => format!("Draft: {}", one_line(draft)),
            Some(l) if l.deleted && l.mine => "You deleted a message".into(),
            Some(l) if l.deleted => format!("{} deleted a message", first_word(&l.author_name)),
            Some(l) if l.mine => format!("You: {}", one_line(&l.text)),
            Some(l) if c.peer.is_none() => {
                // A first name alone would not tell two of one name apart.
                let alone = !self.peers.get(&l.author).is_some_and(|p| p.namesake);
                let name = if alone { first_word(&l.author_name) } else { &l.author_name };
                format!("{name}: {}", one_line(&l.text))
            }
            Some(l) => one_line(&l.text),
            None if c.needs_key == 1 => "A message that can't be read yet".into(),
            None if c.needs_key > 1 => "Messages that can't be read yet".into(),
            None if c.needs_newer > 0 => "Something that needs a newer Cairn".into(),
            None if c.network.is_some() => "Say hello to everybody on this network".into(),
            None => "No messages yet".into(),
        };
        Row {
            open: c.id,
            person: c.peer,
            title: self.title(c),
            badge: peer.map(|p| p.badge),
            presence: peer.map(|p| p.state),
            preview,
            draft: unfinished,
            time: c.last.as_ref().map(|l| clock.short(l.sent)).unwrap_or_default(),
            unread: c.unread,
            mentions: c.mentions,
            muted: c.muted_until.is_some_and(|until| until > clock.now),
        }
    }

    fn person_row(&self, p: &cairn_actors::api::Peer, clock: &Clock) -> Row {
        let unread = self.conversation(&p.conversation).map_or(0, |c| c.unread);
        Row {
            open: p.conversation,
            person: Some(p.id),
            title: p.label(),
            badge: Some(p.badge),
            presence: Some(p.state),
            preview: match (p.state, p.rtt_ms) {
                (PeerState::Online, Some(ms)) => format!("{} · {}", p.code, super::format::round_trip(ms)),
                (PeerState::Online | PeerState::Away, _) => p.code.clone(),
                (PeerState::Offline, _) => super::format::presence_line(p, clock),
            },
            draft: false,
            time: String::new(),
            unread,
            mentions: 0,
            muted: false,
        }
    }
}

/// Whether a conversation holds something, be it that it cannot be read yet.
fn has_something(c: &Conversation) -> bool {
    c.last.is_some() || c.needs_key > 0 || c.needs_newer > 0
}

/// Whether every word of a query occurs in a text, whatever the case.
#[must_use]
pub fn matches(text: &str, query: &str) -> bool {
    let text = text.to_lowercase();
    query.to_lowercase().split_whitespace().all(|word| text.contains(word))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

fn first_word(name: &str) -> &str {
    name.split_whitespace().next().unwrap_or(name)
}
