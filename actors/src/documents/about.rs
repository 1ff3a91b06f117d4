//! What is said of messages after they were said: edits and deletions of one's own, reactions; and how that is shown.

use std::collections::BTreeMap;

use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, MessageId, PrincipalId, SpaceId};
use cairn_crdt::kinds::chat::mention::{Mention, find};
use cairn_crdt::kinds::chat::{MAX_EMOJI, MAX_REACTIONS, MessageView, Record};
use unicode_segmentation::UnicodeSegmentation;

use super::DocumentsState;
use super::commits::Ticket;
use super::requests::{check_body, no_conversation, no_message};
use super::show::one_line;
use crate::api::{About, ApiError, Mentioned, Message, Quote, Reacted, Version, count};
use crate::handle::Reply;
use crate::limits::{REACTIONS_SHOWN, REACTORS_NAMED, VERSIONS_SHOWN};
use crate::space::{Space, SpaceKind};
use crate::store::Write;
use crate::wiring::Wiring;

/// What a person wants to say of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amendment {
    /// One's own says something else now.
    Edit(String),
    /// One's own is deleted.
    Delete,
    /// It gets a reaction, or loses it.
    React(String, bool),
}

/// Whether a text is a reaction: one character as people count them, short, no blank, no letter or digit of ASCII.
#[must_use]
pub fn is_reaction(text: &str) -> bool {
    let one = text.graphemes(true).count() == 1;
    let seen = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    one && seen && text.len() <= MAX_EMOJI && !(text.len() == 1 && text.is_ascii())
}

/// What belongs to a message beside its text, as shown.
pub(crate) fn about(sp: &Space, m: &MessageView<'_>, wiring: &Wiring) -> About {
    if m.reply_to.is_none() && m.mentions.is_empty() && m.about.is_none() {
        return About::default();
    }
    let mention = |mention: &Mention| {
        let id = mention.who.founder();
        let said = mention.name.to_string();
        Mentioned { id, said, name: wiring.name_of(&id), me: id == wiring.me }
    };
    About {
        reply_to: m.reply_to.map(|id| quote(sp, id, wiring)),
        mentions: m.mentions.iter().map(mention).collect(),
        edited: m.edited.filter(|_| !m.deleted).map(|at| at.ms()),
        deleted: m.deleted,
        reactions: if m.deleted { Vec::new() } else { reactions(m, wiring) },
    }
}

fn quote(sp: &Space, id: MessageId, wiring: &Wiring) -> Quote {
    match sp.chat.find(&id).first() {
        Some(m) => Quote {
            id,
            key: Some(m.key),
            author: Some(m.key.device),
            author_name: wiring.name_of(&m.key.device),
            text: one_line(m.body),
            deleted: m.deleted,
        },
        None => Quote { id, key: None, author: None, author_name: String::new(), text: String::new(), deleted: false },
    }
}

fn reactions(m: &MessageView<'_>, wiring: &Wiring) -> Vec<Reacted> {
    let mut kinds: BTreeMap<&str, Vec<DeviceId>> = BTreeMap::new();
    for (who, emoji) in m.about.into_iter().flat_map(|a| a.reactions()) {
        kinds.entry(emoji).or_default().push(who.founder());
    }
    let mut all: Vec<_> = kinds.into_iter().filter(|(emoji, _)| is_reaction(emoji)).collect();
    all.sort_by_key(|(emoji, who)| (std::cmp::Reverse(who.len()), *emoji));
    all.truncate(REACTIONS_SHOWN);
    let shown = |(emoji, mut who): (&str, Vec<DeviceId>)| {
        let me = |d: &DeviceId| *d == wiring.me;
        who.sort_by_key(|d| (!me(d), *d));
        let by = who.iter().take(REACTORS_NAMED).map(|d| if me(d) { wiring.name() } else { wiring.name_of(d) });
        Reacted { emoji: emoji.to_owned(), count: count(who.len()), mine: who.iter().any(me), by: by.collect() }
    };
    all.into_iter().map(shown).collect()
}

/// All that a message said, oldest first.
pub(crate) fn versions(m: &MessageView<'_>) -> Vec<Version> {
    let later = m.about.map_or(&[][..], |a| a.versions());
    let skip = later.len().saturating_sub(VERSIONS_SHOWN);
    let first = (skip == 0).then(|| Version { at: m.sent.ms(), body: Some(m.first.to_owned()) });
    let later =
        later.iter().skip(skip).map(|v| Version { at: v.at().ms(), body: v.body.as_deref().map(str::to_owned) });
    first.into_iter().chain(later).collect()
}

fn not_yours() -> ApiError {
    ApiError::new("not_yours", "only who wrote a message can edit or delete it")
}

fn is_deleted() -> ApiError {
    ApiError::new("deleted", "the message is deleted")
}

/// The record that does what a person wants; `None`: it is so already.
fn record<'a>(
    m: &MessageView<'_>,
    amendment: &'a Amendment,
    mentions: &'a [Mention],
    wiring: &Wiring,
) -> Result<Option<Record<'a>>, ApiError> {
    let (message, me) = (m.key.id, wiring.me.principal());
    if !matches!(amendment, Amendment::React(..)) && m.principal() != me {
        return Err(not_yours());
    }
    match amendment {
        Amendment::Delete if m.deleted => Ok(None),
        _ if m.deleted => Err(is_deleted()),
        Amendment::Delete => Ok(Some(Record::Delete { message })),
        Amendment::Edit(body) if body == m.body && mentions == m.mentions => Ok(None),
        Amendment::Edit(body) => Ok(Some(Record::Edit { message, body, mentions })),
        Amendment::React(emoji, on) => {
            if !is_reaction(emoji) {
                return Err(ApiError::new("bad_reaction", "a reaction is one emoji or other single character"));
            }
            let given = m.about.map_or(&[][..], |a| a.reactions_of(&me));
            match given.iter().find(|r| &*r.emoji == emoji.as_str()) {
                Some(r) if r.on == *on => return Ok(None),
                None if !on => return Ok(None),
                None if given.len() >= MAX_REACTIONS => {
                    let why = format!("at most {MAX_REACTIONS} different reactions to one message count");
                    return Err(ApiError::new("too_many", why));
                }
                _ => {}
            }
            Ok(Some(Record::React { message, author: m.principal(), emoji, on: *on }))
        }
    }
}

impl DocumentsState {
    /// Says something of a message; answers with it once that is durable.
    pub(super) fn amend(&mut self, conversation: SpaceId, id: MessageId, what: &Amendment, reply: Reply<Message>) {
        match self.try_amend(conversation, id, what) {
            Ok(None) => drop(reply.send(self.message(conversation, &id))),
            Ok(Some((space, writes, ticket))) => self.commit(writes, ticket(space, reply)),
            Err(e) => drop(reply.send(Err(e))),
        }
    }

    #[allow(clippy::type_complexity, reason = "what is to be committed, and who waits for it")]
    fn try_amend(
        &mut self,
        conversation: SpaceId,
        id: MessageId,
        what: &Amendment,
    ) -> Result<Option<(SpaceId, Vec<Write>, impl FnOnce(SpaceId, Reply<Message>) -> Ticket + use<>)>, ApiError> {
        let conversation = self.folded.get(&conversation).copied().unwrap_or(conversation);
        if let Amendment::Edit(body) = what {
            check_body(body)?;
        }
        self.with_message(conversation, &id)?;
        if self.is_unsure(conversation) {
            return Err(ApiError::new("store_failed", "something could not be stored a moment ago: try again"));
        }
        let mentions = match what {
            Amendment::Edit(body) => self.mentioned(conversation, body).0,
            _ => Vec::new(),
        };
        let wiring = self.wiring.clone();
        let sp = self.spaces.get(&conversation).ok_or_else(no_conversation)?;
        if !sp.may_write() {
            return Err(super::groups::no_writing(sp));
        }
        let view = self.view(sp, &id).ok_or_else(no_message)?;
        let key = view.key;
        let Some(record) = record(&view, what, &mentions, &wiring)? else { return Ok(None) };
        self.sign_record(conversation, view.key.device.principal(), &record, Hlc::default()).map(|(writes, entry)| {
            Some((conversation, writes, move |space, reply| Ticket::Amended { space, entry, key, reply: Some(reply) }))
        })
    }

    /// Signs a record, stamped after `past`: what is to be committed, and its entry.
    pub(super) fn sign_record(
        &mut self,
        space: SpaceId,
        author: PrincipalId,
        record: &Record<'_>,
        past: Hlc,
    ) -> Result<(Vec<Write>, std::sync::Arc<cairn_crdt::entry::Entry>), ApiError> {
        self.renew_cut_pen(space);
        self.prepare_key(space);
        let (hlc, wiring) = (self.stamp(), self.wiring.clone());
        let sp = self.spaces.get_mut(&space).ok_or_else(no_conversation)?;
        let written = sp.write_record(&author, record, hlc, past, &wiring);
        let entry = written.map_err(|e| ApiError::new("not_written", e.to_string()))?.ok_or_else(no_message)?;
        let mut writes = Vec::from_iter(sp.with_key(&entry.header().epoch));
        writes.push(Write::Append { entry: entry.clone(), received: wiring.env.now_ms() });
        writes.extend(self.register(space));
        Ok((writes, entry))
    }

    /// Whom a text mentions in a conversation, and names in it that could mean several people.
    pub(super) fn mentioned(&self, conversation: SpaceId, body: &str) -> (Vec<Mention>, Vec<String>) {
        let Some(sp) = self.spaces.get(&conversation).filter(|_| body.contains('@')) else { return Default::default() };
        let network = match sp.kind {
            SpaceKind::Commons(id) => Some(id),
            SpaceKind::Direct(_) | SpaceKind::Group(_) => None,
        };
        let mut people: std::collections::BTreeSet<DeviceId> = sp.members(&self.wiring).0.into_iter().collect();
        if let Some(network) = network {
            let here = |d: &DeviceId| self.wiring.people.record(d).is_some_and(|r| r.networks.contains(&network));
            people.extend(self.wiring.people.known().into_iter().filter(here));
        }
        let peers: Vec<_> = people.iter().filter_map(|d| self.wiring.people.peer(d)).collect();
        let mut names: Vec<(PrincipalId, String)> = Vec::new();
        for p in peers {
            let who = p.id.principal();
            let all = [Some(p.label()), Some(p.code.clone()), p.petname, p.own_name];
            names.extend(all.into_iter().flatten().map(|name| (who, name)));
        }
        let names: Vec<_> = names.iter().map(|(who, name)| (*who, name.as_str())).collect();
        let found = find(body, &names);
        (found.mentions, found.ambiguous)
    }

    /// What was said of a message is durable, and shown.
    pub(super) fn amended(&mut self, space: SpaceId, key: &crate::api::OrderKey, reply: Option<Reply<Message>>) {
        if let Some(reply) = reply {
            let _ = reply.send(self.message_at(space, key).ok_or_else(no_message));
        }
    }

    /// All that a message said, oldest first.
    pub(super) fn versions(&mut self, conversation: SpaceId, id: &MessageId) -> Result<Vec<Version>, ApiError> {
        self.with_message(conversation, id)?;
        let sp = self.spaces.get(&conversation).ok_or_else(no_conversation)?;
        Ok(versions(&self.view(sp, id).ok_or_else(no_message)?))
    }
}

#[cfg(test)]
mod tests {
    use super::is_reaction;

    #[test]
    fn a_reaction_is_one_character_as_people_count_them() {
        for good in ["👍", "👍🏽", "❤️", "👩‍👩‍👧‍👦", "🇩🇪", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "1️⃣", "✅", "赞", "é"]
        {
            assert!(is_reaction(good), "{good}");
        }
        for bad in ["", "a", "7", " ", "\n", "👍👍", "ok", "👍 ", "🇩🇪🇫🇷", &"👩‍".repeat(20), "\u{85}"]
        {
            assert!(!is_reaction(bad), "{bad:?}");
        }
    }
}
