//! Comparing many documents by ranges of them, so that one that changed among ten thousand costs a few kilobytes.
//!
//! Where a side has more than [`LISTED`] documents it does not list them but sends fingerprints of [`FANOUT`] ranges in the
//! order of their ids. Whoever receives ranges answers those that differ: with a list where it has few documents in
//! them, else with fingerprints of smaller ranges; and a list is answered with what differs from it. (Range-based set
//! reconciliation, Meyer 2022.) With 10,000 documents a difference is found in two levels and a list. Of two sides with
//! many documents the one with the lower digest begins, so that they do not both do so.
//!
//! An answer never says more than a list of all documents would, whatever ranges were asked for.

use super::frame::{Frame, MAX_DOCS, MAX_RANGES, Range};
use super::{Output, SpaceSync};
use crate::ids::{DeviceId, DocumentId, Kind, domain_hash};

/// Documents that are listed rather than split into ranges.
const LISTED: usize = 64;
/// Ranges that one is split into.
const FANOUT: usize = 16;

const LOWEST: DocumentId = DocumentId([0; 18]);
const HIGHEST: DocumentId = DocumentId([u8::MAX; 18]);

/// Documents and their digests, ascending.
type Docs = [(DocumentId, [u8; 32])];

impl SpaceSync {
    /// A peer's digest is not ours, whose own is the lower of the two or not.
    pub(super) fn differs(&mut self, peer: DeviceId, lower: bool) {
        let window = self.window(&peer);
        let all = self.replica.document_digests_without(&window);
        if all.len() <= LISTED {
            self.send_docs(peer, true);
        } else if lower {
            if let Some(p) = self.peers.get_mut(&peer) {
                p.told = false;
            }
            let ranges = split(&all, (LOWEST, HIGHEST), FANOUT);
            self.send_ranges(peer, ranges);
        } else if let Some(p) = self.peers.get_mut(&peer) {
            // It begins when it has our digest, if that is not on its way already.
            if !std::mem::take(&mut p.told) {
                self.send_digest(peer);
            }
        }
    }

    fn send_ranges(&mut self, peer: DeviceId, ranges: Vec<Range>) {
        if !ranges.is_empty() {
            let control = self.replica.document_digest(&DocumentId::singleton(Kind::Control));
            self.out.push(Output::Send(peer, Frame::Ranges { control, ranges }));
        }
    }

    /// Fingerprints of ranges came, ascending and apart: answers those that differ.
    pub(super) fn compare_ranges(&mut self, peer: DeviceId, control: &[u8; 32], ranges: &[Range]) {
        let window = self.window(&peer);
        let all = self.replica.document_digests_without(&window);
        if all.len() <= LISTED {
            return self.send_docs(peer, true);
        }
        if self.control_differs(peer, control) {
            // It comes first, and what else differs when it is here.
            let id = DocumentId::singleton(Kind::Control);
            let docs = within(&all, &(LOWEST, id)).to_vec();
            self.out.push(Output::Send(peer, Frame::Listed { from: LOWEST, upto: id, ask: true, docs }));
            return;
        }
        let differing: Vec<_> = ranges
            .iter()
            .map(|r| ((r.from, r.upto), within(&all, &(r.from, r.upto)), r.print))
            .filter(|(_, docs, print)| fingerprint(docs) != *print)
            .collect();
        let mut smaller = Vec::new();
        // The newest first, as documents sort.
        for (n, (bounds, docs, _)) in differing.iter().rev().enumerate() {
            let later = differing.len().saturating_sub(n).max(1);
            let ways = MAX_RANGES.saturating_sub(smaller.len()).div_euclid(later).min(FANOUT);
            if docs.len() <= LISTED {
                let (from, upto) = *bounds;
                self.out.push(Output::Send(peer, Frame::Listed { from, upto, ask: true, docs: docs.to_vec() }));
            } else if ways > 1 {
                smaller.extend(split(docs, *bounds, ways));
            } else if let Some(p) = self.peers.get_mut(&peer) {
                // Too many at once: the rest when these are compared.
                p.compare = true;
            }
        }
        smaller.sort_unstable_by_key(|r| r.from);
        self.send_ranges(peer, smaller);
    }

    /// Answers a peer's list of all its documents.
    pub(super) fn answer_docs(&mut self, peer: DeviceId, theirs: &Docs) {
        let window = self.window(&peer);
        let all = self.replica.document_digests_without(&window);
        if all.len() <= LISTED || theirs.len() > LISTED {
            return self.send_docs(peer, false);
        }
        let other: Vec<_> = all.into_iter().filter(|one| theirs.binary_search(one).is_err()).collect();
        self.send_list(peer, false, &other);
    }

    /// Tells what of a range differs from a peer's list of it.
    fn list(&mut self, peer: DeviceId, bounds: (DocumentId, DocumentId), other: &Docs) {
        let mut from = bounds.0;
        let mut parts = other.chunks(MAX_DOCS).peekable();
        while let Some(part) = parts.next() {
            // Each list speaks of its own range.
            let last = part.last().map_or(bounds.1, |(id, _)| *id);
            let upto = if parts.peek().is_some() { last } else { bounds.1 };
            self.out.push(Output::Send(peer, Frame::Listed { from, upto, ask: false, docs: part.to_vec() }));
            from = next(&upto).unwrap_or(HIGHEST);
        }
    }

    /// A list of everything that a peer has in a range came, or (`ask` is false) of what differs there from our list.
    pub(super) fn compare_listed(
        &mut self,
        peer: DeviceId,
        bounds: (DocumentId, DocumentId),
        ask: bool,
        docs: Vec<(DocumentId, [u8; 32])>,
    ) {
        if ask {
            let window = self.window(&peer);
            let all = self.replica.document_digests_without(&window);
            let ours = within(&all, &bounds).iter();
            let other: Vec<_> = ours.filter(|one| docs.binary_search(one).is_err()).copied().collect();
            self.list(peer, bounds, &other);
        }
        if self.control_first(peer, false, &docs) {
            self.fetch_more();
            return;
        }
        self.want_newest_first(peer, docs);
    }
}

/// The documents of a range, both ends included.
fn within<'a>(all: &'a Docs, (from, upto): &(DocumentId, DocumentId)) -> &'a Docs {
    let (start, end) = (all.partition_point(|(id, _)| id < from), all.partition_point(|(id, _)| id <= upto));
    all.get(start..end).unwrap_or_default()
}

/// A hash over the documents of a range and their digests.
fn fingerprint(docs: &Docs) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(docs.len().saturating_mul(50));
    for (id, digest) in docs {
        bytes.extend_from_slice(&id.0);
        bytes.extend_from_slice(digest);
    }
    domain_hash("cairn 2026 range of documents", &[&bytes])
}

/// Splits a range so that each part holds about as many documents; together they are the whole range.
fn split(docs: &Docs, (from, upto): (DocumentId, DocumentId), ways: usize) -> Vec<Range> {
    let each = docs.len().div_ceil(ways.max(1)).max(1);
    let parts = docs.chunks(each);
    let last = parts.len().saturating_sub(1);
    let mut from = Some(from);
    let range = |(n, part): (usize, &Docs)| {
        let upto = if n == last { upto } else { part.last().map_or(upto, |(id, _)| *id) };
        let range = from.map(|from| Range { from, upto, print: fingerprint(part) });
        from = next(&upto);
        range
    };
    parts.enumerate().filter_map(range).collect()
}

/// The id that follows in order.
fn next(id: &DocumentId) -> Option<DocumentId> {
    let mut bytes = id.0;
    for byte in bytes.iter_mut().rev() {
        let (sum, over) = byte.overflowing_add(1);
        *byte = sum;
        if !over {
            return Some(DocumentId(bytes));
        }
    }
    None
}
