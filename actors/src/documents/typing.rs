//! Who is writing just now. Ephemeral: a frame to those in the conversation who are connected, never stored, never passed
//! on; it is forgotten after a few seconds, with the message, or with the session. Whoever tells nobody how far they have
//! read tells nobody this either.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use cairn_crdt::ids::{DeviceId, SpaceId};
use cairn_crdt::sync::frame::Frame;

use super::DocumentsState;
use crate::api::{ApiError, Event};
use crate::limits::{TYPING_AGAIN, TYPING_KNOWN, TYPING_PEERS, TYPING_SHOWN};

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Typing {
    /// Who is writing where, and until when that is believed.
    heard: BTreeMap<(SpaceId, DeviceId), Duration>,
    /// Where the person here is writing, and when that was last told.
    told: BTreeMap<SpaceId, Duration>,
}

impl DocumentsState {
    /// The person here writes something, or has stopped.
    pub(super) fn typing(&mut self, conversation: SpaceId, on: bool) -> Result<(), ApiError> {
        let conversation = self.folded.get(&conversation).copied().unwrap_or(conversation);
        self.space_of(conversation)?;
        let now = self.wiring.env.mono();
        let last = self.typing.told.get(&conversation).copied();
        let due = if on { last.is_none_or(|at| now >= at.saturating_add(TYPING_AGAIN)) } else { last.is_some() };
        if !due || (on && !self.wiring.read_receipts.load(Ordering::Relaxed)) {
            return Ok(());
        }
        if on {
            self.typing.told.insert(conversation, now);
        } else {
            self.typing.told.remove(&conversation);
        }
        let there = self.peers.values().filter(|p| p.spaces.contains(&conversation));
        // In a large room nobody could follow it, and all would pay for it.
        if there.clone().count() <= TYPING_PEERS {
            let body = Bytes::from(Frame::Typing(on).encode());
            // Who is behind has more important things to read.
            for peer in there {
                let _ = peer.info.outbox.push(conversation, body.clone());
            }
        }
        Ok(())
    }

    /// What the person here says next is no longer being written.
    pub(super) fn typed(&mut self, conversation: &SpaceId) {
        self.typing.told.remove(conversation);
    }

    /// A peer says that its person writes something, or has stopped.
    pub(super) fn typing_heard(&mut self, space: SpaceId, peer: DeviceId, on: bool) {
        if !self.peers.get(&peer).is_some_and(|p| p.spaces.contains(&space)) {
            return;
        }
        if !on {
            return self.typing_ended(space, &peer);
        }
        let until = self.wiring.env.mono().saturating_add(TYPING_SHOWN);
        let known = self.typing.heard.contains_key(&(space, peer));
        if known || self.typing.heard.len() < TYPING_KNOWN {
            self.typing.heard.insert((space, peer), until);
            if !known {
                self.tell_typing(space, peer, true);
            }
        }
    }

    /// Somebody has stopped writing: said so, said it, or is gone.
    pub(super) fn typing_ended(&mut self, space: SpaceId, device: &DeviceId) {
        if self.typing.heard.remove(&(space, *device)).is_some() {
            self.tell_typing(space, *device, false);
        }
    }

    /// Forgets who has not been heard to write any more.
    pub(super) fn forget_typing(&mut self) {
        if self.typing.heard.is_empty() {
            return;
        }
        let now = self.wiring.env.mono();
        let over: Vec<_> = self.typing.heard.iter().filter(|(_, until)| **until <= now).map(|(k, _)| *k).collect();
        for (space, device) in over {
            self.typing_ended(space, &device);
        }
    }

    fn tell_typing(&self, conversation: SpaceId, device: DeviceId, typing: bool) {
        let name = self.wiring.name_of(&device);
        self.wiring.emit(Event::Typing { conversation, device, name, typing });
    }
}
