//! Keys in the running node: what is written into the control log so that a message can be sealed, what a peer is told of
//! our prekey, and whoever lacks a key gets it.

use cairn_crdt::ids::{DeviceId, EpochId, SpaceId};
use cairn_crdt::kinds::control::Operation;
use cairn_crdt::seal::Prekey;
use cairn_crdt::sync::frame::Frame;

use super::commits::{Asked, Ticket};
use super::{DocumentsMsg, DocumentsState};
use crate::api::Event;
use crate::sessions::SessionsMsg;
use crate::space::{Applied, SpaceKind};

impl DocumentsState {
    /// Sees to it that there is a key for what is written next, and that it is of today.
    pub(super) fn prepare_key(&mut self, space: SpaceId) {
        if !self.spaces.get(&space).is_some_and(|sp| sp.is_sealed() && sp.may_write()) {
            return;
        }
        let (wiring, hlc) = (self.wiring.clone(), self.stamp());
        let operations = self.spaces.get_mut(&space).map(|sp| sp.before_writing(hlc, &wiring)).unwrap_or_default();
        self.write_keys(space, operations);
    }

    /// Lets go of keys that only what was erased was sealed with.
    pub(super) fn drop_keys(&mut self, space: SpaceId) {
        let wiring = self.wiring.clone();
        match self.spaces.get_mut(&space).map(|sp| sp.drop_keys(&wiring)) {
            Some(Ok(writes)) => self.commit_small(writes),
            Some(Err(e)) => wiring.trouble("store_read", Some(e.to_string())),
            None => {}
        }
    }

    pub(super) fn write_keys(&mut self, space: SpaceId, operations: Vec<Operation>) {
        for operation in operations {
            if let Err(e) = self.write_control(space, &operation, Asked::Nobody) {
                tracing::error!("keys could not be written: {e}");
                if let Some(sp) = self.spaces.get_mut(&space) {
                    sp.keys_failed();
                }
                return;
            }
        }
    }

    /// The control log said something about keys, or messages wait for theirs.
    pub(super) fn keys_applied(&mut self, space: SpaceId, applied: &Applied) {
        if applied.keys {
            self.save_keys(space);
            self.seal_soon(space);
        }
        if applied.locked > 0 {
            self.ask_keys(space);
        }
        if applied.unlocked > 0 || applied.locked > 0 {
            let count = applied.unlocked.max(applied.locked);
            self.wiring.emit(Event::Messages { conversation: space, count });
            if let Some(sp) = self.spaces.get_mut(&space) {
                sp.dirty = true;
            }
        }
    }

    /// Seals keys again to whoever lacks them: at once between two; in a group a little later by chance, since others may.
    pub(super) fn seal_soon(&mut self, space: SpaceId) {
        match self.spaces.get(&space).and_then(|sp| sp.seal_delay(&self.wiring)) {
            None => self.seal_again(space, None),
            Some(delay) => {
                if self.sealing_soon.insert(space) {
                    self.me.send_after(delay, move || DocumentsMsg::SealAgain(space));
                }
            }
        }
    }

    /// Stores keys that came.
    pub(super) fn save_keys(&mut self, space: SpaceId) {
        let writes = self.spaces.get_mut(&space).map(crate::space::Space::save_keys).unwrap_or_default();
        self.commit_small(writes);
    }

    /// Seals keys again to whoever should have them and does not; `asked`: to whom, and which that device says to lack.
    pub(super) fn seal_again(&mut self, space: SpaceId, asked: Option<(DeviceId, &[EpochId])>) {
        let wiring = self.wiring.clone();
        if self.is_unsure(space) {
            return;
        }
        let operations = self.spaces.get_mut(&space).map(|sp| sp.seal_again(asked, &wiring)).unwrap_or_default();
        self.write_keys(space, operations);
    }

    /// Tells a peer our prekey, and which keys are lacked here.
    pub(super) fn tell_keys(&mut self, space: SpaceId, peer: DeviceId) {
        let Some((prekey, true)) = self.wiring.prekeys.last() else { return };
        let Some(sp) = self.spaces.get(&space).filter(|sp| sp.is_sealed()) else { return };
        // Of a group, whoever has the keys gives them without being asked; one is asked where that does not help.
        let lacked = if matches!(sp.kind, SpaceKind::Direct(_)) { sp.lacked() } else { Vec::new() };
        let frame = Frame::Keys { prekey: Box::new(prekey), lacked };
        self.send(space, peer, &frame, false);
    }

    /// A frame of a space came. With the first of a direct one our prekey is told once more: who opened it earlier than
    /// the other side did was not heard there, and nothing else says it again for half a minute.
    pub(super) fn opened_there(&mut self, space: SpaceId, peer: DeviceId) {
        let direct = self.spaces.get(&space).is_some_and(|sp| sp.kind == SpaceKind::Direct(peer));
        let first = |link: &mut super::PeerLink| !std::mem::replace(&mut link.opened_there, true);
        if direct && self.peers.get_mut(&peer).is_some_and(first) {
            self.tell_keys(space, peer);
        }
    }

    /// Asks for keys that are lacked here: the other side, or in a group one who is here.
    pub(super) fn ask_keys(&mut self, space: SpaceId) {
        let Some(sp) = self.spaces.get(&space).filter(|sp| sp.lacks_keys()) else { return };
        match sp.kind {
            SpaceKind::Commons(_) => {}
            SpaceKind::Direct(peer) => {
                if self.peers.get(&peer).is_some_and(|p| p.spaces.contains(&space)) {
                    self.tell_keys(space, peer);
                }
            }
            SpaceKind::Group(_) => {
                let (peers, lacked) = (sp.sync.peers().collect::<Vec<_>>(), sp.lacked());
                let turn = usize::from(self.wiring.env.random::<1>()[0]);
                if let (Some(peer), Some((prekey, true))) =
                    (peers.get(turn.checked_rem(peers.len()).unwrap_or(0)), self.wiring.prekeys.last())
                {
                    self.send(space, *peer, &Frame::Keys { prekey: Box::new(prekey), lacked }, false);
                }
            }
        }
    }

    /// A peer says its prekey, and which keys it lacks.
    pub(super) fn keys_told(&mut self, space: SpaceId, peer: DeviceId, prekey: &Prekey, lacked: &[EpochId]) {
        let group = self.spaces.get(&space).is_some_and(|sp| matches!(sp.kind, SpaceKind::Group(_)));
        let allowed = |sp: &&mut crate::space::Space| match sp.kind {
            SpaceKind::Commons(_) => false,
            SpaceKind::Direct(other) => other == peer,
            SpaceKind::Group(_) => true,
        };
        let taken = self.spaces.get_mut(&space).filter(allowed).is_some_and(|sp| sp.take_prekey(&peer, prekey));
        if taken && group && lacked.is_empty() {
            self.seal_soon(space);
        } else if taken {
            self.seal_again(space, Some((peer, lacked)));
        } else {
            let why = "a key to seal to that is not its own".into();
            self.wiring.sessions.cast(SessionsMsg::Misbehaved { peer, why });
        }
    }

    /// Makes a new prekey where it is time, and stores what is not stored.
    pub(super) fn renew_prekey(&mut self) {
        if self.wiring.prekeys.renew(&self.wiring)
            && let Some((prekey, _)) = self.wiring.prekeys.last()
        {
            let write = self.wiring.prekeys.write();
            self.commit(vec![write], Ticket::Prekeys(prekey.number));
        }
    }

    /// Prekeys are stored: the last one goes to everybody who is here, and into the control logs where an earlier one is.
    pub(super) fn prekeys_stored(&mut self, number: u32) {
        let wiring = self.wiring.clone();
        wiring.prekeys.stored(number);
        for space in self.spaces.keys().copied().collect::<Vec<_>>() {
            let Some(sp) = self.spaces.get(&space).filter(|sp| sp.is_sealed()) else { continue };
            for peer in sp.sync.peers().collect::<Vec<_>>() {
                self.tell_keys(space, peer);
            }
            if !self.is_unsure(space) {
                let operation = self.spaces.get_mut(&space).and_then(|sp| sp.publish_again(&wiring));
                self.write_keys(space, Vec::from_iter(operation));
            }
        }
    }

    /// Private prekeys that are past their time go, by a time that the other side of a direct space agrees to.
    pub(super) fn expire_prekeys(&mut self, space: SpaceId, agreed: u64) {
        let sealed = self.spaces.get(&space).is_some_and(crate::space::Space::is_sealed);
        if sealed && self.wiring.prekeys.ring().expire(agreed) > 0 {
            let write = self.wiring.prekeys.write();
            self.commit_small(vec![write]);
        }
    }
}
