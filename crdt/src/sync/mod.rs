//! Replication of one space, sans-IO: frames and commits go in, frames and reads come out.
//!
//! 1. On opening a session, and every half minute, each side sends its 32-byte digest. Equal: one round trip, done.
//! 2. Else each side sends its document digests or, where they are many, fingerprints of ranges of them (`ranges`).
//!    Whoever sees a difference asks for that document with its own frontier (`Want`); the other answers with what is
//!    lacking, in batches (`serve`), then `Served`. A document is fetched from one peer at a time, so that ten peers do
//!    not send the same history ten times.
//! 3. A committed entry goes at once to every connected peer; one that just came in goes on to those peers that the
//!    sender cannot see itself.
//! 4. A peer whose queue is full is "behind": it gets nothing more until it has room, then step 1.
//! 5. What is gone at either of two peers is left out of what they compare and exchange (`window`).
//! 6. A run that does not follow what is here, though its author signed it, shows a fork: the place is looked for and
//!    proven, and all decide alike which branch counts (`branches`).
//! 7. Whoever is asked for many entries says how many are still to come, so that people see it (`coming`).
//! 8. Whose entries there is no room for is told, and a document of which nothing comes is asked for ever more rarely
//!    (`held`).
//! 9. A peer that offers documents and then brings nothing holds nobody up: every peer has its own places for fetches,
//!    and what it does not bring in `fetch::PATIENCE` seconds is fetched from another.

mod branches;
mod coming;
mod fetch;
pub mod frame;
mod held;
mod ranges;
mod serve;
mod window;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::entry::Entry;
use crate::ids::{DeviceId, DocumentId, LogId};
use crate::planted::{Fault, planted};
use crate::replica::{Admitted, HeldBack, Rejection, Replica, counts};
use crate::spans::Spans;
use branches::Branches;
pub use branches::Suspect;
pub use coming::ANNOUNCED;
use coming::Coming;
use fetch::{Fetch, ends};
use frame::{Frame, LogEnd, MAX_DOCS};
use held::Offer;
use serve::{Packed, parts};
use window::First;

/// Documents that one peer may have asked for and not yet got.
const SERVES: usize = 1_024;

/// What the caller must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a frame.
    Send(DeviceId, Frame),
    /// Send the same live entries to several peers.
    Push(Vec<DeviceId>, Vec<Arc<Entry>>),
    /// Make these durable, then call [`SpaceSync::committed`] (or [`SpaceSync::failed`]).
    Commit {
        /// Who sent them.
        from: DeviceId,
        /// Not asked for: just written or passed on.
        live: bool,
        /// New entries that follow their logs.
        entries: Vec<Arc<Entry>>,
    },
    /// Read a batch of a log, [`VOUCHED_BYTES`](crate::replica::VOUCHED_BYTES) or one entry, from a sequence number up
    /// to another and call [`SpaceSync::read`].
    Read {
        /// For whom.
        to: DeviceId,
        /// The log.
        log: LogId,
        /// First sequence number.
        from: u64,
        /// Last sequence number.
        upto: u64,
    },
    /// Compare this with our own log: call [`SpaceSync::examine`].
    Examine {
        /// Who sent it.
        from: DeviceId,
        /// What it is.
        suspect: Suspect,
    },
    /// Store what is known of a fork ([`Replica::fork`]) and cut the log, in one commit; then call
    /// [`SpaceSync::settled`].
    Forked {
        /// Who sent the proof, and has told those that it sees; `None`: it was found here.
        from: Option<DeviceId>,
        /// The log.
        log: LogId,
        /// The first entry to go, if any does.
        cut: Option<u64>,
    },
    /// Read a batch of a log from a place on, payloads or not, and call [`SpaceSync::traced`].
    Trace {
        /// For whom.
        to: DeviceId,
        /// The log.
        log: LogId,
        /// First sequence number.
        from: u64,
    },
    /// Entries of an author came that is held back, so many; they were not taken.
    HeldBack(DeviceId, usize),
    /// A peer holds these logs durably up to there.
    Durable(DeviceId, Vec<(LogId, u64)>),
    /// A peer holds everything that we hold.
    Equal(DeviceId),
    /// A peer broke the protocol; nothing of the offending run was taken.
    Blame(DeviceId, Rejection),
}

/// What a peer still lacks of a document: logs, each from a sequence number up to another.
type Lacking = VecDeque<(LogId, u64, u64)>;

#[derive(Debug, Default)]
struct PeerSync {
    /// Devices that the peer has sessions with.
    neighbours: Arc<BTreeSet<DeviceId>>,
    /// Documents it asked for, with what is still to be sent.
    serving: VecDeque<(DocumentId, Lacking)>,
    /// A read or a batch is under way for it.
    busy: bool,
    /// What was read for it and makes up its next batch.
    packed: Packed,
    /// It could not keep up.
    behind: bool,
    /// Compare digests with it once nothing is being fetched.
    compare: bool,
    /// Our document digests are on their way to it and its own are expected.
    asked: bool,
    /// Documents to be fetched from it, in order; those that went to another peer meanwhile are passed over.
    wanted: VecDeque<DocumentId>,
    /// Documents being fetched from it.
    fetches: usize,
    /// Batches that it sent and that are on their way to the disk.
    commits: usize,
    /// Entries of it that are still to come, as it said, and that came and are on their way to the disk.
    coming: Coming,
    /// Half seconds in which it brought nothing although something is being fetched from it.
    quiet: u32,
    /// Seconds in which nothing more is fetched from it.
    penance: u32,
    /// How often in a row it did not bring what it offered.
    strikes: u32,
    /// What is gone there.
    window: Spans,
    /// Whose entries it does not take.
    held_back: HeldBack,
    /// Documents that it offered.
    offers: BTreeMap<DocumentId, Offer>,
    /// How far the control log has come with it.
    first: First,
    /// Our digest went to it since it last told its own.
    told: bool,
}

/// Replication of a space with all its connected peers.
#[derive(Debug)]
pub struct SpaceSync {
    replica: Replica,
    peers: BTreeMap<DeviceId, PeerSync>,
    fetching: BTreeMap<DocumentId, Fetch>,
    /// Documents that wait, and the peer that they will be fetched from.
    wanted: BTreeMap<DocumentId, DeviceId>,
    /// Seconds since peers whose comparison waits were last looked at.
    waited: u32,
    /// Documents served to the end whose last entries are still on their way to the disk.
    ending: Vec<(DeviceId, DocumentId)>,
    /// Commits under way.
    committing: usize,
    /// Documents for which a fetch brought something.
    gained: BTreeSet<DocumentId>,
    /// Entries of those who may not write here, as far as is known, were passed over.
    strangers: bool,
    branches: Branches,
    out: Vec<Output>,
}

impl SpaceSync {
    /// Replication over what is held at start.
    #[must_use]
    pub fn new(replica: Replica) -> Self {
        Self {
            replica,
            peers: BTreeMap::new(),
            fetching: BTreeMap::new(),
            wanted: BTreeMap::new(),
            waited: 0,
            ending: Vec::new(),
            committing: 0,
            gained: BTreeSet::new(),
            strangers: false,
            branches: Branches::default(),
            out: Vec::new(),
        }
    }

    /// What is held.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// What is held, to be changed by the owner (own entries).
    pub fn replica_mut(&mut self) -> &mut Replica {
        &mut self.replica
    }

    /// Connected peers.
    pub fn peers(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.peers.keys().copied()
    }

    /// Whether anything is being fetched.
    #[must_use]
    pub fn is_fetching(&self) -> bool {
        !self.fetching.is_empty() || !self.wanted.is_empty()
    }

    /// What is to be done since the last call.
    #[must_use]
    pub fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }

    /// A session opened.
    pub fn opened(&mut self, peer: DeviceId) {
        self.peers.insert(peer, PeerSync::default());
        if !self.replica.gone().is_empty() {
            self.send_window(peer);
        }
        if !self.replica.held_back().is_empty() {
            self.tell_held_back(peer);
        }
        self.send_digest(peer);
    }

    /// A session closed.
    pub fn closed(&mut self, peer: DeviceId) {
        self.release(peer);
        self.peers.remove(&peer);
        self.ending.retain(|(p, _)| *p != peer);
        self.branches.closed(&peer);
        self.fetch_more();
    }

    /// The devices that a peer has sessions with. Every space of a node shares one set: 512 devices with as many
    /// neighbours each are many.
    pub fn neighbours(&mut self, peer: DeviceId, neighbours: impl Into<Arc<BTreeSet<DeviceId>>>) {
        if let Some(p) = self.peers.get_mut(&peer) {
            p.neighbours = neighbours.into();
        }
    }

    /// Time for a digest to everybody. Whatever was asked before is no longer waited for: if both sides waited for an
    /// answer that was lost, neither would ever ask again.
    pub fn compare_all(&mut self) {
        for p in self.peers.values_mut() {
            p.asked = false;
        }
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.send_digest(peer);
        }
    }

    /// Who belongs to a group changed: compares where strangers were passed over, or `logs` were cut or came back.
    pub fn roster_changed(&mut self, logs: bool) {
        if std::mem::take(&mut self.strangers) || logs {
            self.compare_all();
        }
    }

    /// A peer's queue overflowed: it gets no more live entries until [`Self::drained`].
    pub fn behind(&mut self, peer: DeviceId) {
        if let Some(p) = self.peers.get_mut(&peer) {
            p.behind = true;
        }
    }

    /// A peer's queue has room again.
    pub fn drained(&mut self, peer: DeviceId) {
        if let Some(p) = self.peers.get_mut(&peer)
            && std::mem::take(&mut p.behind)
            && !planted(Fault::NoCompareWhenDrained)
        {
            self.send_digest(peer);
        }
    }

    /// The last batch sent to a peer was taken by its link.
    pub fn sent(&mut self, peer: DeviceId) {
        if let Some(p) = self.peers.get_mut(&peer) {
            p.busy = false;
        }
        self.pump(peer);
    }

    /// A frame arrived.
    pub fn received(&mut self, peer: DeviceId, frame: Frame) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        match frame {
            Frame::Digest(d) => {
                let ours = self.digest_for(&peer);
                if d == ours {
                    self.out.push(Output::Send(peer, Frame::Same(d)));
                    self.out.push(Output::Equal(peer));
                } else {
                    self.differs(peer, ours < d);
                }
            }
            Frame::Same(d) => {
                if d == self.digest_for(&peer) {
                    self.out.push(Output::Equal(peer));
                }
            }
            Frame::Docs { more, ask, docs } => self.compare_docs(peer, more, ask, docs),
            Frame::Ranges { control, ranges } => self.compare_ranges(peer, &control, &ranges),
            Frame::Listed { from, upto, ask, docs } => self.compare_listed(peer, (from, upto), ask, docs),
            Frame::Want { document, logs } => self.serve(peer, document, &logs),
            Frame::Entries { live, entries } => self.take_entries(peer, live, entries),
            Frame::Served(document) if self.committing > 0 && self.ending.len() < SERVES => {
                self.ending.push((peer, document))
            }
            Frame::Served(document) => self.served(peer, document),
            Frame::Coming(entries) => self.told_coming(peer, entries),
            Frame::Durable(logs) => self.out.push(Output::Durable(peer, logs)),
            Frame::Window(spans) => self.take_window(peer, spans),
            Frame::HeldBack(held) => self.take_held_back(peer, held),
            Frame::Trace { log, from } => self.asked_trace(peer, log, from),
            Frame::Branch { log, headers } => self.take_branch(peer, log, headers),
            Frame::Fork(proof) => self.take_proof(peer, proof),
            // The business of the ledger, and of the author of what was lost.
            Frame::Note(_) | Frame::Lost(_) | Frame::Said { .. } | Frame::Keys { .. } | Frame::Typing(_) => {}
        }
    }

    /// Entries are durable: `from` sent them, or they are our own. Acknowledges and passes on.
    pub fn committed(&mut self, from: Option<DeviceId>, live: bool, entries: &[Arc<Entry>]) {
        let mut ends = BTreeMap::new();
        for e in entries {
            self.replica.committed(e);
            ends.insert(e.header().log, e.header().seq);
        }
        if let Some(from) = from
            && let Some(p) = self.peers.get_mut(&from)
        {
            p.commits = p.commits.saturating_sub(1);
            p.coming.stored(live, entries.len());
            self.out.push(Output::Send(from, Frame::Durable(ends.into_iter().collect())));
        }
        if from.is_some() {
            self.committing = self.committing.saturating_sub(1);
            if self.committing == 0 {
                for (peer, document) in std::mem::take(&mut self.ending) {
                    self.served(peer, document);
                }
            }
        }
        self.look_again();
        // What was fetched is not pushed on: peers that lack it are asked to compare when the fetch is over.
        if from.is_some() && (!live || planted(Fault::KeepToOneself)) {
            return;
        }
        let seen = from.and_then(|f| self.peers.get(&f)).map(|p| &p.neighbours);
        let most = if planted(Fault::PushToFirstPeer) { 1 } else { usize::MAX };
        let to: Vec<_> = self
            .peers
            .iter()
            .filter(|(id, p)| {
                let unwanted = |log: &LogId| log.device == **id || p.held_back.holds_log(log);
                let unwanted_all = entries.iter().all(|e| unwanted(&e.header().log));
                Some(**id) != from && !unwanted_all && !p.behind && !seen.is_some_and(|s| s.contains(id))
            })
            .map(|(id, _)| *id)
            .take(most)
            .collect();
        if !to.is_empty() {
            // Many long messages may become durable together; a frame holds so many bytes only.
            for part in parts(entries) {
                self.out.push(Output::Push(to.clone(), part.to_vec()));
            }
        }
    }

    /// A commit failed: what was not durable is forgotten, fetches begin again at the next digest.
    pub fn failed(&mut self) {
        self.replica.roll_back();
        self.fetching.clear();
        self.wanted.clear();
        for p in self.peers.values_mut() {
            p.wanted.clear();
            (p.fetches, p.quiet, p.commits) = (0, 0, 0);
            p.coming = Coming::default();
        }
        self.ending.clear();
        self.committing = 0;
        self.gained.clear();
    }

    /// Asks a peer for a document outside the digest (a profile).
    pub fn pull(&mut self, peer: DeviceId, document: DocumentId) {
        if self.peers.contains_key(&peer) {
            let logs = ends(&self.replica, &document);
            self.out.push(Output::Send(peer, Frame::Want { document, logs }));
        }
    }

    fn send_digest(&mut self, peer: DeviceId) {
        let d = self.digest_for(&peer);
        if let Some(p) = self.peers.get_mut(&peer) {
            (p.compare, p.told) = (false, true);
            self.out.push(Output::Send(peer, Frame::Digest(d)));
        }
    }

    fn send_docs(&mut self, peer: DeviceId, ask: bool) {
        if let Some(p) = self.peers.get_mut(&peer) {
            // Already under way: the answer to it will do.
            if ask && std::mem::replace(&mut p.asked, true) {
                return;
            }
        }
        let window = self.window(&peer);
        let all = self.replica.document_digests_without(&window);
        self.send_list(peer, ask, &all);
    }

    fn send_list(&mut self, peer: DeviceId, ask: bool, all: &[(DocumentId, [u8; 32])]) {
        if all.is_empty() {
            self.out.push(Output::Send(peer, Frame::Docs { more: false, ask, docs: Vec::new() }));
        }
        let n = all.len().div_ceil(MAX_DOCS);
        for (i, docs) in all.chunks(MAX_DOCS).enumerate() {
            self.out.push(Output::Send(peer, Frame::Docs { more: i + 1 < n, ask, docs: docs.to_vec() }));
        }
    }

    fn compare_docs(&mut self, peer: DeviceId, more: bool, ask: bool, docs: Vec<(DocumentId, [u8; 32])>) {
        if !more && let Some(p) = self.peers.get_mut(&peer) {
            // Where both asked at once, each has the other's by now.
            let crossed = std::mem::take(&mut p.asked);
            if ask && !crossed {
                self.answer_docs(peer, &docs);
            }
        }
        if self.control_first(peer, more, &docs) {
            self.fetch_more();
            return;
        }
        self.want_newest_first(peer, docs);
    }

    /// Wants what differs of documents that a peer has. Newest first: chat segments sort by week, and what is on screen
    /// is most often the last.
    fn want_newest_first(&mut self, peer: DeviceId, docs: Vec<(DocumentId, [u8; 32])>) {
        for (document, theirs) in docs.into_iter().rev() {
            if !counts(&document)
                || self.replica.is_gone(&document)
                || theirs == self.replica.document_digest(&document)
                || self.passes_over(peer, document, theirs)
            {
                continue;
            }
            self.want(peer, document);
            if planted(Fault::FirstDocumentOnly) {
                break;
            }
        }
        self.fetch_more();
    }

    fn served(&mut self, peer: DeviceId, document: DocumentId) {
        if self.fetching.get(&document).is_some_and(|f| f.peer == peer) {
            self.end_fetch(&document);
            if let Some(p) = self.peers.get_mut(&peer) {
                p.quiet = 0;
                if p.fetches == 0 {
                    p.coming.over();
                }
            }
            // Others may lack what was just fetched and not know it: let them compare.
            let gained = self.gained.remove(&document);
            self.offer_served(peer, &document, gained);
            if gained && !planted(Fault::NoCompareAfterFetch) {
                if let Some(p) = self.peers.get_mut(&peer) {
                    p.strikes = 0;
                }
                for (id, p) in &mut self.peers {
                    p.compare |= *id != peer;
                }
            }
            self.fetch_more();
        }
    }

    fn serve(&mut self, peer: DeviceId, document: DocumentId, logs: &[LogEnd]) {
        let held: BTreeMap<_, _> = logs.iter().map(|l| ((l.device, l.incarnation), (l.seq, l.hash))).collect();
        self.tell_forks_of(peer, &document, logs);
        self.out.push(Output::Durable(
            peer,
            logs.iter().map(|l| (LogId { document, device: l.device, incarnation: l.incarnation }, l.seq)).collect(),
        ));
        let mut lacking: VecDeque<_> = self
            .replica
            .frontier(&document)
            .filter_map(|(log, tip)| {
                let skip = if planted(Fault::FrontierOneTooFar) { 2 } else { 1 };
                let held = held.get(&(log.device, log.incarnation));
                let from = match held.copied().unwrap_or((0, tip.hash)) {
                    // Another last entry than ours: the log forked, and ours shows it.
                    (seq, hash) if seq == tip.seq && hash != tip.hash => seq,
                    (seq, _) => seq.saturating_add(skip),
                };
                let upto = if planted(Fault::ServeOneTooFew) { tip.seq.saturating_sub(1) } else { tip.seq };
                (from <= upto).then_some((log, from, upto))
            })
            .collect();
        let Some(p) = self.peers.get_mut(&peer) else { return };
        held::taken(&mut lacking, &p.held_back);
        p.serving.retain(|(d, _)| *d != document);
        if p.serving.len() < SERVES {
            p.serving.push_back((document, lacking));
        }
        self.tell_coming(peer);
        self.pump(peer);
    }

    fn take_entries(&mut self, peer: DeviceId, live: bool, entries: Vec<Arc<Entry>>) {
        let mut fresh = Vec::new();
        let mut gap = false;
        if let Some(p) = self.peers.get_mut(&peer) {
            p.coming.came(live, entries.len());
        }
        for run in runs(&entries) {
            let came = self.replica.admit(run);
            if matches!(came, Ok(Admitted::New(_) | Admitted::Known)) {
                self.progress(peer, run, matches!(came, Ok(Admitted::New(_))));
            }
            if let (Ok(Admitted::Gap | Admitted::Forked | Admitted::Lost | Admitted::Stranger), Some(e)) =
                (&came, run.first())
            {
                self.forget_offer(peer, &e.header().log.document);
            }
            match came {
                Ok(Admitted::New(new)) => fresh.extend(new),
                Ok(Admitted::HeldBack) => {
                    run.first()
                        .into_iter()
                        .for_each(|e| self.out.push(Output::HeldBack(e.header().log.device, run.len())));
                }
                Ok(Admitted::Known | Admitted::Gone) => {}
                Ok(Admitted::Stranger) => self.strangers = true,
                Ok(Admitted::Gap) => gap = true,
                // The author's fault, not the messenger's: the rest may be good.
                Ok(Admitted::Forked) => self.suspect(peer, run),
                Ok(Admitted::Lost) => run.first().into_iter().for_each(|e| self.tell_fork(peer, e.header().log)),
                Err(why) => {
                    self.out.push(Output::Blame(peer, why));
                    break;
                }
            }
        }
        if gap && !planted(Fault::ForgetGap) {
            if self.is_fetching() {
                if let Some(p) = self.peers.get_mut(&peer) {
                    p.compare = true;
                }
            } else {
                self.send_digest(peer);
            }
        }
        if !fresh.is_empty() {
            self.committing += 1;
            if let Some(p) = self.peers.get_mut(&peer) {
                p.commits += 1;
                p.coming.storing(live, fresh.len());
            }
            if planted(Fault::AcknowledgeBeforeCommit) {
                let ends = fresh.iter().map(|e| (e.header().log, e.header().seq)).collect::<BTreeMap<_, _>>();
                self.out.push(Output::Send(peer, Frame::Durable(ends.into_iter().collect())));
            }
            self.out.push(Output::Commit { from: peer, live, entries: fresh });
        }
    }
}

/// Splits entries into runs: consecutive entries of one log.
fn runs(entries: &[Arc<Entry>]) -> impl Iterator<Item = &[Arc<Entry>]> {
    entries.chunk_by(|a, b| {
        let (a, b) = (a.header(), b.header());
        a.log == b.log && a.seq.checked_add(1) == Some(b.seq)
    })
}

#[cfg(test)]
mod tests;
