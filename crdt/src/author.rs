//! Authors one's own chain of a single-writer document, apart from the document that merges everybody's.
//!
//! A change written in the merged document would be stamped with a `start_op` from everybody's operations, although it
//! depends on its author's previous change alone; the guard refuses that. Here both come from the same chain. What is
//! authored passes guard and rule before it is handed out, or is made as one that both let through (`kinds/chat/plain.rs`),
//! so an honest author never signs a void entry.

use std::num::NonZeroU64;

use automerge::legacy::{Key, ObjectId, Op, OpId, OpType, SortedVec};
use automerge::transaction::{CommitOptions, Transaction};
use automerge::{
    ActorId, Automerge, AutomergeError, Change, ChangeHash, ExpandedChange, ObjType, ReadDoc, ScalarValue,
};

use crate::entry::{Entry, Header, PAYLOAD_VERSION};
use crate::guard::{Checked, Facts, Guard, Refusal};
use crate::hlc::Hlc;
use crate::ids::{EpochId, LogId};
use crate::kinds::chat::plain::Said;
use crate::kinds::{RecordBlock, Rule, Writing, rule_of};
use crate::known::Known;

/// Why nothing was authored. The chain is as it was before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AuthorError {
    /// The guard refuses the change.
    #[error("the change would be refused: {0}")]
    Refused(#[from] Refusal),
    /// The kind's rule refuses the change.
    #[error("the change is not allowed: {0}")]
    Rule(&'static str),
    /// The edit changes nothing.
    #[error("nothing to write")]
    Empty,
    /// This build cannot write this kind of document.
    #[error("this kind of document needs a newer Cairn")]
    UnknownKind,
    /// The entry is not the next of this log.
    #[error("the entry is not the next one of this log")]
    NotNext,
    /// The entry is sealed: what it holds is to be replayed.
    #[error("the entry is sealed, and its key is not here")]
    Sealed,
    /// Automerge refused the edit.
    #[error("the edit failed: {0}")]
    Edit(String),
}

impl From<AutomergeError> for AuthorError {
    fn from(e: AutomergeError) -> Self {
        Self::Edit(e.to_string())
    }
}

/// Authors one log. The raw changes of its chain are kept; the Automerge document that holds them is made when an edit
/// needs it.
pub struct Author {
    log: LogId,
    actor: ActorId,
    guard: Guard,
    known: Known,
    rule: Option<Box<dyn Rule>>,
    last: Option<ChangeHash>,
    max_op: u64,
    chain: Vec<(Hlc, Box<[u8]>)>,
    scratch: Option<Automerge>,
}

impl std::fmt::Debug for Author {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Author").field("log", &self.log).field("seq", &self.chain.len()).finish_non_exhaustive()
    }
}

impl Author {
    /// An author of an empty log, who writes what this build understands.
    #[must_use]
    pub fn new(log: LogId) -> Self {
        Self::knowing(log, &Known::this_build())
    }

    /// An author of an empty log, who writes the newest payload version of its kind that is known.
    #[must_use]
    pub fn knowing(log: LogId, known: &Known) -> Self {
        Self {
            log,
            actor: ActorId::from(log.automerge_actor()),
            guard: Guard::new(),
            known: known.clone(),
            rule: rule_of(&log.document, known),
            last: None,
            max_op: 0,
            chain: Vec::new(),
            scratch: None,
        }
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> LogId {
        self.log
    }

    /// Changes in the chain.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.chain.len() as u64
    }

    /// Takes up an entry of this log that was written before (after a restart of the actor that owns this author).
    ///
    /// # Errors
    /// [`AuthorError::NotNext`] if it is not the next one, [`AuthorError::Refused`] or [`AuthorError::Rule`] if it is
    /// void, [`AuthorError::Sealed`] if it is sealed.
    pub fn replay(&mut self, entry: &Entry) -> Result<(), AuthorError> {
        if entry.header().epoch != EpochId::NONE {
            return Err(AuthorError::Sealed);
        }
        self.replay_opened(entry.header(), entry.payload.as_deref().ok_or(AuthorError::NotNext)?)
    }

    /// The same of an entry whose payload was opened: `raw` is what it holds.
    ///
    /// # Errors
    /// As [`Author::replay`].
    pub fn replay_opened(&mut self, header: &Header, raw: &[u8]) -> Result<(), AuthorError> {
        if header.log != self.log || header.seq != self.seq().saturating_add(1) {
            return Err(AuthorError::NotNext);
        }
        self.scratch = None;
        if self.is_usual()
            && let (Some(rule), Some(last)) = (self.rule.as_mut(), self.last)
            && let Some((plain, actor)) = rule.plain(header, &last.0, raw)
        {
            self.took(&actor, plain.hash, plain.ops, (header.hlc, raw.into()));
            return Ok(());
        }
        self.take(raw, header.hlc)
    }

    /// Authors the next change where it is a plain message after others: without Automerge, at a tenth of the cost.
    /// `None`, and nothing has changed: it must be authored the long way.
    pub(crate) fn commit_plain(&mut self, hlc: Hlc, said: &Said<'_>) -> Option<Vec<u8>> {
        if !self.is_usual() {
            return None;
        }
        let (seq, last) = (self.seq().saturating_add(1), self.last?);
        let made = self.rule.as_mut()?.make(&self.log, seq, hlc, &last.0, said)?;
        self.took(&made.actor, made.hash, made.ops, (hlc, made.raw.as_slice().into()));
        self.scratch = None;
        Some(made.raw)
    }

    /// Whether it writes payloads of this build's version.
    fn is_usual(&self) -> bool {
        self.known.version(self.log.document.kind()) == Some(PAYLOAD_VERSION)
    }

    /// Takes a change into the chain that needs no judge.
    fn took(&mut self, actor: &[u8; 32], hash: [u8; 32], ops: u32, change: (Hlc, Box<[u8]>)) {
        let hash = ChangeHash(hash);
        self.guard.accept_unseen(actor, hash, ops);
        self.last = Some(hash);
        self.max_op = self.max_op.saturating_add(ops.into());
        self.chain.push(change);
    }

    /// Authors the next change: `edit` writes into a document that holds the chain. Returns the raw change, which is
    /// the payload of the next entry; that entry must carry the stamp `hlc`.
    ///
    /// # Errors
    /// [`AuthorError`]; the chain is as before.
    pub fn commit<F>(&mut self, hlc: Hlc, edit: F) -> Result<Vec<u8>, AuthorError>
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<(), AuthorError>,
    {
        // Until the change is taken the document is not put back: an error leaves the chain to make it from.
        let mut doc = match self.scratch.take() {
            Some(doc) => doc,
            None => self.document()?,
        };
        let mut tx = doc.transaction();
        edit(&mut tx)?;
        let (hash, _) = tx.commit_with(CommitOptions::default().with_time(seconds(hlc)));
        let change = hash.and_then(|h| doc.get_change_by_hash(&h)).ok_or(AuthorError::Empty)?;
        self.take(change.raw_bytes(), hlc)?;
        self.scratch = Some(doc);
        Ok(change.raw_bytes().to_vec())
    }

    /// Authors the next change from operations that make new things only. No document is needed for that, so the cost
    /// does not grow with the chain.
    ///
    /// # Errors
    /// [`AuthorError`]; the chain is as before.
    pub(crate) fn commit_new(&mut self, hlc: Hlc, new: NewOps) -> Result<Vec<u8>, AuthorError> {
        if new.ops.is_empty() {
            return Err(AuthorError::Empty);
        }
        let change = Change::from(ExpandedChange {
            operations: new.ops,
            actor_id: self.actor.clone(),
            hash: None,
            seq: self.seq().saturating_add(1),
            start_op: NonZeroU64::MIN.saturating_add(self.max_op),
            time: seconds(hlc),
            message: None,
            deps: self.last.into_iter().collect(),
            extra_bytes: Vec::new(),
            author: None,
        });
        self.take(change.raw_bytes(), hlc)?;
        self.scratch = None;
        Ok(change.raw_bytes().to_vec())
    }

    /// Operations for [`Author::commit_new`].
    pub(crate) fn new_ops(&self) -> NewOps {
        NewOps { actor: self.actor.clone(), last: self.max_op, ops: Vec::new() }
    }

    /// The blocks of records of the chain.
    pub(crate) fn records(&self) -> RecordBlock {
        self.rule.as_ref().map(|r| r.records(&self.log)).unwrap_or_default()
    }

    /// The object that the operation of a number made.
    pub(crate) fn object(&self, number: u64) -> ObjectId {
        ObjectId::Id(OpId::new(number, &self.actor))
    }

    /// The chain's raw changes, the newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &[u8]> {
        self.chain.iter().rev().map(|(_, raw)| raw.as_ref())
    }

    /// Takes back all changes after `seq`, because their entries could not be committed. Costs about as much as
    /// replaying what stays.
    ///
    /// # Errors
    /// Never, unless the guard refuses a change that it took before.
    pub fn rollback(&mut self, seq: u64) -> Result<(), AuthorError> {
        if seq >= self.seq() {
            return Ok(());
        }
        let mut fresh = Self::knowing(self.log, &self.known);
        for (hlc, raw) in self.chain.iter().take(usize::try_from(seq).unwrap_or(usize::MAX)) {
            fresh.take(raw, *hlc)?;
        }
        *self = fresh;
        Ok(())
    }

    fn document(&self) -> Result<Automerge, AuthorError> {
        let mut doc = Automerge::new().with_actor(self.actor.clone());
        let changes: Result<Vec<Change>, _> =
            self.chain.iter().map(|(_, raw)| Change::from_bytes(raw.to_vec())).collect();
        doc.apply_changes(changes.map_err(|e| AuthorError::Edit(e.to_string()))?)?;
        Ok(doc)
    }

    /// Judges the next change and takes it into the chain.
    fn take(&mut self, raw: &[u8], hlc: Hlc) -> Result<(), AuthorError> {
        let rule = self.rule.as_mut().ok_or(AuthorError::UnknownKind)?;
        let version = self.known.version(self.log.document.kind()).ok_or(AuthorError::UnknownKind)?;
        let deps: Vec<ChangeHash> = self.last.into_iter().collect();
        let facts = Facts { actor: self.actor.to_bytes(), seq: self.chain.len() as u64 + 1, deps: &deps };
        let by = Writing { device: self.log.device, incarnation: self.log.incarnation, hlc, version };
        let checked = judge(&self.guard, rule.as_mut(), &facts, &by, raw).map_err(|e| match e {
            Judged::Guard(r) => AuthorError::Refused(r),
            Judged::Rule(why) => AuthorError::Rule(why),
        })?;
        self.guard.accept(&checked);
        self.last = Some(checked.change.hash());
        self.max_op = checked.change.max_op();
        self.chain.push((hlc, raw.into()));
        Ok(())
    }
}

/// Automerge's own unit of time: seconds since 1970. It is for people who open the document in other tools.
fn seconds(hlc: Hlc) -> i64 {
    i64::try_from(hlc.ms() / 1000).unwrap_or(0)
}

/// Operations that make new things and overwrite nothing, numbered from the end of a chain on.
#[derive(Debug)]
pub(crate) struct NewOps {
    actor: ActorId,
    last: u64,
    ops: Vec<Op>,
}

impl NewOps {
    /// Makes a map at a key that nothing is at.
    pub(crate) fn make_map(&mut self, parent: &ObjectId, key: &str) -> ObjectId {
        self.push(parent, key, OpType::Make(ObjType::Map));
        ObjectId::Id(OpId::new(self.last, &self.actor))
    }

    /// Puts a value at a key that nothing is at.
    pub(crate) fn put(&mut self, parent: &ObjectId, key: &str, value: impl Into<ScalarValue>) {
        self.push(parent, key, OpType::Put(value.into()));
    }

    fn push(&mut self, obj: &ObjectId, key: &str, action: OpType) {
        self.last = self.last.saturating_add(1);
        let key = Key::Map(key.into());
        self.ops.push(Op { action, obj: obj.clone(), key, pred: SortedVec::new(), insert: false });
    }
}

/// Who refused a change.
pub(crate) enum Judged {
    Guard(Refusal),
    Rule(&'static str),
}

/// Guard and rule together; the rule remembers the change only if both pass it.
pub(crate) fn judge(
    guard: &Guard,
    rule: &mut dyn Rule,
    facts: &Facts<'_>,
    by: &Writing,
    raw: &[u8],
) -> Result<Checked, Judged> {
    rule.begin(by);
    let mut why = None;
    let verdict = guard.check(facts, raw, &mut |op| match rule.op(op) {
        Ok(()) => true,
        Err(e) => {
            why = Some(e);
            false
        }
    });
    match (verdict, why) {
        (_, Some(why)) => Err(Judged::Rule(why)),
        (Err(refusal), None) => Err(Judged::Guard(refusal)),
        (Ok(checked), None) => rule.end().map(|()| checked).map_err(Judged::Rule),
    }
}
