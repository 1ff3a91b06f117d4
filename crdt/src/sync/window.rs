//! Windows: which part of a space is gone at a peer. Two sides compare and exchange only what is gone at neither.
//!
//! A node tells its window when a session opens, if anything is gone here, and whenever it changes. In a space that its
//! control log governs, that log is exchanged before anything else is compared, so that what was retired while a
//! device was away is retired there before anybody fetches it.

use super::frame::MAX_SPANS;
use super::{Frame, Output, SpaceSync};
use crate::ids::{DeviceId, DocumentId, Kind};
use crate::spans::Spans;

/// What was told of the control log while documents are being compared.
#[derive(Debug, Default)]
pub(super) struct First {
    /// The peer's digest of the control log that we asked for last: asked once for each.
    tried: Option<[u8; 32]>,
    /// What follows of the peer's list is passed over.
    skip: bool,
}

impl SpaceSync {
    /// What is gone here changed: tells peers, and gives up whatever is under way about it. Answers which documents
    /// went and which came back.
    pub fn set_gone(&mut self, gone: Spans) -> (Vec<DocumentId>, Vec<DocumentId>) {
        if gone == *self.replica.gone() {
            return (Vec::new(), Vec::new());
        }
        let (went, came) = self.replica.set_gone(gone);
        let under_way: Vec<_> = self.fetching.keys().filter(|d| self.replica.is_gone(d)).copied().collect();
        for document in under_way {
            self.end_fetch(&document);
        }
        self.wanted.retain(|d, _| !self.replica.is_gone(d));
        // What is being served ends at once, and is said to have ended.
        for p in self.peers.values_mut() {
            for (_, lacking) in p.serving.iter_mut().filter(|(d, _)| self.replica.is_gone(d)) {
                lacking.clear();
            }
        }
        let peers: Vec<_> = self.peers.keys().copied().collect();
        for peer in peers {
            self.send_window(peer);
            if !came.is_empty() {
                self.send_digest(peer);
            }
        }
        self.fetch_more();
        (went, came)
    }

    /// What is gone at a peer.
    #[must_use]
    pub fn window(&self, peer: &DeviceId) -> Spans {
        self.peers.get(peer).map(|p| p.window.clone()).unwrap_or_default()
    }

    /// Tells a peer what is gone here.
    pub(super) fn send_window(&mut self, peer: DeviceId) {
        let window = self.replica.gone().longest(MAX_SPANS);
        self.out.push(Output::Send(peer, Frame::Window(window)));
    }

    /// A peer tells what is gone there.
    pub(super) fn take_window(&mut self, peer: DeviceId, window: Spans) {
        let Some(p) = self.peers.get_mut(&peer) else { return };
        let before = std::mem::replace(&mut p.window, window);
        let gone = self.replica.gone();
        // Where all of it is gone here too, nothing is compared differently.
        if before != p.window && !(gone.contains(&before) && gone.contains(&p.window)) {
            self.send_digest(peer);
        }
    }

    /// Our digest as a peer sees it.
    pub(super) fn digest_for(&mut self, peer: &DeviceId) -> [u8; 32] {
        match self.peers.get(peer) {
            Some(p) => self.replica.digest_without(&p.window),
            None => self.replica.digest(),
        }
    }

    /// Whether the control log governs, a peer's differs, and that was not tried yet; from now on it was.
    pub(super) fn control_differs(&mut self, peer: DeviceId, theirs: &[u8; 32]) -> bool {
        let ours = self.replica.document_digest(&DocumentId::singleton(Kind::Control));
        let differs = self.replica.is_governed() && ours != *theirs;
        let Some(p) = self.peers.get_mut(&peer) else { return false };
        let first = differs && p.first.tried != Some(*theirs);
        if first {
            p.first.tried = Some(*theirs);
            p.compare = true;
        }
        first
    }

    /// Where the control log governs and a peer's differs, it alone is fetched now, and the rest is compared when that is
    /// done. Answers whether this part of the peer's list is passed over.
    pub(super) fn control_first(&mut self, peer: DeviceId, more: bool, docs: &[(DocumentId, [u8; 32])]) -> bool {
        let control = DocumentId::singleton(Kind::Control);
        let theirs = docs.first().filter(|(d, _)| *d == control).map(|(_, digest)| *digest);
        let differs = self.replica.is_governed() && theirs.is_some_and(|d| d != self.replica.document_digest(&control));
        let Some(p) = self.peers.get_mut(&peer) else { return false };
        let first = differs && p.first.tried != theirs;
        let skip = first || p.first.skip;
        p.first.skip = skip && more;
        if first {
            p.first.tried = theirs;
            p.compare = true;
            self.want(peer, control);
        }
        skip
    }
}
