//! Branches of a log: a peer that holds another one, the search for the place where the two part, and proofs.
//!
//! A run that its author signed and that does not follow what is here shows that the log forked, but not where. So
//! headers of the peer's branch are asked for further and further back (`Trace`), and compared with our own. The place
//! makes the proof ([`crate::fork`]), the proof decides, and goes to everybody once the decision is durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::frame::{Frame, LogEnd};
use super::{Output, SpaceSync};
use crate::entry::{Entry, SignedHeader};
use crate::fork::{Compared, Fork, MAX_BRANCH, Proof, branch, compare, is_chain};
use crate::ids::{DeviceId, DocumentId, LogId};
use crate::planted::{Fault, planted};
use crate::replica::{Rejection, Tip};

/// How far back a branch is asked for first; each further question goes so many times as far.
const BACK: u64 = 16;
/// Questions about one branch of one peer.
const QUESTIONS: u32 = 8_192;
/// Branches looked for at one peer.
const TRACES: usize = 64;
/// Seconds for an answer.
const PATIENCE: u32 = 30;
/// What waits to be looked at until its log is durable.
const WAITING: usize = 256;
/// Forks of one device's logs that are taken in without anything of the log being here. What is left out shows by itself
/// once both branches are about.
pub const UNHELD: usize = 64;
/// Seconds after which a peer that still sends a branch which does not count is told so again.
const TOLD: u32 = 10;

/// Something that may show a fork, or does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suspect {
    /// A chain that its author signed and that may not be ours.
    Run(Vec<SignedHeader>),
    /// A proof that was verified.
    Proof(Box<Proof>),
}

impl Suspect {
    /// The log.
    #[must_use]
    pub fn log(&self) -> Option<LogId> {
        match self {
            Self::Run(run) => run.first().map(|s| s.header.log),
            Self::Proof(proof) => Some(proof.log()),
        }
    }
}

#[derive(Debug)]
struct Trace {
    back: u64,
    from: u64,
    questions: u32,
    ticks: u32,
}

/// What is being found out.
#[derive(Debug, Default)]
pub(super) struct Branches {
    traces: BTreeMap<(DeviceId, LogId), Trace>,
    waiting: Vec<(DeviceId, Suspect)>,
    told: BTreeMap<(DeviceId, LogId), u32>,
}

impl Branches {
    pub(super) fn closed(&mut self, peer: &DeviceId) {
        self.traces.retain(|(p, _), _| p != peer);
        self.told.retain(|(p, _), _| p != peer);
        self.waiting.retain(|(p, _)| p != peer);
    }

    /// Whether nothing is looked for.
    #[cfg(test)]
    pub(super) fn is_quiet(&self) -> bool {
        self.traces.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn tick(&mut self) {
        self.traces.values_mut().for_each(|t| t.ticks = t.ticks.saturating_add(1));
        self.traces.retain(|_, t| t.ticks < PATIENCE);
        self.told.values_mut().for_each(|t| *t = t.saturating_sub(1));
        self.told.retain(|_, t| *t > 0);
    }
}

impl SpaceSync {
    /// A peer sent a run that its author signed and that does not follow what is here.
    pub(super) fn suspect(&mut self, peer: DeviceId, run: &[Arc<Entry>]) {
        let Some(log) = run.first().map(|e| e.header().log) else { return };
        if !self.branches.traces.contains_key(&(peer, log)) {
            let run = run.iter().map(|e| e.signed.clone()).collect();
            self.out.push(Output::Examine { from: peer, suspect: Suspect::Run(run) });
        }
    }

    /// The answer to [`Output::Examine`] where something may be on its way to the disk that is no longer known here, as
    /// after a failed commit: it is asked again. What is decided cuts what is durable by then, and that alone is kept
    /// for its author.
    pub fn later(&mut self, from: DeviceId, suspect: Suspect) {
        if self.branches.waiting.len() < WAITING {
            self.branches.waiting.push((from, suspect));
        }
    }

    /// Looks again at what waited for its log to become durable.
    pub(super) fn look_again(&mut self) {
        for (from, suspect) in std::mem::take(&mut self.branches.waiting) {
            self.out.push(Output::Examine { from, suspect });
        }
    }

    /// The answer to [`Output::Examine`]: `own` reads the durable entry at a place of the suspect's log.
    pub fn examine(&mut self, from: DeviceId, suspect: Suspect, own: &dyn Fn(u64) -> Option<Arc<Entry>>) {
        let Some(log) = suspect.log().filter(|l| !self.replica.is_gone(&l.document)) else { return };
        let tip = self.replica.durable(&log);
        if self.replica.admitted(&log) != tip {
            return self.later(from, suspect);
        }
        match suspect {
            Suspect::Proof(proof) => self.proven(Some(from), *proof, own),
            Suspect::Run(run) => {
                let (first, last) = match (run.first(), run.last()) {
                    (Some(a), Some(b)) => (a.header.seq, b.header.seq),
                    _ => return,
                };
                match compare(&run, own) {
                    Compared::Fork(proof) => {
                        self.branches.traces.remove(&(from, log));
                        self.proven(None, *proof, own);
                    }
                    Compared::Before => self.trace(from, log, first.min(tip.seq.saturating_add(1)), true),
                    // Further back they are one: the place lies after.
                    Compared::Same if self.branches.traces.contains_key(&(from, log)) && last < tip.seq => {
                        self.trace(from, log, last.saturating_add(1), false);
                    }
                    Compared::Same => drop(self.branches.traces.remove(&(from, log))),
                }
            }
        }
    }

    /// Asks a peer for its branch of a log, from further back than a place or from there on.
    fn trace(&mut self, peer: DeviceId, log: LogId, at: u64, back: bool) {
        let key = (peer, log);
        let many = self.branches.traces.keys().filter(|(p, _)| *p == peer).count() >= TRACES;
        if !self.peers.contains_key(&peer) || (many && !self.branches.traces.contains_key(&key)) {
            return;
        }
        let new = || Trace { back: 1, from: 0, questions: 0, ticks: 0 };
        let trace = self.branches.traces.entry(key).or_insert_with(new);
        if back {
            trace.back = trace.back.saturating_mul(BACK);
        }
        trace.from = if back { at.saturating_sub(trace.back).max(1) } else { at };
        (trace.questions, trace.ticks) = (trace.questions.saturating_add(1), 0);
        let (from, end) = (trace.from, trace.questions > QUESTIONS || (back && at <= 1));
        if end {
            self.branches.traces.remove(&key);
        } else {
            self.out.push(Output::Send(peer, Frame::Trace { log, from }));
        }
    }

    /// A peer asks for our branch.
    pub(super) fn asked_trace(&mut self, peer: DeviceId, log: LogId, from: u64) {
        if from == 0 || from > self.replica.durable(&log).seq || self.replica.is_gone(&log.document) {
            self.out.push(Output::Send(peer, Frame::Branch { log, headers: Vec::new() }));
        } else {
            self.out.push(Output::Trace { to: peer, log, from });
        }
    }

    /// The answer to [`Output::Trace`]: a batch of the log from that place on.
    pub fn traced(&mut self, to: DeviceId, log: LogId, entries: &[Arc<Entry>]) {
        let mut headers: Vec<_> = entries.iter().take(MAX_BRANCH).map(|e| e.signed.clone()).collect();
        while headers.last().is_some_and(|s| !s.verify()) {
            headers.pop();
        }
        if self.peers.contains_key(&to) {
            self.out.push(Output::Send(to, Frame::Branch { log, headers }));
        }
    }

    /// A peer shows its branch, as it was asked to.
    pub(super) fn take_branch(&mut self, peer: DeviceId, log: LogId, headers: Vec<SignedHeader>) {
        let Some(trace) = self.branches.traces.get(&(peer, log)) else { return };
        let Some((first, last)) = headers.first().zip(headers.last()) else {
            self.branches.traces.remove(&(peer, log));
            return;
        };
        let at = &first.header;
        let why = if at.space != self.replica.space() {
            Rejection::WrongSpace
        } else if at.log != log || at.seq != trace.from || !is_chain(&headers) {
            Rejection::BrokenChain
        } else if !last.verify() {
            Rejection::BadSignature
        } else {
            self.out.push(Output::Examine { from: peer, suspect: Suspect::Run(headers) });
            return;
        };
        self.branches.traces.remove(&(peer, log));
        self.out.push(Output::Blame(peer, why));
    }

    /// A peer sends a proof.
    pub(super) fn take_proof(&mut self, peer: DeviceId, proof: Box<Proof>) {
        let log = proof.log();
        if self.replica.is_gone(&log.document) || self.replica.fork(&log).is_some_and(|f| f.knows(&proof)) {
            return;
        }
        let known = || self.replica.forks().filter(|(l, _)| l.device == log.device).count();
        if !self.replica.admits(&log.device) {
            self.out.push(Output::Blame(peer, Rejection::NotAMember));
        } else if let Err(why) = proof.verify(&self.replica.space()) {
            self.out.push(Output::Blame(peer, Rejection::Proof(why)));
        } else if self.replica.durable(&log).seq > 0 || known() < UNHELD {
            self.out.push(Output::Examine { from: peer, suspect: Suspect::Proof(proof) });
        }
    }

    /// A fork is proven: decides, and cuts our log where it has what does not count.
    fn proven(&mut self, from: Option<DeviceId>, proof: Proof, own: &dyn Fn(u64) -> Option<Arc<Entry>>) {
        let (log, place) = (proof.log(), proof.place());
        let kept = proof.kept().to_vec();
        let keeps = proof.keeps();
        let mut changed = self.replica.learn(proof);
        // Our own branch may be a third one. Where it would count before the other, it decides otherwise.
        if own(place).is_some_and(|e| e.hash() < keeps)
            && let Some(Ok(third)) = branch(place, own).map(|ours| Proof::new(ours, kept))
        {
            changed |= self.replica.learn(third);
        }
        let Some(fork) = self.replica.fork(&log) else { return };
        let place = fork.place();
        let cut = own(place).is_some_and(|e| !fork.allows(place, e.hash())) && !planted(Fault::KeepFirstBranch);
        if cut {
            let end = place.checked_sub(1).filter(|seq| *seq > 0).and_then(own);
            self.replica.cut(&log, end.map_or(Tip::EMPTY, |e| Tip::of(&e)));
        }
        if changed || cut {
            self.out.push(Output::Forked { from, log, cut: cut.then_some(place) });
        }
    }

    /// What [`Output::Forked`] asked for is durable: everybody is told, and compares.
    pub fn settled(&mut self, from: Option<DeviceId>, log: &LogId) {
        let seen = from.and_then(|f| self.peers.get(&f)).map(|p| &p.neighbours);
        let knows = |p: &DeviceId| Some(*p) == from || seen.is_some_and(|s| s.contains(p));
        for peer in self.peers.keys().filter(|p| !knows(p)).copied().collect::<Vec<_>>() {
            self.send_proofs(peer, log);
        }
        self.peers.values_mut().for_each(|p| p.compare = true);
        self.fetch_more();
    }

    /// A peer sends what does not count: it does not know that.
    pub(super) fn tell_fork(&mut self, peer: DeviceId, log: LogId) {
        if self.branches.told.insert((peer, log), TOLD).is_none() {
            self.send_proofs(peer, &log);
        }
    }

    /// Shows a peer what is known of a fork.
    pub fn show_fork(&mut self, peer: DeviceId, log: LogId) {
        if self.peers.contains_key(&peer) {
            self.tell_fork(peer, log);
        }
    }

    fn send_proofs(&mut self, peer: DeviceId, log: &LogId) {
        let proofs: Vec<_> = self.replica.fork(log).into_iter().flat_map(Fork::proofs).cloned().collect();
        self.out.extend(proofs.into_iter().map(|p| Output::Send(peer, Frame::Fork(Box::new(p)))));
    }

    /// A peer asks for a document with these ends: of logs that forked it may hold the other branch, or get it from
    /// somebody who does not know.
    pub(super) fn tell_forks_of(&mut self, peer: DeviceId, document: &DocumentId, ends: &[LogEnd]) {
        let end = |log: &LogId| ends.iter().find(|e| (e.device, e.incarnation) == (log.device, log.incarnation));
        let differs = |log: &LogId| {
            let tip = self.replica.durable(log);
            end(log).map_or(tip.seq > 0, |e| (e.seq, e.hash) != (tip.seq, tip.hash))
        };
        let forks = self.replica.forks().filter(|(log, _)| log.document == *document && differs(log));
        for log in forks.map(|(log, _)| *log).collect::<Vec<_>>() {
            self.tell_fork(peer, log);
        }
    }
}
