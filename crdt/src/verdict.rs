//! Verdicts on admitted entries: whether each is valid, by guard and rule, from the entry and its causal past alone.
//!
//! **What a void entry takes with it.** An Automerge change number n + 1 cannot be applied while its author's change n
//! is missing. So what follows a void entry in the same log is void too, in every kind; in shared kinds so is whatever
//! depends on it. Honest authors never make void entries, because [`crate::author::Author`] judges its own changes with
//! the same guard and rule before they are signed. The author's next incarnation starts a new log and is not touched.
//! Likewise what follows an entry whose payload was erased counts as erased, and what follows one that this build does
//! not understand as not understood.
//!
//! **What is sealed** is opened first, with the keys that the judge was given. A key that is not here is no verdict: the
//! entry is judged when the key has come, and so is what follows it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use automerge::{Change, ChangeHash};

use crate::author::{Judged, judge};
use crate::entry::{Entry, PAYLOAD_VERSION};
use crate::guard::{Checked, Facts, Guard, OpView, Refusal};
use crate::hlc::Hlc;
use crate::ids::{DeviceId, DocumentId, EntryHash, EpochId, Incarnation, LogId};
use crate::kinds::chat::plain::Plain;
use crate::kinds::{Rule, Writing, rule_of};
use crate::known::Known;
use crate::seal::{Closed, Keys, OpenError};

/// Why an entry is void.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoidReason {
    /// The guard refuses the change.
    #[error("{0}")]
    Guard(#[from] Refusal),
    /// The kind's rule refuses the change.
    #[error("not allowed: {0}")]
    Rule(&'static str),
    /// It follows or depends on a void entry.
    #[error("it builds on an entry that is void")]
    Follows,
    /// Automerge refused it or panicked on it although the guard had passed it.
    #[error("it broke the document engine")]
    Engine,
    /// It belongs to another document.
    #[error("it belongs to another document")]
    Elsewhere,
    /// It does not open with its own key.
    #[error("{0}")]
    Forged(OpenError),
}

/// The verdict on an entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Applied; these are its operations, in order.
    Valid {
        /// The operations.
        ops: Vec<OpView>,
    },
    /// Stays in its log, never applied.
    Void(VoidReason),
    /// Needs a newer Cairn (kind, payload version, or sealed where nothing is), or builds on an entry that does.
    Unsupported,
    /// Its payload was erased, or it builds on an entry whose payload was.
    Erased,
    /// It is sealed with a key that is not here: offer it again when the key has come.
    Locked(EpochId),
    /// It was here already.
    Known,
    /// An entry before it or one that it depends on is not here yet: offer it again afterwards.
    Waiting,
}

impl Outcome {
    /// Whether the entry was applied by this call.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Valid { .. })
    }
}

/// What a valid entry says.
#[derive(Debug)]
pub(crate) enum Taken {
    /// A plain message.
    Plain(Plain),
    /// Its operations, in order.
    Ops(Vec<OpView>),
}

/// What became of an entry that later ones may build on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Applied(ChangeHash),
    Void,
    Unsupported,
    Erased,
}

impl State {
    /// The verdict on what builds on it, unless it was applied.
    fn verdict(self) -> Result<ChangeHash, Outcome> {
        match self {
            Self::Applied(hash) => Ok(hash),
            Self::Void => Err(Outcome::Void(VoidReason::Follows)),
            Self::Unsupported => Err(Outcome::Unsupported),
            Self::Erased => Err(Outcome::Erased),
        }
    }
}

/// Who wrote a log.
pub(crate) type Author = (DeviceId, Incarnation);

/// A log as this document saw it: its length and the last entries (of a single-writer log only the last one matters).
#[derive(Debug, Default)]
struct Seen {
    len: u64,
    tail: Vec<(EntryHash, State)>,
}

impl Seen {
    fn push(&mut self, hash: EntryHash, state: State, last_only: bool) {
        if last_only {
            self.tail.clear();
        }
        self.tail.push((hash, state));
        self.len = self.len.saturating_add(1);
    }

    fn slot(&mut self, seq: u64) -> Option<&mut (EntryHash, State)> {
        let from_end = usize::try_from(self.len.checked_sub(seq)?).ok()?;
        let at = self.tail.len().checked_sub(from_end.checked_add(1)?)?;
        self.tail.get_mut(at)
    }
}

/// Judges the entries of one document. It holds the guard's index and the ends of the logs, not the document itself:
/// what a read model can take from the operations needs no more.
pub struct Judge {
    id: DocumentId,
    known: Known,
    rule: Option<Box<dyn Rule>>,
    guard: Guard,
    logs: BTreeMap<Author, Seen>,
    /// Opens what is sealed; `None`: nothing is sealed in this space.
    keys: Option<Keys>,
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge").field("id", &self.id).field("logs", &self.logs.len()).finish_non_exhaustive()
    }
}

impl Judge {
    /// A judge who has seen nothing and understands what this build does; the document's kind decides who may write
    /// what.
    #[must_use]
    pub fn new(id: DocumentId) -> Self {
        Self::knowing(id, &Known::this_build())
    }

    /// A judge who understands so much.
    #[must_use]
    pub fn knowing(id: DocumentId, known: &Known) -> Self {
        let rule = rule_of(&id, known);
        Self { id, known: known.clone(), rule, guard: Guard::new(), logs: BTreeMap::new(), keys: None }
    }

    /// Opens what is sealed with these keys from now on. Without any, whatever is sealed needs a newer Cairn.
    pub fn set_keys(&mut self, keys: Keys) {
        self.keys = Some(keys);
    }

    /// The document's id.
    #[must_use]
    pub fn id(&self) -> DocumentId {
        self.id
    }

    /// How many entries of a log were judged (valid or not).
    #[must_use]
    pub fn judged(&self, log: &LogId) -> u64 {
        if log.document == self.id { self.logs.get(&(log.device, log.incarnation)).map_or(0, |s| s.len) } else { 0 }
    }

    /// Judges entries in order. Entries of one log come in order; an entry whose dependencies come later is
    /// [`Outcome::Waiting`]. Signatures are not looked at: entries are admitted before.
    pub fn apply<E: AsRef<Entry>>(&mut self, entries: &[E]) -> Vec<Outcome> {
        let verdict = |e: &E| match self.take(e.as_ref()) {
            Ok(checked) => Outcome::Valid { ops: checked.ops },
            Err(outcome) => outcome,
        };
        entries.iter().map(verdict).collect()
    }

    /// Judges one entry and remembers the verdict for those that build on it.
    pub(crate) fn take(&mut self, entry: &Entry) -> Result<Checked, Outcome> {
        self.take_opened(entry, None)
    }

    fn take_opened<'e>(&mut self, entry: &'e Entry, opened: Option<Cow<'e, [u8]>>) -> Result<Checked, Outcome> {
        let verdict = self.judge(entry, opened);
        if let Ok(checked) = &verdict {
            self.guard.accept(checked);
        }
        self.remember(entry, verdict.as_ref().map(|c| c.change.hash()));
        verdict
    }

    /// The same for a read model that needs no change, only what it says.
    pub(crate) fn take_said(&mut self, entry: &Entry) -> Result<Taken, Outcome> {
        let mut opened = None;
        let Some((plain, actor)) = self.plain(entry, &mut opened) else {
            return self.take_opened(entry, opened).map(|c| Taken::Ops(c.ops));
        };
        let hash = ChangeHash(plain.hash);
        self.guard.accept_unseen(&actor, hash, plain.ops);
        self.remember(entry, Ok(hash));
        Ok(Taken::Plain(plain))
    }

    /// The message of an entry that is in order for certain. Where that was opened, `opened` is what it holds.
    fn plain<'e>(&mut self, entry: &'e Entry, opened: &mut Option<Cow<'e, [u8]>>) -> Option<(Plain, [u8; 32])> {
        let header = entry.header();
        let next = header.log.document == self.id && header.payload_version == PAYLOAD_VERSION;
        let alone = header.deps.is_empty() && header.deps_on_prev;
        let seen = self.logs.get(&(header.log.device, header.log.incarnation))?;
        let last = match seen.tail.last() {
            Some((prev, State::Applied(last)))
                if next && alone && Some(header.seq) == seen.len.checked_add(1) && *prev == header.prev =>
            {
                last.0
            }
            _ => return None,
        };
        let content = opened.insert(self.content(entry).ok()?);
        self.rule.as_mut()?.plain(header, &last, content)
    }

    /// What an entry holds: the one place where what is sealed is opened.
    fn content<'e>(&self, entry: &'e Entry) -> Result<Cow<'e, [u8]>, Outcome> {
        let header = entry.header();
        // What is erased is so for every build, and no update brings it back.
        let Some(payload) = entry.payload.as_deref() else { return Err(Outcome::Erased) };
        if !self.known.understands(header) {
            return Err(Outcome::Unsupported);
        }
        match &self.keys {
            Some(keys) => keys.open(header, payload).map_err(|closed| match closed {
                Closed::Missing(epoch) => Outcome::Locked(epoch),
                Closed::Void(why) => Outcome::Void(VoidReason::Forged(why)),
            }),
            None if header.epoch == EpochId::NONE => Ok(Cow::Borrowed(payload)),
            None => Err(Outcome::Unsupported),
        }
    }

    /// Remembers the verdict on an entry, if it is one on the next of its log.
    fn remember(&mut self, entry: &Entry, verdict: Result<ChangeHash, &Outcome>) {
        let state = match verdict {
            Ok(hash) => State::Applied(hash),
            Err(
                Outcome::Void(VoidReason::Elsewhere)
                | Outcome::Known
                | Outcome::Waiting
                | Outcome::Locked(_)
                | Outcome::Valid { .. },
            ) => return,
            Err(Outcome::Void(_)) => State::Void,
            Err(Outcome::Unsupported) => State::Unsupported,
            Err(Outcome::Erased) => State::Erased,
        };
        let log = entry.header().log;
        let last_only = self.rule.as_ref().is_none_or(|r| r.single_writer());
        self.logs.entry((log.device, log.incarnation)).or_default().push(entry.hash(), state, last_only);
    }

    fn judge(&mut self, entry: &Entry, opened: Option<Cow<'_, [u8]>>) -> Result<Checked, Outcome> {
        let header = entry.header();
        if header.log.document != self.id {
            return Err(Outcome::Void(VoidReason::Elsewhere));
        }
        let author = (header.log.device, header.log.incarnation);
        let seen = self.logs.get(&author).map_or(0, |s| s.len);
        if header.seq <= seen {
            return Err(Outcome::Known);
        }
        if header.seq != seen.saturating_add(1) {
            return Err(Outcome::Waiting);
        }
        let mut deps = Vec::with_capacity(header.deps.len() + 1);
        if let Some((hash, state)) = self.logs.get(&author).and_then(|s| s.tail.last()) {
            if *hash != header.prev {
                return Err(Outcome::Waiting);
            }
            let previous = state.verdict()?;
            if header.deps_on_prev {
                deps.push(previous);
            }
        }
        if self.rule.is_none() {
            return Err(Outcome::Unsupported);
        }
        let raw = match opened {
            Some(content) => content,
            None => self.content(entry)?,
        };
        let Some(rule) = self.rule.as_mut() else { return Err(Outcome::Unsupported) };
        if rule.single_writer() && (!header.deps.is_empty() || header.deps_on_prev != (header.seq > 1)) {
            return Err(Outcome::Void(VoidReason::Rule("a single-writer change depends on its author's previous one")));
        }
        for dep in &header.deps {
            let slot = self.logs.get_mut(&(dep.device, dep.incarnation)).and_then(|s| s.slot(dep.seq));
            match slot {
                Some((hash, state)) if *hash == dep.hash => deps.push(state.verdict()?),
                _ => return Err(Outcome::Waiting),
            }
        }
        deps.sort_unstable();
        let actor = header.log.automerge_actor();
        let facts = Facts { actor: &actor, seq: header.seq, deps: &deps };
        let by = Writing { device: author.0, incarnation: author.1, hlc: header.hlc, version: header.payload_version };
        judge(&self.guard, rule.as_mut(), &facts, &by, &raw).map_err(|e| Outcome::Void(void(e)))
    }

    /// Forgets all changes, but not the ends of the logs.
    pub(crate) fn forget_changes(&mut self) {
        self.guard = Guard::new();
        self.rule = rule_of(&self.id, &self.known);
    }

    /// Takes a change again that was valid before.
    pub(crate) fn retake(&mut self, author: Author, hlc: Hlc, version: u16, change: &Change) -> Result<(), VoidReason> {
        let rule = self.rule.as_mut().ok_or(VoidReason::Engine)?;
        let facts = Facts { actor: change.actor_id().to_bytes(), seq: change.seq(), deps: change.deps() };
        let by = Writing { device: author.0, incarnation: author.1, hlc, version };
        let checked = judge(&self.guard, rule.as_mut(), &facts, &by, change.raw_bytes()).map_err(void)?;
        self.guard.accept(&checked);
        Ok(())
    }

    /// An entry that was taken is void after all.
    pub(crate) fn revoke(&mut self, author: Author, seq: u64) {
        if let Some(slot) = self.logs.get_mut(&author).and_then(|s| s.slot(seq)) {
            slot.1 = State::Void;
        }
    }
}

fn void(judged: Judged) -> VoidReason {
    match judged {
        Judged::Guard(refusal) => VoidReason::Guard(refusal),
        Judged::Rule(why) => VoidReason::Rule(why),
    }
}
