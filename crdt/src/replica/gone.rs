//! What is gone: documents about a time that was retired, forgotten or left to a window. Their logs stay where they
//! are, but in no digest and no frontier, and nothing more of them is admitted.

use std::collections::BTreeMap;

use super::{Access, DocState, Replica, counts};
use crate::ids::{DocumentId, LogId, domain_hash};
use crate::period::period_of;
use crate::spans::Spans;

/// Whether a document lies wholly in a time that is gone.
#[must_use]
pub fn lies_in(document: &DocumentId, gone: &Spans) -> bool {
    !gone.is_empty() && period_of(document).is_some_and(|p| gone.covers(p.start, p.end))
}

impl Replica {
    /// What is gone.
    #[must_use]
    pub fn gone(&self) -> &Spans {
        &self.gone
    }

    /// Whether a document is gone.
    #[must_use]
    pub fn is_gone(&self, document: &DocumentId) -> bool {
        lies_in(document, &self.gone)
    }

    /// Whether the control log decides anything here, and so comes before everything else.
    #[must_use]
    pub fn is_governed(&self) -> bool {
        self.access != Access::Commons
    }

    /// Sets what is gone. Answers which documents went and which came back.
    pub fn set_gone(&mut self, gone: Spans) -> (Vec<DocumentId>, Vec<DocumentId>) {
        self.gone = gone;
        let leaves: Vec<_> = self.docs.keys().filter(|d| lies_in(d, &self.gone)).copied().collect();
        let returns: Vec<_> = self.hidden.keys().filter(|d| !lies_in(d, &self.gone)).copied().collect();
        pass(&leaves, &mut self.docs, &mut self.hidden);
        pass(&returns, &mut self.hidden, &mut self.docs);
        if !leaves.is_empty() || !returns.is_empty() {
            self.digest = None;
        }
        (leaves, returns)
    }

    /// The logs of a document, gone or not.
    pub fn logs(&self, document: &DocumentId) -> impl Iterator<Item = LogId> + '_ {
        let document = *document;
        let doc = self.docs.get(&document).or_else(|| self.hidden.get(&document));
        doc.into_iter().flat_map(move |d| {
            d.logs.keys().map(move |(device, incarnation)| LogId {
                document,
                device: *device,
                incarnation: *incarnation,
            })
        })
    }

    /// The state of a document, wherever it belongs.
    pub(super) fn doc(&mut self, document: &DocumentId) -> &mut DocState {
        let docs = if self.is_gone(document) { &mut self.hidden } else { &mut self.docs };
        docs.entry(*document).or_default()
    }

    /// The digest of the space as a peer sees it to whom this is gone.
    pub fn digest_without(&mut self, gone: &Spans) -> [u8; 32] {
        if self.gone.contains(gone) {
            return self.digest();
        }
        let mut bytes = Vec::new();
        for (id, digest) in self.document_digests_without(gone) {
            bytes.extend_from_slice(&id.0);
            bytes.extend_from_slice(&digest);
        }
        domain_hash("cairn 2026 space digest", &[&bytes])
    }

    /// The digests of the documents that count, as a peer sees them to whom this is gone; ascending.
    pub fn document_digests_without(&mut self, gone: &Spans) -> Vec<(DocumentId, [u8; 32])> {
        let ids: Vec<_> = self.docs.keys().filter(|id| counts(id) && !lies_in(id, gone)).copied().collect();
        ids.into_iter().map(|id| (id, self.document_digest(&id))).filter(|(_, d)| *d != [0; 32]).collect()
    }
}

fn pass(ids: &[DocumentId], from: &mut BTreeMap<DocumentId, DocState>, to: &mut BTreeMap<DocumentId, DocState>) {
    for id in ids {
        if let Some(doc) = from.remove(id) {
            to.insert(*id, doc);
        }
    }
}
