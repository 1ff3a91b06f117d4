//! Which document is fetched from which peer: places for each peer, and an end to fetches that bring nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

#[cfg(any(test, feature = "sim"))]
use super::SERVES;
use super::frame::{Frame, LogEnd, MAX_DOCS, MAX_LOGS};
use super::{Output, SpaceSync};
use crate::entry::Entry;
use crate::ids::{DeviceId, DocumentId};
use crate::planted::{Fault, planted};
use crate::replica::Replica;

/// Documents fetched at once from one peer in a space.
pub(super) const FETCHES: usize = 8;
/// Documents that wait to be fetched from one peer; the rest comes with the next comparison.
const WANTED: usize = MAX_DOCS;
/// Seconds ([`SpaceSync::tick`]) without progress after which a fetch is given to another peer. While commits are under
/// way a second counts half: then the disk may be what is slow.
pub(super) const PATIENCE: u32 = 10;
/// Seconds in which nothing is fetched from a peer that did not bring what it offered; doubled each time, up to 64-fold.
pub(super) const PENANCE: u32 = 10;
/// A document that is being fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetch {
    pub(super) peer: DeviceId,
    /// Half seconds without anything new of this document.
    pub(super) idle: u32,
}

impl SpaceSync {
    /// Whether no queue is longer than it may be.
    #[cfg(any(test, feature = "sim"))]
    #[must_use]
    pub fn within_bounds(&self) -> bool {
        let peers = self.peers.len();
        self.ending.len() <= SERVES
            && self.fetching.len() <= peers.saturating_mul(FETCHES)
            && self.wanted.len() <= peers.saturating_mul(MAX_DOCS)
            && self.peers.values().all(|p| p.serving.len() <= SERVES && p.wanted.len() <= MAX_DOCS)
    }

    /// Whether nothing is fetched from some peer for a while, since it brought nothing.
    #[cfg(any(test, feature = "sim"))]
    #[must_use]
    pub fn shuns(&self) -> bool {
        self.peers.values().any(|p| p.penance > 0)
    }

    /// A second has passed: takes back what peers offered and did not bring.
    pub fn tick(&mut self) {
        let passed = if self.committing > 0 { 1 } else { 2 };
        self.branches.tick();
        self.look_again();
        // Whoever brought what our own disk has not yet taken is not what is slow.
        let brought: BTreeSet<_> = self.peers.iter().filter(|(_, p)| p.commits > 0).map(|(id, _)| *id).collect();
        let served = self.ending.iter().map(|(peer, _)| *peer);
        let excused: BTreeSet<_> = brought.into_iter().chain(served).collect();
        for fetch in self.fetching.values_mut().filter(|f| !excused.contains(&f.peer)) {
            fetch.idle = fetch.idle.saturating_add(passed);
        }
        let (mut again, mut late) = (Vec::new(), Vec::new());
        for (id, p) in &mut self.peers {
            if p.penance == 1 {
                again.push(*id);
            }
            p.penance = p.penance.saturating_sub(1);
            p.quiet = match p.fetches {
                0 => 0,
                _ if excused.contains(id) => p.quiet,
                _ => p.quiet.saturating_add(passed),
            };
            if p.quiet >= PATIENCE * 2 && !planted(Fault::WaitForEver) {
                p.penance = PENANCE << p.strikes.min(6);
                p.strikes = p.strikes.saturating_add(1);
                p.quiet = 0;
                late.push(*id);
            }
        }
        for peer in &late {
            self.release(*peer);
        }
        // Whoever waits for the end of fetches that do not end compares all the same, now and then.
        self.waited = if self.fetching.is_empty() { 0 } else { self.waited.saturating_add(1) };
        if self.waited >= PATIENCE {
            self.waited = 0;
            again.extend(self.peers.iter().filter(|(_, p)| p.compare && p.penance == 0).map(|(id, _)| *id));
        }
        for peer in again {
            self.send_digest(peer);
        }
        if !late.is_empty() {
            self.fetch_more();
        }
    }

    /// Takes back everything that was to be fetched from a peer; the others compare.
    pub(super) fn release(&mut self, peer: DeviceId) {
        let before = self.fetching.len() + self.wanted.len();
        self.fetching.retain(|_, f| f.peer != peer);
        self.wanted.retain(|_, p| *p != peer);
        if let Some(p) = self.peers.get_mut(&peer) {
            p.fetches = 0;
            p.coming.over();
            p.wanted.clear();
        }
        if before != self.fetching.len() + self.wanted.len() {
            for (_, p) in self.peers.iter_mut().filter(|(id, _)| **id != peer) {
                p.compare = true;
            }
        }
    }

    /// A peer has something of a document that is not here. A document is fetched from one peer at a time, unless that
    /// one has brought nothing of it for long; one that only waits goes to whoever has less to do.
    pub(super) fn want(&mut self, peer: DeviceId, document: DocumentId) {
        let Some(load) = self.peers.get(&peer).map(|p| p.wanted.len()) else { return };
        let penance = self.peers.get(&peer).is_some_and(|p| p.penance > 0);
        let busy = match (self.fetching.get(&document), self.wanted.get(&document)) {
            (Some(fetch), _) => fetch.peer == peer || fetch.idle < PATIENCE * 2 || planted(Fault::WaitForEver),
            (None, Some(other)) => self.peers.get(other).is_some_and(|p| p.wanted.len() <= load),
            (None, None) => false,
        };
        if busy || penance || load >= WANTED {
            if let Some(p) = self.peers.get_mut(&peer) {
                p.compare = true;
            }
            return;
        }
        self.end_fetch(&document);
        self.wanted.insert(document, peer);
        if let Some(p) = self.peers.get_mut(&peer) {
            p.wanted.push_back(document);
        }
    }

    pub(super) fn end_fetch(&mut self, document: &DocumentId) -> Option<DeviceId> {
        let fetch = self.fetching.remove(document)?;
        if let Some(p) = self.peers.get_mut(&fetch.peer) {
            p.fetches = p.fetches.saturating_sub(1);
        }
        Some(fetch.peer)
    }

    pub(super) fn fetch_more(&mut self) {
        for (id, p) in &mut self.peers {
            while p.fetches < FETCHES
                && let Some(document) = p.wanted.pop_front()
            {
                if self.wanted.get(&document) == Some(id) {
                    self.wanted.remove(&document);
                    p.quiet = if p.fetches == 0 { 0 } else { p.quiet };
                    p.fetches += 1;
                    self.fetching.insert(document, Fetch { peer: *id, idle: 0 });
                    let logs = ends(&self.replica, &document);
                    self.out.push(Output::Send(*id, Frame::Want { document, logs }));
                }
            }
        }
        if self.fetching.is_empty() {
            let ready = self.peers.iter().filter(|(_, p)| p.compare && p.penance == 0);
            for peer in ready.map(|(id, _)| *id).collect::<Vec<_>>() {
                self.send_digest(peer);
            }
        }
    }

    /// A peer brought a run that follows its log, of a document that may be being fetched from it.
    pub(super) fn progress(&mut self, peer: DeviceId, run: &[Arc<Entry>], new: bool) {
        let Some(document) = run.first().map(|e| e.header().log.document) else { return };
        let Some(fetch) = self.fetching.get_mut(&document).filter(|f| f.peer == peer) else { return };
        if new {
            fetch.idle = 0;
            self.gained.insert(document);
        }
        if let Some(p) = self.peers.get_mut(&peer) {
            p.quiet = 0;
        }
    }
}

/// The durable ends of a document's logs, as told to a peer.
pub(super) fn ends(replica: &Replica, document: &DocumentId) -> Vec<LogEnd> {
    replica
        .frontier(document)
        .take(MAX_LOGS)
        .map(|(l, t)| LogEnd { device: l.device, incarnation: l.incarnation, seq: t.seq, hash: t.hash })
        .collect()
}
