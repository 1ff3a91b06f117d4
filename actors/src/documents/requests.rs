//! Commands and queries about conversations and networks.

use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DocumentId, MessageId, NetworkId, SpaceId};
use cairn_crdt::kinds::chat::PageAt as At;
use cairn_crdt::kinds::order::{OrderKey, latest_stamp};

use tokio::sync::OwnedSemaphorePermit;

use super::DocumentsState;
use super::commits::{After, Ticket, store_error};
use super::show;
use crate::api::{ApiError, Conversation, ConversationKind, Custody, Member, Message, Network, Receipt, Said};
use crate::handle::{Reply, Request};
use crate::limits::{MESSAGE_MAX, PAGE_MAX};
use crate::proto::session::clean_name;
use crate::space::Space;
use crate::space::saying::Words;
use crate::store::Write;

/// Questions that wait until a fresh device is in a network.
const WAITING: usize = 64;

pub(crate) fn no_conversation() -> ApiError {
    ApiError::new("no_such_conversation", "there is no such conversation here")
}

pub(crate) fn no_message() -> ApiError {
    ApiError::new("no_such_message", "there is no such message in this conversation")
}

/// Checks what a person wants to say.
///
/// # Errors
/// `empty`, `too_long`.
pub fn check_body(body: &str) -> Result<(), ApiError> {
    if body.trim().is_empty() {
        return Err(ApiError::new("empty", "there is nothing to say: the message is empty"));
    }
    if body.len() > MESSAGE_MAX {
        let sentence = format!("the message has {} bytes, at most {MESSAGE_MAX} are allowed", body.len());
        return Err(ApiError::new("too_long", sentence));
    }
    Ok(())
}

impl DocumentsState {
    /// Answers a request, now or once it is durable.
    pub(super) fn answer(&mut self, request: Request, place: OwnedSemaphorePermit) {
        match request {
            // Within a second or two there is a network: an answer without an Everyone room would be of no use.
            Request::Conversations(reply) if self.networks.primary().is_none() && self.waiting.len() < WAITING => {
                self.waiting.push(reply);
            }
            Request::Conversations(reply) => drop(reply.send(Ok(self.conversations()))),
            Request::Say { conversation, body, id, reply_to, reply } => {
                self.say(conversation, &body, id, reply_to, reply);
            }
            Request::Amend { conversation, id, what, reply } => self.amend(conversation, id, &what, reply),
            Request::Typing(conversation, on, reply) => drop(reply.send(self.typing(conversation, on))),
            Request::SetPinned(conversation, pinned, reply) => self.set_pinned(conversation, pinned, reply),
            Request::SetMuted(conversation, until, reply) => self.set_muted(conversation, until, reply),
            Request::Versions(conversation, id, reply) => drop(reply.send(self.versions(conversation, &id))),
            Request::Page(conversation, at, limit, reply) => self.page(conversation, at, limit, reply, place),
            Request::Message(conversation, id, reply) => drop(reply.send(self.message(conversation, &id))),
            Request::Receipts(conversation, id, reply) => drop(reply.send(self.receipts(conversation, &id))),
            Request::Members(conversation, reply) => drop(reply.send(self.members(conversation))),
            Request::Custody(conversation, document, reply) => {
                drop(reply.send(self.custody(conversation, document)));
            }
            Request::MarkRead(conversation, key, reply) => drop(reply.send(self.mark_read(conversation, key))),
            Request::Retention(conversation, reply) => drop(reply.send(self.retention(conversation))),
            Request::SetRetention(conversation, keep, reply) => self.set_retention(conversation, keep, reply),
            Request::Forget(conversation, before, reply) => self.forget(conversation, before, reply),
            Request::Group(command, reply) => self.group_command(command, reply),
            Request::Groups(reply) => drop(reply.send(Ok(self.groups_shown()))),
            Request::Invitations(reply) => drop(reply.send(Ok(self.invitations()))),
            Request::GroupLog(group, reply) => drop(reply.send(self.group_log(group))),
            Request::Networks(reply) => drop(reply.send(Ok(self.networks_shown()))),
            Request::JoinNetwork(id, reply) => {
                let known = self.networks.join(&id);
                self.network_decided(&id, known, reply);
            }
            Request::KeepApart(id, reply) => {
                let known = self.networks.keep_apart(&id);
                self.network_decided(&id, known, reply);
            }
            Request::NameNetwork(id, name, reply) => self.name_network(&id, &name, reply),
            Request::Briefings(reply) => drop(reply.send(Ok(self.briefings()))),
            Request::BriefingSeen(id, reply) => self.briefing_seen(id, reply),
            Request::SetPetname(device, name, reply) => self.set_petname(device, name, reply),
            Request::Safety(device, reply) => self.safety(device, reply, place),
            Request::SetVerified(device, verified, reply) => self.set_verified(device, verified, reply),
            Request::Scan { code, meant, reply } => self.scan(&code, meant, reply),
            // The node answers the rest itself.
            _ => {}
        }
    }

    pub(super) fn conversations(&self) -> Vec<Conversation> {
        let primary = self.networks.primary();
        let listed = self.spaces.values().filter(|sp| self.is_listed(sp));
        let mut all: Vec<_> = listed.map(|sp| self.conversation(sp)).collect();
        all.sort_by_key(|c| {
            let everyone = c.kind == ConversationKind::Everyone;
            let newest = c.last.as_ref().map_or(0, |l| l.sent);
            let pinned = c.pinned.unwrap_or(u64::MAX);
            (pinned, !everyone, everyone && c.network != primary, std::cmp::Reverse(newest), c.id)
        });
        all
    }

    /// A space that a request names; a direct one with a known device is opened if need be.
    pub(super) fn space_of(&mut self, id: SpaceId) -> Result<&mut Space, ApiError> {
        let id = self.folded.get(&id).copied().unwrap_or(id);
        if !self.spaces.contains_key(&id) {
            let me = self.wiring.me.principal();
            let mut known = self.wiring.people.known().into_iter();
            let peer = known.find(|d| SpaceId::direct(&me, &d.principal()) == id);
            self.direct(peer.ok_or_else(no_conversation)?);
        }
        self.spaces.get_mut(&id).ok_or_else(no_conversation)
    }

    fn say(
        &mut self,
        conversation: SpaceId,
        body: &str,
        id: Option<MessageId>,
        reply_to: Option<MessageId>,
        reply: Reply<Said>,
    ) {
        let conversation = self.folded.get(&conversation).copied().unwrap_or(conversation);
        let checked = check_body(body).and_then(|()| match self.space_of(conversation)? {
            sp if sp.may_write() => Ok(()),
            sp => Err(super::groups::no_writing(sp)),
        });
        if let Err(e) = checked {
            let _ = reply.send(Err(e));
            return;
        }
        if let Some(id) = id {
            if let Some(waiting) = self.saying.get_mut(&(conversation, id)) {
                waiting.push(reply);
                return;
            }
            if self.said_before(conversation, &id) {
                let _ = reply.send(Ok(self.said(conversation, id)));
                return;
            }
        }
        let id = id.unwrap_or_else(|| MessageId::new(self.wiring.mesh_ms(), self.wiring.env.random()));
        self.typed(&conversation);
        let mentions = self.mentioned(conversation, body).0;
        let words = Words { body: body.into(), reply_to, mentions };
        match self.write_message(conversation, id, words, Vec::new()) {
            Ok(()) => self.saying.entry((conversation, id)).or_default().push(reply),
            Err(e) => drop(reply.send(Err(ApiError::new("not_written", e.to_string())))),
        }
    }

    fn said(&self, conversation: SpaceId, id: MessageId) -> Said {
        let state = self.spaces.get(&conversation).and_then(|sp| {
            let (members, _) = sp.members(&self.wiring);
            Some(show::message(sp, &self.view(sp, &id)?, &members, &self.wiring).state)
        });
        let state = state.unwrap_or(crate::api::DeliveryState::Queued);
        let said = self.spaces.get(&conversation).and_then(|sp| self.view(sp, &id)).map(|m| m.body.to_owned());
        let ambiguous = said.map(|body| self.mentioned(conversation, &body).1).unwrap_or_default();
        Said { id, conversation: Some(conversation), state, ambiguous }
    }

    /// A message of ours is durable: whoever said it hears so.
    pub(super) fn answer_said(&mut self, conversation: SpaceId, id: MessageId) {
        let said = self.said(conversation, id);
        for reply in self.saying.remove(&(conversation, id)).unwrap_or_default() {
            let _ = reply.send(Ok(said.clone()));
        }
    }

    /// A space whose segment with a message is in memory: an own message's segment is known, another's is looked for
    /// from the newest back.
    pub(super) fn with_message(&mut self, conversation: SpaceId, id: &MessageId) -> Result<&Space, ApiError> {
        let wiring = self.wiring.clone();
        let sp = self.space_of(conversation)?;
        sp.set_reference(&wiring);
        // An id mostly begins with the time at which it was made.
        if sp.chat.find(id).is_empty() {
            let about = id.0.iter().take(6).fold(0u64, |ms, byte| ms << 8 | u64::from(*byte));
            let then = At::Before(OrderKey { stamp: latest_stamp(Hlc::from_ms(about)), ..OrderKey::MIN });
            sp.ensure(&then, 1, &wiring).map_err(|e| store_error(&e))?;
        }
        let mut place = At::Newest;
        while sp.chat.find(id).is_empty() {
            sp.ensure(&place, PAGE_MAX, &wiring).map_err(|e| store_error(&e))?;
            let page = sp.chat.page(&place, PAGE_MAX);
            match page.messages.first() {
                Some(first) if page.older => place = At::Before(first.key),
                _ if sp.chat.find(id).is_empty() => return Err(no_message()),
                _ => {}
            }
        }
        self.spaces.get(&conversation).ok_or_else(no_conversation)
    }

    pub(super) fn message(&mut self, conversation: SpaceId, id: &MessageId) -> Result<Message, ApiError> {
        let wiring = self.wiring.clone();
        self.with_message(conversation, id)?;
        let sp = self.spaces.get(&conversation).ok_or_else(no_conversation)?;
        let view = self.view(sp, id).ok_or_else(no_message)?;
        let (members, _) = sp.members(&wiring);
        Ok(show::message(sp, &view, &members, &wiring))
    }

    fn receipts(&mut self, conversation: SpaceId, id: &MessageId) -> Result<Vec<Receipt>, ApiError> {
        self.with_message(conversation, id)?;
        let sp = self.spaces.get(&conversation).ok_or_else(no_conversation)?;
        let view = self.view(sp, id).ok_or_else(no_message)?;
        Ok(show::receipts(sp, &view, &self.wiring))
    }

    fn members(&mut self, conversation: SpaceId) -> Result<Vec<Member>, ApiError> {
        let conversation = self.folded.get(&conversation).copied().unwrap_or(conversation);
        let wiring = self.wiring.clone();
        Ok(show::members(self.space_of(conversation)?, &wiring))
    }

    fn custody(&mut self, conversation: SpaceId, document: Option<DocumentId>) -> Result<Custody, ApiError> {
        let conversation = self.folded.get(&conversation).copied().unwrap_or(conversation);
        let wiring = self.wiring.clone();
        let sp = self.space_of(conversation)?;
        // What became durable a moment ago counts too.
        sp.frontier_changed();
        Ok(crate::custody::of(sp, document, &wiring))
    }

    fn mark_read(&mut self, conversation: SpaceId, key: OrderKey) -> Result<(), ApiError> {
        let before = self.read_mark(&conversation);
        let sp = self.space_of(conversation)?;
        if key > before {
            sp.dirty = true;
            // What came in bulk and is not read from the store yet was on no screen.
            if !sp.is_behind() {
                sp.read_on();
            }
            self.marks.insert(conversation, key);
        }
        Ok(())
    }

    /// Writes read marks that moved: at most one entry a conversation and interval, however fast somebody reads.
    pub(super) fn write_marks(&mut self) {
        for (conversation, mark) in std::mem::take(&mut self.marks) {
            if mark <= self.own.mark(&conversation) {
                continue;
            }
            let hlc = self.stamp();
            let wiring = self.wiring.clone();
            match self.own.write_mark(&wiring.key, wiring.store.as_ref(), hlc, &conversation, &mark) {
                Ok(entry) => {
                    let writes = vec![Write::Append { entry: entry.clone(), received: wiring.env.now_ms() }];
                    self.own.take(std::slice::from_ref(&entry));
                    self.commit(writes, Ticket::Own(entry, None));
                }
                Err(e) => tracing::error!("a read mark could not be written: {e}"),
            }
        }
    }

    fn networks_shown(&self) -> Vec<Network> {
        let mut all: Vec<_> = self.networks.iter().filter_map(|(id, _)| self.network(&id)).collect();
        all.sort_by_key(|n| (!n.primary, n.state != crate::api::NetworkState::Joined, n.id));
        all
    }

    /// The person decided about a network: answers once that is kept.
    fn network_decided(&mut self, id: &NetworkId, known: bool, reply: Reply<Network>) {
        match self.network(id).filter(|_| known) {
            None => drop(reply.send(Err(no_network()))),
            Some(network) => {
                self.networks_changed_then(Some(After::reply(reply, network)));
                self.tell_network(id);
                if let Some(sp) = self.spaces.get_mut(&SpaceId::commons(id)) {
                    sp.dirty = true;
                }
            }
        }
    }

    fn name_network(&mut self, id: &NetworkId, name: &str, reply: Reply<Network>) {
        let Some(name) = clean_name(name) else { return drop(reply.send(Err(bad_name()))) };
        // The latest name counts: it must be later than one that was given by a clock far ahead.
        let hlc = self.stamp().max(self.networks.get(id).map_or_else(Default::default, |k| k.named.next()));
        let known = self.networks.name(id, &name, hlc);
        self.network_decided(id, known, reply);
    }
}

pub(super) fn bad_name() -> ApiError {
    ApiError::new("bad_name", "a name has 1 to 64 bytes and at least one character that can be seen")
}

fn no_network() -> ApiError {
    ApiError::new("no_such_network", "no such network was met that could be answered so")
}
