//! The guard before Automerge: a change from a peer reaches Automerge only after every rule here held.
//!
//! A verdict is a pure function of the change, its entry's facts and its causal past, so that all replicas agree.
//! Automerge trusts what it is given: changes exist that panic in it, poison a document, diverge replicas, take
//! gigabytes, or save what cannot be loaded. The rules are those that honest editors keep by themselves:
//!
//! 1. one plain change chunk, bounded, with a right checksum;
//! 2. every column bounded before anything is parsed;
//! 3. parsing contained;
//! 4. the bytes equal their re-encoding;
//! 5. actor, sequence number, dependencies and first operation as the entry says;
//! 6. a sane time and nothing extra;
//! 7. all that it names lies in its own causal past,
//! 8. at places and in objects of the right type;
//! 9. it overwrites only what was put or made at the same place;
//! 10. texts hold text, inserted and deleted but never put over;
//! 11. nothing is overwritten twice, one's own value always;
//! 12. marks end after they begin;
//! 13. counters stay small.
//!
//! Check a change, take it in with [`Guard::accept`], check the next; applying can wait and be done in batches.

mod check;
mod index;
pub mod limits;
mod scan;

use automerge::{ActorId, Change, ChangeHash};

use check::Checker;
use index::{BadPast, Index, Rows};
pub(crate) use scan::{Bytes, MAGIC};
pub use scan::{Scan, scan};

use crate::contained;

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
    rows: Rows,
}

/// The index of one document: every operation id of the accepted changes with its place, object and type, and each
/// change's causal past. Pure data; cheap to rebuild from the log.
#[derive(Debug, Default)]
pub struct Guard {
    index: Index,
}

impl Guard {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Judges the change of an entry. `may` is the kind's rule, asked for each operation in order.
    ///
    /// # Errors
    /// [`Refusal`] says why the entry is void.
    pub fn check(
        &self,
        facts: &Facts<'_>,
        raw: &[u8],
        may: &mut dyn FnMut(&OpView) -> bool,
    ) -> Result<Checked, Refusal> {
        scan(raw)?;
        let change = contained(|| Change::try_from(raw))?.map_err(|_| Refusal::Malformed("it does not parse"))?;
        self.check_facts(facts, &change)?;
        let me = self.index.author(change.actor_id());
        let past = self.index.past(me, change.deps()).map_err(|bad| match bad {
            BadPast::Unknown => Refusal::Mismatch("a dependency is not known"),
            BadPast::NotOwn => Refusal::Mismatch("the author's previous change is not in its past"),
        })?;
        if change.start_op().get() != past.max_op + 1 {
            return Err(Refusal::Mismatch("the number of the first operation"));
        }
        let expanded = contained(|| change.decode())?;
        let (rows, ops) = Checker::new(&self.index, &expanded, past).run(&expanded, may)?;
        let again = contained(|| Change::from(expanded))?;
        if again.raw_bytes() != raw {
            return Err(Refusal::Malformed("the bytes are not the usual ones"));
        }
        Ok(Checked { change, ops, rows })
    }

    /// Judges a change that this node is about to sign itself: the facts are taken from the change, the rules are the
    /// same. Where it says [`Refusal::TooLarge`], make it again in smaller parts.
    ///
    /// # Errors
    /// [`Refusal`] says what every other node would hold against it.
    pub fn check_own(&self, raw: &[u8], may: &mut dyn FnMut(&OpView) -> bool) -> Result<Checked, Refusal> {
        scan(raw)?;
        let change = contained(|| Change::try_from(raw))?.map_err(|_| Refusal::Malformed("it does not parse"))?;
        let facts = Facts { actor: change.actor_id().to_bytes(), seq: change.seq(), deps: change.deps() };
        self.check(&facts, raw, may)
    }

    /// Takes an accepted change into the index. Call it once for each checked change, in the order applied; a change
    /// that does not follow its author's last one (one taken in before, say) changes nothing.
    pub fn accept(&mut self, checked: &Checked) {
        let change = &checked.change;
        self.index.accept(&checked.rows, change.hash(), change.actor_id(), &checked.ops);
    }

    /// Takes in a change that a rule knows to be in order without [`Guard::check`], and of whose operations no later
    /// change that the rule lets through names one: they are counted, not kept. It must be its author's next, made on
    /// top of the last one alone, in a kind where changes depend on nothing else.
    pub(crate) fn accept_unseen(&mut self, actor: &[u8; 32], hash: ChangeHash, ops: u32) {
        self.index.accept_unseen(&ActorId::from(actor.as_slice()), hash, ops);
    }

    /// Whether a change was accepted.
    #[must_use]
    pub fn knows(&self, hash: &ChangeHash) -> bool {
        self.index.knows(hash)
    }

    /// How many operations the accepted changes hold.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no operation was accepted yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// How many changes and operations of an actor were accepted, for a budget by author.
    #[must_use]
    pub fn written_by(&self, actor: &[u8]) -> (u64, u64) {
        let author = self.index.author(&ActorId::from(actor));
        (u64::from(self.index.last_seq(author)), author.map_or(0, |a| self.index.ops_of(a)))
    }

    /// Rule 5: what the entry says of the change.
    fn check_facts(&self, facts: &Facts<'_>, change: &Change) -> Result<(), Refusal> {
        if change.actor_id().to_bytes() != facts.actor {
            return Err(Refusal::Mismatch("the actor is not the signer's"));
        }
        let last = self.index.last_seq(self.index.author(change.actor_id()));
        if change.seq() != facts.seq || change.seq() != u64::from(last) + 1 {
            return Err(Refusal::Mismatch("the sequence number"));
        }
        let ascending = change.deps().is_sorted_by(|a, b| a < b);
        if change.deps() != facts.deps || !ascending {
            return Err(Refusal::Mismatch("the dependencies"));
        }
        Ok(())
    }
}

/// Runs Automerge on bytes that may make it panic. Nothing of ours is left half done: what it made is dropped.
fn contained<T>(run: impl FnOnce() -> T) -> Result<T, Refusal> {
    contained::contained(run).map_err(|_| Refusal::Panicked)
}

#[cfg(test)]
mod tests;
