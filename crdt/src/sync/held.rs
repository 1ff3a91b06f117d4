//! Want of room: a device tells its peers whose entries it does not take for now, and they send it none. What two sides
//! compare then stays different, so a document of which a peer brought nothing is asked for again ever more rarely, until
//! it changes at either side.

use super::frame::{Frame, MAX_DOCS, MAX_HELD};
use super::{Lacking, SpaceSync};
use crate::ids::{DeviceId, DocumentId};
use crate::replica::HeldBack;

/// Comparisons that are passed over at most before a document of which nothing came is asked for again: half an hour.
const PASSED_OVER: u32 = 63;

/// A document that a peer offered, and of which it may have brought nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    theirs: [u8; 32],
    ours: [u8; 32],
    /// How often in a row nothing came.
    vain: u32,
    /// Comparisons in which it is still passed over.
    pass: u32,
}

impl SpaceSync {
    /// Sets whose entries are not taken from now on; peers send no more of them. Where more are taken than before, they
    /// compare.
    pub fn set_held_back(&mut self, held: HeldBack) {
        let before = self.replica.held_back().clone();
        if held == before {
            return;
        }
        let more = before.exceeds(&held);
        self.replica.set_held_back(held);
        let peers: Vec<_> = self.peers.keys().copied().collect();
        for peer in peers {
            self.tell_held_back(peer);
            if more {
                if let Some(p) = self.peers.get_mut(&peer) {
                    p.offers.clear();
                }
                self.send_digest(peer);
            }
        }
    }

    pub(super) fn tell_held_back(&mut self, peer: DeviceId) {
        let held = self.replica.held_back().first(MAX_HELD);
        self.out.push(super::Output::Send(peer, Frame::HeldBack(held)));
    }

    /// A peer tells whose entries it does not take: what is being sent of them ends at once.
    pub(super) fn take_held_back(&mut self, peer: DeviceId, held: HeldBack) {
        if let Some(p) = self.peers.get_mut(&peer) {
            for (_, lacking) in &mut p.serving {
                taken(lacking, &held);
            }
            p.held_back = held;
        }
    }

    /// A peer offers a document that differs. Answers whether it is passed over, since what it offered before was the
    /// same, and nothing came.
    pub(super) fn passes_over(&mut self, peer: DeviceId, document: DocumentId, theirs: [u8; 32]) -> bool {
        let ours = self.replica.document_digest(&document);
        let Some(p) = self.peers.get_mut(&peer) else { return true };
        match p.offers.get_mut(&document) {
            Some(offer) if (offer.theirs, offer.ours) == (theirs, ours) => {
                let passes = offer.pass > 0;
                offer.pass = offer.pass.saturating_sub(1);
                passes
            }
            Some(offer) => {
                *offer = Offer { theirs, ours, vain: 0, pass: 0 };
                false
            }
            None => {
                if p.offers.len() < MAX_DOCS {
                    p.offers.insert(document, Offer { theirs, ours, vain: 0, pass: 0 });
                }
                false
            }
        }
    }

    /// A peer has served a document to the end; `gained`: it brought something.
    pub(super) fn offer_served(&mut self, peer: DeviceId, document: &DocumentId, gained: bool) {
        let Some(p) = self.peers.get_mut(&peer) else { return };
        if gained {
            p.offers.remove(document);
        } else if let Some(offer) = p.offers.get_mut(document) {
            // The first time something may just have been lost on the way.
            offer.pass = 1u32.checked_shl(offer.vain).map_or(PASSED_OVER, |n| n.saturating_sub(1)).min(PASSED_OVER);
            offer.vain = offer.vain.saturating_add(1);
        }
    }

    /// What a peer brought of a document could not be taken, and that may change at any time.
    pub(super) fn forget_offer(&mut self, peer: DeviceId, document: &DocumentId) {
        if let Some(p) = self.peers.get_mut(&peer) {
            p.offers.remove(document);
        }
    }
}

/// Leaves of what is lacking only what is taken.
pub(super) fn taken(lacking: &mut Lacking, held: &HeldBack) {
    if !held.is_empty() {
        lacking.retain(|(log, _, _)| !held.holds_log(log));
    }
}
