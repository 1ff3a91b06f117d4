//! One Automerge document behind the guard: takes admitted entries, gives a verdict on each, and applies the valid ones
//! in batches, in place.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use automerge::{Automerge, Change, ChangeHash};

use crate::contained::contained;
use crate::entry::Entry;
use crate::hlc::Hlc;
use crate::ids::{DocumentId, LogId};
use crate::verdict::{Author, Judge};
pub use crate::verdict::{Outcome, VoidReason};

/// How many entries of one batch are tried one by one after a panic; the rest of the batch is void.
const MAX_CULPRITS: usize = 16;

/// An applied change, kept so that the document can be rebuilt without its entries.
#[derive(Debug)]
struct Kept {
    author: Author,
    hlc: Hlc,
    version: u16,
    raw: Box<[u8]>,
}

/// A document.
pub struct Document {
    judge: Judge,
    doc: Automerge,
    kept: Vec<Kept>,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("id", &self.id()).field("changes", &self.kept.len()).finish_non_exhaustive()
    }
}

impl Document {
    /// An empty document; its kind decides who may write what.
    #[must_use]
    pub fn new(id: DocumentId) -> Self {
        Self { judge: Judge::new(id), doc: Automerge::new(), kept: Vec::new() }
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> DocumentId {
        self.judge.id()
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
        self.judge.judged(log)
    }

    /// Judges entries as [`Judge::apply`] does and applies the valid ones, all in one call to Automerge.
    pub fn apply<E: AsRef<Entry>>(&mut self, entries: &[E]) -> Vec<Outcome> {
        let first = self.kept.len();
        let mut outcomes = Vec::with_capacity(entries.len());
        let mut batch: Vec<Change> = Vec::new();
        let mut batch_at = Vec::new();
        for entry in entries {
            let entry = entry.as_ref();
            outcomes.push(match self.judge.take(entry) {
                Ok(checked) => {
                    let header = entry.header();
                    let author = (header.log.device, header.log.incarnation);
                    let raw = checked.change.raw_bytes().into();
                    self.kept.push(Kept { author, hlc: header.hlc, version: header.payload_version, raw });
                    batch.push(checked.change);
                    batch_at.push(outcomes.len());
                    Outcome::Valid { ops: checked.ops }
                }
                Err(outcome) => outcome,
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
        self.judge.forget_changes();
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
            if let btree_map::Entry::Vacant(slot) = out.entry(at)
                && let Err(why) = self.judge.retake(k.author, k.hlc, k.version, &change)
            {
                slot.insert(why);
            }
            if out.contains_key(&at) {
                gone.insert(change.hash());
                cut.entry(k.author).or_insert(change.seq());
                self.judge.revoke(k.author, change.seq());
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
}

/// Applies changes; false if Automerge refused them or panicked, after which the document must be dropped.
fn apply_caught(doc: &mut Automerge, changes: Vec<Change>) -> bool {
    let run = || {
        #[cfg(test)]
        tests::break_on(&changes);
        doc.apply_changes(changes).is_ok()
    };
    contained(run).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    //! What happens when Automerge breaks on a change that the guard had passed: the fault is put in by hand, all
    //! around it is real.

    use std::cell::RefCell;
    use std::sync::Arc;

    use super::*;
    use crate::identity::DeviceKey;
    use crate::ids::{Incarnation, MessageId, SpaceId};
    use crate::kinds::chat::{ChatAuthor, Draft, WEEK_MS};
    use crate::writer::{LogTip, LogWriter};

    thread_local! {
        static BREAKING: RefCell<BTreeSet<ChangeHash>> = const { RefCell::new(BTreeSet::new()) };
    }

    pub(super) fn break_on(changes: &[Change]) {
        BREAKING.with_borrow(|b| assert!(!changes.iter().any(|c| b.contains(&c.hash())), "the fault put in by hand"));
    }

    const WEEK: u32 = 2968;

    fn log(device: u8, n: u64) -> Vec<Arc<Entry>> {
        let key = DeviceKey::from_seed(&[device; 32]);
        let log =
            LogId { document: DocumentId::chat(WEEK, 0), device: key.id(), incarnation: Incarnation([device; 16]) };
        let mut author = ChatAuthor::new(log);
        let mut pen = LogWriter::new(key, SpaceId([0; 32]), log, LogTip::EMPTY);
        let mut write = |at: u64| {
            let hlc = Hlc::from_ms(u64::from(WEEK) * WEEK_MS + at);
            let id = MessageId::new(at, [device; 10]);
            let raw = author.say(hlc, &Draft { id, body: "x", after: None, reply_to: None }).unwrap();
            Arc::new(pen.write(raw, hlc).unwrap())
        };
        (1..=n).map(&mut write).collect()
    }

    fn change_of(entry: &Entry) -> ChangeHash {
        Change::from_bytes(entry.payload.clone().unwrap()).unwrap().hash()
    }

    fn void(outcome: &Outcome) -> Option<&VoidReason> {
        match outcome {
            Outcome::Void(reason) => Some(reason),
            _ => None,
        }
    }

    #[test]
    fn a_change_that_breaks_automerge_is_found_and_left_out() {
        let (a, b, c) = (log(1, 6), log(2, 6), log(3, 6));
        let mut doc = Document::new(DocumentId::chat(WEEK, 0));
        let before: Vec<_> = [&a[..2], &b[..2], &c[..2]].concat();
        assert!(doc.apply(&before).iter().all(Outcome::is_valid));
        BREAKING.with_borrow_mut(|x| x.extend([change_of(&b[3]), change_of(&c[4])]));
        let batch: Vec<_> = [&a[2..4], &b[2..5], &c[2..5]].concat();
        let outcomes = doc.apply(&batch);
        let reasons: Vec<_> = outcomes.iter().map(void).collect();
        let (engine, follows) = (Some(&VoidReason::Engine), Some(&VoidReason::Follows));
        assert_eq!(reasons, [None, None, None, engine, follows, None, None, engine]);
        // Later entries: those on top of a void one are void, the others go on.
        let later = doc.apply(&[a[4].clone(), b[5].clone(), c[5].clone()]);
        assert_eq!(later.iter().map(void).collect::<Vec<_>>(), [None, follows, follows]);
        // The same document comes out as if the culprits had never been.
        BREAKING.with_borrow_mut(BTreeSet::clear);
        let mut clean = Document::new(doc.id());
        let good: Vec<_> = [&a[..5], &b[..3], &c[..4]].concat();
        assert!(clean.apply(&good).iter().all(Outcome::is_valid));
        assert_eq!(clean.automerge().get_heads(), doc.automerge().get_heads());
        assert_eq!(clean.changes(), doc.changes());
        assert!(doc.apply(&a[5..]).iter().all(Outcome::is_valid));
    }

    #[test]
    fn too_many_culprits_in_one_batch_take_its_rest_with_them() {
        let logs: Vec<_> = (1..=25).map(|d| log(d, 2)).collect();
        let mut doc = Document::new(DocumentId::chat(WEEK, 0));
        let firsts: Vec<_> = logs.iter().map(|l| l[0].clone()).collect();
        assert!(doc.apply(&firsts).iter().all(Outcome::is_valid));
        let seconds: Vec<_> = logs.iter().map(|l| l[1].clone()).collect();
        BREAKING.with_borrow_mut(|x| x.extend(seconds[..20].iter().map(|e| change_of(e))));
        let outcomes = doc.apply(&seconds);
        assert!(outcomes.iter().all(|o| void(o) == Some(&VoidReason::Engine)));
        assert_eq!(doc.changes(), 25);
        BREAKING.with_borrow_mut(BTreeSet::clear);
        assert!(doc.apply(&log(40, 1))[0].is_valid());
    }
}
