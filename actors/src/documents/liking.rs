//! Pinning and muting a conversation.

use cairn_crdt::ids::SpaceId;

use super::DocumentsState;
use super::commits::{After, Ticket};
use super::requests::no_conversation;
use crate::api::{ApiError, Conversation};
use crate::handle::Reply;
use crate::liking::Liking;
use crate::limits::PINNED_MAX;

impl DocumentsState {
    pub(super) fn set_pinned(&mut self, conversation: SpaceId, pinned: bool, reply: Reply<Conversation>) {
        let now = self.wiring.mesh_ms();
        let others = self.liking.iter().filter(|(id, l)| **id != conversation && l.pinned.is_some()).count();
        if pinned && others >= PINNED_MAX {
            let why = format!("at most {PINNED_MAX} conversations can be pinned");
            return drop(reply.send(Err(ApiError::new("too_many", why))));
        }
        // What is pinned already keeps its place.
        self.like(conversation, |l| l.pinned = if pinned { l.pinned.or(Some(now)) } else { None }, reply);
    }

    pub(super) fn set_muted(&mut self, conversation: SpaceId, until: Option<u64>, reply: Reply<Conversation>) {
        self.like(conversation, |l| l.muted_until = until, reply);
    }

    /// Changes how a conversation is shown; answers once that is kept.
    fn like(&mut self, conversation: SpaceId, change: impl FnOnce(&mut Liking), reply: Reply<Conversation>) {
        let conversation = self.folded.get(&conversation).copied().unwrap_or(conversation);
        if let Err(e) = self.space_of(conversation) {
            return drop(reply.send(Err(e)));
        }
        let mut liking = self.liking.get(&conversation).copied().unwrap_or_default();
        change(&mut liking);
        self.liking.insert(conversation, liking);
        let Some(sp) = self.spaces.get_mut(&conversation) else { return drop(reply.send(Err(no_conversation()))) };
        sp.dirty = true;
        let line = self.spaces.get(&conversation).map(|sp| self.conversation(sp)).ok_or_else(no_conversation);
        match line {
            Ok(line) => self.commit(vec![liking.write(&conversation)], Ticket::Small(Some(After::reply(reply, line)))),
            Err(e) => drop(reply.send(Err(e))),
        }
    }
}
