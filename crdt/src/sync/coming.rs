//! How much is still to come: what people see while a long absence is made up for. Peers say it, so it decides nothing:
//! nothing is allocated by it, waits for it or ends with it.

use super::frame::Frame;
use super::{Output, SpaceSync};
use crate::ids::DeviceId;

/// Fewer entries are not announced: they are there before anybody could look.
pub const ANNOUNCED: u64 = 64;
/// More than a peer can have said in earnest: 10,000 messages a day for three years.
pub const MOST: u64 = 10_000_000;
/// Documents that are counted for an announcement; a receiver asks for eight at a time.
const COUNTED: usize = 64;

/// What is to come from one peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Coming {
    /// Entries that it said to be on their way, less what came since.
    said: u64,
    /// Entries that came and are on their way to the disk.
    storing: u64,
}

impl Coming {
    /// Entries arrived.
    pub(super) fn came(&mut self, live: bool, entries: usize) {
        if !live {
            self.said = self.said.saturating_sub(entries as u64);
        }
    }

    /// New ones go to the disk.
    pub(super) fn storing(&mut self, live: bool, entries: usize) {
        if !live {
            self.storing = self.storing.saturating_add(entries as u64);
        }
    }

    /// They are there.
    pub(super) fn stored(&mut self, live: bool, entries: usize) {
        if !live {
            self.storing = self.storing.saturating_sub(entries as u64);
        }
    }

    /// Nothing more is being fetched from it, whatever it said.
    pub(super) fn over(&mut self) {
        self.said = 0;
    }
}

impl SpaceSync {
    /// How many entries are still to come, by the peer that brings them: what each said, what is on its way to the
    /// disk, and one for each document that waits to be asked for. Peers that bring nothing are left out.
    pub fn to_come(&self) -> impl Iterator<Item = (DeviceId, u64)> + '_ {
        let left = self.peers.iter().map(|(id, p)| {
            let waiting = p.wanted.len() as u64;
            (*id, p.coming.said.saturating_add(p.coming.storing).saturating_add(waiting))
        });
        left.filter(|(_, left)| *left > 0)
    }

    /// Tells a peer how much of what it asked for is still to be sent, if that is much.
    pub(super) fn tell_coming(&mut self, peer: DeviceId) {
        let Some(p) = self.peers.get(&peer) else { return };
        let queues = p.serving.iter().take(COUNTED).flat_map(|(_, queue)| queue);
        let entries = queues.map(|(_, from, upto)| upto.saturating_sub(*from).saturating_add(1));
        let left = entries.fold(p.packed.entries.len() as u64, u64::saturating_add);
        if left >= ANNOUNCED {
            self.out.push(Output::Send(peer, Frame::Coming(left)));
        }
    }

    /// A peer said how much is still to come. Of what nobody asked it for nothing is.
    pub(super) fn told_coming(&mut self, peer: DeviceId, entries: u64) {
        if let Some(p) = self.peers.get_mut(&peer).filter(|p| p.fetches > 0) {
            p.coming.said = entries.min(MOST);
        }
    }
}
