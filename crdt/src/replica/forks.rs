//! Logs that forked: what was decided of them, and the log cut where it has the branch that does not count.

use std::sync::Arc;

use super::{Replica, Tip};
use crate::entry::Entry;
use crate::fork::{Fork, Proof};
use crate::ids::LogId;

impl Replica {
    /// Takes a proof in, as one that was verified or kept; answers whether it changed what is decided.
    pub fn learn(&mut self, proof: Proof) -> bool {
        match self.forks.get_mut(&proof.log()) {
            Some(fork) => fork.join(proof),
            None => {
                self.forks.insert(proof.log(), Fork::new(proof));
                true
            }
        }
    }

    /// What is known of a log that forked.
    #[must_use]
    pub fn fork(&self, log: &LogId) -> Option<&Fork> {
        self.forks.get(log)
    }

    /// Every log that is known to have forked, ascending.
    pub fn forks(&self) -> impl Iterator<Item = (&LogId, &Fork)> {
        self.forks.iter()
    }

    /// Forgets every fork: what is kept of them is read again.
    pub fn forget_forks(&mut self) {
        self.forks.clear();
    }

    /// Cuts a log: it ends with `tip` now.
    pub fn cut(&mut self, log: &LogId, tip: Tip) {
        let doc = self.doc(&log.document);
        let key = (log.device, log.incarnation);
        if tip.seq == 0 {
            doc.logs.remove(&key);
        } else if let Some(state) = doc.logs.get_mut(&key) {
            (state.admitted, state.durable) = (tip, tip);
        }
        doc.digest = None;
        self.digest = None;
    }

    /// The part of a run that may stand in its log, as far as a known fork decides it; the last signature of it
    /// verifies wherever that of the whole run does.
    pub(super) fn allowed<'a>(&self, log: &LogId, run: &'a [Arc<Entry>]) -> &'a [Arc<Entry>] {
        let Some(fork) = self.forks.get(log) else { return run };
        let Some(at) = run.iter().position(|e| !fork.allows(e.header().seq, e.hash())) else { return run };
        let before = run.get(..at).unwrap_or_default();
        let signed = before.iter().rposition(|e| e.signed.verify()).map_or(0, |i| i.saturating_add(1));
        before.get(..signed).unwrap_or_default()
    }
}
