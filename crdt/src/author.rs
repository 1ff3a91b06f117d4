//! Authors one's own chain of a single-writer document in a small Automerge document that holds nothing else.
//!
//! A change written in the merged document would be stamped with a `start_op` from everybody's operations, although it
//! depends on its author's previous change alone; the guard refuses that. Here both come from the same chain. What is
//! authored passes guard and rule before it is handed out, so an honest author never signs a void entry.

use automerge::transaction::{CommitOptions, Transaction};
use automerge::{ActorId, Automerge, AutomergeError, Change, ChangeHash, ReadDoc};

use crate::entry::Entry;
use crate::guard::{Checked, Facts, Guard, Refusal};
use crate::hlc::Hlc;
use crate::ids::LogId;
use crate::kinds::{Rule, Writing, rule_of};

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
    /// Automerge refused the edit.
    #[error("the edit failed: {0}")]
    Edit(String),
}

impl From<AutomergeError> for AuthorError {
    fn from(e: AutomergeError) -> Self {
        Self::Edit(e.to_string())
    }
}

/// Authors one log.
pub struct Author {
    log: LogId,
    actor: [u8; 32],
    doc: Automerge,
    guard: Guard,
    rule: Option<Box<dyn Rule>>,
    last: Option<ChangeHash>,
    stamps: Vec<Hlc>,
}

impl std::fmt::Debug for Author {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Author").field("log", &self.log).field("seq", &self.stamps.len()).finish_non_exhaustive()
    }
}

impl Author {
    /// An author of an empty log.
    #[must_use]
    pub fn new(log: LogId) -> Self {
        let actor = log.automerge_actor();
        Self {
            log,
            actor,
            doc: Automerge::new().with_actor(ActorId::from(actor)),
            guard: Guard::new(),
            rule: rule_of(&log.document),
            last: None,
            stamps: Vec::new(),
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
        self.stamps.len() as u64
    }

    /// The document that holds the chain, to find objects in.
    #[must_use]
    pub fn doc(&self) -> &Automerge {
        &self.doc
    }

    /// Takes up an entry of this log that was written before (after a restart of the actor that owns this author).
    ///
    /// # Errors
    /// [`AuthorError::NotNext`] if it is not the next one, [`AuthorError::Refused`] or [`AuthorError::Rule`] if it is
    /// void.
    pub fn replay(&mut self, entry: &Entry) -> Result<(), AuthorError> {
        let header = entry.header();
        let raw = entry.payload.as_deref().ok_or(AuthorError::NotNext)?;
        if header.log != self.log || header.seq != self.seq().saturating_add(1) {
            return Err(AuthorError::NotNext);
        }
        let checked = self.check(raw, header.hlc)?;
        self.doc.apply_changes([checked.change.clone()])?;
        self.keep(&checked, header.hlc);
        Ok(())
    }

    /// Authors the next change: `edit` writes into the chain's document. Returns the raw change, which is the payload
    /// of the next entry; that entry must carry the stamp `hlc`.
    ///
    /// # Errors
    /// [`AuthorError`]; the chain is as before.
    pub fn commit<F>(&mut self, hlc: Hlc, edit: F) -> Result<Vec<u8>, AuthorError>
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<(), AuthorError>,
    {
        let before = self.seq();
        let mut tx = self.doc.transaction();
        if let Err(e) = edit(&mut tx) {
            tx.rollback();
            return Err(e);
        }
        // Automerge's own unit: seconds since 1970. It is for people who open the document in other tools.
        let seconds = i64::try_from(hlc.ms() / 1000).unwrap_or(0);
        let (hash, _) = tx.commit_with(CommitOptions::default().with_time(seconds));
        let hash = hash.ok_or(AuthorError::Empty)?;
        let verdict = match self.doc.get_change_by_hash(&hash) {
            Some(change) => self.check(change.raw_bytes(), hlc),
            None => Err(AuthorError::Empty),
        };
        match verdict {
            Ok(checked) => {
                self.keep(&checked, hlc);
                Ok(checked.change.raw_bytes().to_vec())
            }
            Err(e) => {
                self.rebuild(before)?;
                Err(e)
            }
        }
    }

    /// Takes back all changes after `seq`, because their entries could not be committed. Costs about as much as
    /// replaying what stays.
    ///
    /// # Errors
    /// Never, unless Automerge refuses changes that it took before.
    pub fn rollback(&mut self, seq: u64) -> Result<(), AuthorError> {
        if seq >= self.seq() { Ok(()) } else { self.rebuild(seq) }
    }

    fn rebuild(&mut self, seq: u64) -> Result<(), AuthorError> {
        let keep = usize::try_from(seq).unwrap_or(usize::MAX);
        let mut fresh = Self::new(self.log);
        let mut changes: Vec<Change> = self.doc.get_changes(&[]);
        changes.sort_by_key(Change::seq);
        changes.truncate(keep);
        for (change, hlc) in changes.iter().zip(&self.stamps) {
            let checked = fresh.check(change.raw_bytes(), *hlc)?;
            fresh.keep(&checked, *hlc);
        }
        fresh.doc.apply_changes(changes)?;
        *self = fresh;
        Ok(())
    }

    fn check(&mut self, raw: &[u8], hlc: Hlc) -> Result<Checked, AuthorError> {
        let rule = self.rule.as_mut().ok_or(AuthorError::UnknownKind)?;
        let deps: Vec<ChangeHash> = self.last.into_iter().collect();
        let facts = Facts { actor: &self.actor, seq: self.stamps.len() as u64 + 1, deps: &deps };
        let by = Writing { device: self.log.device, incarnation: self.log.incarnation, hlc };
        judge(&self.guard, rule.as_mut(), &facts, &by, raw).map_err(|e| match e {
            Judged::Guard(r) => AuthorError::Refused(r),
            Judged::Rule(why) => AuthorError::Rule(why),
        })
    }

    fn keep(&mut self, checked: &Checked, hlc: Hlc) {
        self.guard.accept(checked);
        self.last = Some(checked.change.hash());
        self.stamps.push(hlc);
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
