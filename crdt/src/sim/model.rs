//! The reference model beside a run: who signed what, what was acknowledged and must survive, what a frontier looks
//! like as a document. It knows nothing of the protocol.

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::Entry;
use crate::ids::{DeviceId, DocumentId, EntryHash, LogId, MessageId, SpaceId};

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("does not hold: {rule} ({detail})")]
pub struct Violation {
    /// What must always hold.
    pub rule: &'static str,
    /// Where it did not.
    pub detail: String,
}

/// A message that was acknowledged as saved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acknowledged {
    pub author: DeviceId,
    pub log: LogId,
    pub seq: u64,
    pub hash: EntryHash,
    pub body: [u8; 32],
}

/// The model.
#[derive(Debug)]
pub(super) struct Model {
    pub space: SpaceId,
    /// Messages that must survive, whatever happens to one machine.
    pub said: BTreeMap<MessageId, Acknowledged>,
    /// Machines that something happened to since they were last looked at.
    pub touched: BTreeSet<usize>,
    signed: BTreeSet<EntryHash>,
    /// What a document of a frontier looks like.
    rendered: BTreeMap<(DocumentId, [u8; 32]), [u8; 32]>,
    violation: Option<Violation>,
}

impl Model {
    pub(super) fn new(space: SpaceId) -> Self {
        Self {
            space,
            said: BTreeMap::new(),
            touched: BTreeSet::new(),
            signed: BTreeSet::new(),
            rendered: BTreeMap::new(),
            violation: None,
        }
    }

    /// Something does not hold; the first thing counts.
    pub(super) fn fail(&mut self, rule: &'static str, detail: String) {
        self.violation.get_or_insert(Violation { rule, detail });
    }

    pub(super) fn verdict(&self) -> Result<(), Violation> {
        self.violation.clone().map_or(Ok(()), Err)
    }

    /// The holder of a key signed this.
    pub(super) fn signed(&mut self, entry: &Entry) {
        self.signed.insert(entry.hash());
    }

    pub(super) fn was_signed(&self, entry: &Entry) -> bool {
        self.signed.contains(&entry.hash())
    }

    /// A document of a frontier looks so. `false` if it looked otherwise elsewhere.
    pub(super) fn looks(&mut self, document: DocumentId, frontier: [u8; 32], content: [u8; 32]) -> bool {
        *self.rendered.entry((document, frontier)).or_insert(content) == content
    }
}
