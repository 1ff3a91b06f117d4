//! One Automerge document behind the guard: takes admitted entries, gives a verdict on each, and applies the valid ones
//! in batches, in place.
//!
//! **What a void entry takes with it.** An Automerge change number n + 1 cannot be applied while its author's change n
//! is missing. So what follows a void entry in the same log is void too, in every kind; in shared kinds so is whatever
//! depends on it. Honest authors never make void entries, because [`crate::author::Author`] judges its own changes with
//! the same guard and rule before they are signed. The author's next incarnation starts a new log and is not touched.
//! Likewise what follows an entry whose payload was erased counts as erased, and what follows one that this build does
//! not understand as not understood.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, Change, ChangeHash};

use crate::author::{Judged, judge};
use crate::entry::{Entry, PAYLOAD_VERSION};
use crate::guard::{Checked, Facts, Guard, OpView, Refusal};
use crate::hlc::Hlc;
use crate::ids::{DeviceId, DocumentId, EntryHash, EpochId, Incarnation, LogId};
use crate::kinds::{Rule, Writing, rule_of};

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
    /// Needs a newer Cairn (kind, payload version, or sealed), or builds on an entry that does.
    Unsupported,
    /// Its payload was erased, or it builds on an entry whose payload was.
    Erased,
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

/// How many entries of one batch are tried one by one after a panic; the rest of the batch is void.
const MAX_CULPRITS: usize = 16;

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

type Author = (DeviceId, Incarnation);

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

/// An applied change, kept so that the document can be rebuilt without its entries.
#[derive(Debug)]
struct Kept {
    author: Author,
    hlc: Hlc,
    raw: Box<[u8]>,
}

/// A document.
pub struct Document {
    id: DocumentId,
    rule: Option<Box<dyn Rule>>,
    doc: Automerge,
    guard: Guard,
    logs: BTreeMap<Author, Seen>,
    kept: Vec<Kept>,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("id", &self.id).field("changes", &self.kept.len()).finish_non_exhaustive()
    }
}

impl Document {
    /// An empty document; its kind decides who may write what.
    #[must_use]
    pub fn new(id: DocumentId) -> Self {
        Self {
            id,
            rule: rule_of(&id),
            doc: Automerge::new(),
            guard: Guard::new(),
            logs: BTreeMap::new(),
            kept: Vec::new(),
        }
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> DocumentId {
        self.id
    }

    /// The Automerge document, to read.
    #[must_use]
    pub fn automerge(&self) -> &Automerge {
        &self.doc
    }

    /// Changes applied.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.kept.len()
    }

    /// How many entries of a log were judged (valid or not).
    #[must_use]
    pub fn judged(&self, log: &LogId) -> u64 {
        if log.document == self.id { self.logs.get(&(log.device, log.incarnation)).map_or(0, |s| s.len) } else { 0 }
    }

    /// Judges entries and applies the valid ones, all in one call to Automerge. Entries of one log come in order; an
    /// entry whose dependencies come later in the same batch is [`Outcome::Waiting`]. Signatures are not looked at:
    /// entries are admitted before.
    pub fn apply<E: AsRef<Entry>>(&mut self, entries: &[E]) -> Vec<Outcome> {
        let first = self.kept.len();
        let mut outcomes = Vec::with_capacity(entries.len());
        let mut batch: Vec<Change> = Vec::new();
        let mut batch_at = Vec::new();
        for entry in entries {
            let entry = entry.as_ref();
            outcomes.push(match self.judge(entry) {
                Ok(checked) => {
                    self.accept(entry, &checked);
                    batch.push(checked.change);
                    batch_at.push(outcomes.len());
                    Outcome::Valid { ops: checked.ops }
                }
                Err(outcome) => {
                    self.note(entry, &outcome);
                    outcome
                }
            });
        }
        if !batch.is_empty() && !apply_caught(&mut self.doc, batch) {
            for (culprit, reason) in self.recover(first) {
                if let Some(outcome) = batch_at.get(culprit).and_then(|at| outcomes.get_mut(*at)) {
                    *outcome = Outcome::Void(reason);
                }
            }
        }
        outcomes
    }

    fn judge(&mut self, entry: &Entry) -> Result<Checked, Outcome> {
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
        let Some(rule) = self.rule.as_mut() else { return Err(Outcome::Unsupported) };
        if header.payload_version != PAYLOAD_VERSION || header.epoch != EpochId::NONE {
            return Err(Outcome::Unsupported);
        }
        let Some(raw) = entry.payload.as_deref() else { return Err(Outcome::Erased) };
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
        let by = Writing { device: author.0, incarnation: author.1, hlc: header.hlc };
        judge(&self.guard, rule.as_mut(), &facts, &by, raw).map_err(|e| {
            Outcome::Void(match e {
                Judged::Guard(refusal) => VoidReason::Guard(refusal),
                Judged::Rule(why) => VoidReason::Rule(why),
            })
        })
    }

    fn accept(&mut self, entry: &Entry, checked: &Checked) {
        let header = entry.header();
        let author = (header.log.device, header.log.incarnation);
        self.guard.accept(checked);
        self.record(author, entry.hash(), State::Applied(checked.change.hash()));
        self.kept.push(Kept { author, hlc: header.hlc, raw: checked.change.raw_bytes().into() });
    }

    /// Remembers the verdict on an entry that was not applied, for those that build on it.
    fn note(&mut self, entry: &Entry, outcome: &Outcome) {
        let state = match outcome {
            Outcome::Void(VoidReason::Elsewhere) | Outcome::Known | Outcome::Waiting | Outcome::Valid { .. } => return,
            Outcome::Void(_) => State::Void,
            Outcome::Unsupported => State::Unsupported,
            Outcome::Erased => State::Erased,
        };
        let log = entry.header().log;
        self.record((log.device, log.incarnation), entry.hash(), state);
    }

    fn record(&mut self, author: Author, hash: EntryHash, state: State) {
        let last_only = self.rule.as_ref().is_none_or(|r| r.single_writer());
        self.logs.entry(author).or_default().push(hash, state, last_only);
    }

    /// Automerge failed on the changes kept from `first` on: drops the document and applies them one by one, to find
    /// and leave out the culprits. Returns those left out, counted from `first`.
    fn recover(&mut self, first: usize) -> Vec<(usize, VoidReason)> {
        let kept = std::mem::take(&mut self.kept);
        let mut out: BTreeMap<usize, VoidReason> = BTreeMap::new();
        loop {
            match self.rebuild(&kept, first, &mut out) {
                None => break,
                Some(culprit) if out.len() >= MAX_CULPRITS => {
                    for at in culprit..kept.len() {
                        out.entry(at).or_insert(VoidReason::Engine);
                    }
                }
                Some(culprit) => {
                    out.insert(culprit, VoidReason::Engine);
                }
            }
        }
        self.kept = kept.into_iter().enumerate().filter(|(at, _)| !out.contains_key(at)).map(|(_, k)| k).collect();
        out.into_iter().filter_map(|(at, why)| Some((at.checked_sub(first)?, why))).collect()
    }

    /// One try: a fresh document from `kept` without `out`. Returns the change that broke it.
    fn rebuild(&mut self, kept: &[Kept], first: usize, out: &mut BTreeMap<usize, VoidReason>) -> Option<usize> {
        self.doc = Automerge::new();
        self.guard = Guard::new();
        self.rule = rule_of(&self.id);
        let mut gone: BTreeSet<ChangeHash> = BTreeSet::new();
        let mut cut: BTreeMap<Author, u64> = BTreeMap::new();
        let mut before = Vec::new();
        for (at, k) in kept.iter().enumerate() {
            let Ok(change) = Change::from_bytes(k.raw.to_vec()) else {
                out.insert(at, VoidReason::Engine);
                continue;
            };
            if cut.get(&k.author).is_some_and(|seq| change.seq() >= *seq)
                || change.deps().iter().any(|d| gone.contains(d))
            {
                out.entry(at).or_insert(VoidReason::Follows);
            }
            if !out.contains_key(&at) {
                match self.again(k, &change) {
                    Ok(checked) => self.guard.accept(&checked),
                    Err(why) => {
                        out.insert(at, why);
                    }
                }
            }
            if out.contains_key(&at) {
                gone.insert(change.hash());
                cut.entry(k.author).or_insert(change.seq());
                if let Some(slot) = self.logs.get_mut(&k.author).and_then(|s| s.slot(change.seq())) {
                    slot.1 = State::Void;
                }
                continue;
            }
            if at < first {
                before.push(change);
                continue;
            }
            if !before.is_empty() && !apply_caught(&mut self.doc, std::mem::take(&mut before)) {
                // What was applied before fails as a whole now: take all of it one by one from here on.
                return self.rebuild(kept, 0, out);
            }
            if !apply_caught(&mut self.doc, vec![change]) {
                return Some(at);
            }
        }
        if !before.is_empty() && !apply_caught(&mut self.doc, before) { self.rebuild(kept, 0, out) } else { None }
    }

    fn again(&mut self, kept: &Kept, change: &Change) -> Result<Checked, VoidReason> {
        let rule = self.rule.as_mut().ok_or(VoidReason::Engine)?;
        let mut deps = change.deps().to_vec();
        deps.sort_unstable();
        let facts = Facts { actor: change.actor_id().to_bytes(), seq: change.seq(), deps: &deps };
        let by = Writing { device: kept.author.0, incarnation: kept.author.1, hlc: kept.hlc };
        judge(&self.guard, rule.as_mut(), &facts, &by, &kept.raw).map_err(|e| match e {
            Judged::Guard(refusal) => VoidReason::Guard(refusal),
            Judged::Rule(why) => VoidReason::Rule(why),
        })
    }
}

/// Applies changes; false if Automerge refused them or panicked, after which the document must be dropped.
fn apply_caught(doc: &mut Automerge, changes: Vec<Change>) -> bool {
    catch_unwind(AssertUnwindSafe(|| doc.apply_changes(changes).is_ok())).unwrap_or(false)
}
