//! What one node holds of one space: the tips of every log, admission of new entries, digests.
//!
//! Admission is the first of the two verdicts: size, signature and chain decide, no key and no document needed.
//! A run of entries of one log is vouched for by its last signature and the hash links before it, so 100,000 entries
//! do not cost 100,000 signature checks.
//!
//! Each log has two tips: what was admitted (some of it still on its way to the disk) and what is durable. Digests,
//! frontiers and everything told to others speak of the durable one only.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::entry::Entry;
use crate::fork::{Fork, ProofError};
use crate::hlc::Hlc;
use crate::ids::{DeviceId, DocumentId, EntryHash, Incarnation, Kind, LogId, PrincipalId, SpaceId, domain_hash};
use crate::planted::{Fault, planted};
use crate::roster::Roster;
use crate::spans::Spans;

mod forks;
mod gone;
mod group;
mod held;
pub use gone::lies_in;
pub use held::HeldBack;

/// Who may write to a space, as far as admission asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Every device.
    Commons,
    /// Two principals.
    Direct(PrincipalId, PrincipalId),
    /// One principal.
    Own(PrincipalId),
    /// A group: its control log says who ([`crate::roster::Roster`]).
    Group,
}

impl Access {
    /// Whether entries of `device` are admitted.
    #[must_use]
    pub fn admits(&self, device: &DeviceId) -> bool {
        let p = device.principal();
        match self {
            Self::Commons => true,
            Self::Direct(a, b) => p == *a || p == *b,
            Self::Own(a) => p == *a,
            Self::Group => true,
        }
    }
}

/// The end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Entries in the log.
    pub seq: u64,
    /// Hash of the last; zero in an empty log.
    pub hash: EntryHash,
    /// Stamp of the last.
    pub hlc: Hlc,
}

impl Tip {
    /// The tip of an empty log.
    pub const EMPTY: Self = Self { seq: 0, hash: EntryHash([0; 32]), hlc: Hlc(0) };

    /// The tip that an entry makes.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        let h = entry.header();
        Self { seq: h.seq, hash: entry.hash(), hlc: h.hlc }
    }
}

/// Most bytes from one signature that verifies to the next, both of one log; a single entry may be larger. Then whoever
/// passes the log on in batches of this size ends each at a signature that it has verified itself. Honest authors sign
/// every entry.
pub const VOUCHED_BYTES: usize = 64 * 1024;

/// Why entries were not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Of another space than the one it was sent for.
    #[error("an entry of another space")]
    WrongSpace,
    /// Its author does not belong to the space.
    #[error("an entry by somebody who does not belong here")]
    NotAMember,
    /// The last entry of a run carries a signature that is not its author's, or too many before it do.
    #[error("a signature that does not verify")]
    BadSignature,
    /// An entry does not name its predecessor's hash.
    #[error("an entry that does not follow its predecessor")]
    BrokenChain,
    /// What was sent as the proof of a fork is none.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The payload is missing where it may not be.
    #[error("an entry without its payload")]
    NoPayload,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// These entries are new and follow the log; they must be made durable now.
    New(Vec<Arc<Entry>>),
    /// All of it was here already.
    Known,
    /// Entries before it are missing here.
    Gap,
    /// It is about a time that is gone here: neither taken nor anybody's fault.
    Gone,
    /// Its author signed it, and it does not follow what is here: the log forked, which is not its messenger's fault.
    Forked,
    /// Of a log that forked, the part that does not count.
    Lost,
    /// No more of its author is taken for now: there is no room, or it forked. Neither taken nor its messenger's fault.
    HeldBack,
    /// In a group, by somebody who may not write it as far as is known here. Neither taken nor its messenger's fault, since
    /// who belongs to the group may be known elsewhere already.
    Stranger,
}

#[derive(Debug, Clone, Copy)]
struct LogState {
    admitted: Tip,
    durable: Tip,
}

#[derive(Debug, Clone, Default)]
struct DocState {
    logs: BTreeMap<(DeviceId, Incarnation), LogState>,
    digest: Option<[u8; 32]>,
}

/// The logs of a space.
#[derive(Debug)]
pub struct Replica {
    space: SpaceId,
    access: Access,
    docs: BTreeMap<DocumentId, DocState>,
    /// Documents about a time that is gone: in no digest, in no frontier.
    hidden: BTreeMap<DocumentId, DocState>,
    gone: Spans,
    forks: BTreeMap<LogId, Fork>,
    held_back: HeldBack,
    roster: Option<Box<Roster>>,
    /// In a group, what the first entries of logs had seen of whose authors something may be cut.
    firsts: BTreeMap<LogId, Vec<EntryHash>>,
    digest: Option<[u8; 32]>,
}

impl Replica {
    /// An empty replica.
    #[must_use]
    pub fn new(space: SpaceId, access: Access) -> Self {
        Self {
            space,
            access,
            docs: BTreeMap::new(),
            hidden: BTreeMap::new(),
            gone: Spans::EMPTY,
            forks: BTreeMap::new(),
            held_back: HeldBack::default(),
            roster: None,
            firsts: BTreeMap::new(),
            digest: None,
        }
    }

    /// The space.
    #[must_use]
    pub fn space(&self) -> SpaceId {
        self.space
    }

    /// Who may write here.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Whether entries of a device are admitted.
    #[must_use]
    pub fn admits(&self, device: &DeviceId) -> bool {
        self.access.admits(device)
    }

    /// Takes a log's tip from the store, at start.
    pub fn restore(&mut self, log: &LogId, tip: Tip) {
        let doc = self.doc(&log.document);
        doc.logs.insert((log.device, log.incarnation), LogState { admitted: tip, durable: tip });
        doc.digest = None;
        self.digest = None;
    }

    /// Judges a run: consecutive entries of one log. Nothing changes unless the answer is [`Admitted::New`].
    ///
    /// # Errors
    /// [`Rejection`]: whoever sent the run broke the protocol, since an honest relay has checked it.
    pub fn admit(&mut self, run: &[Arc<Entry>]) -> Result<Admitted, Rejection> {
        let Some(first) = run.first() else { return Ok(Admitted::Known) };
        let log = first.header().log;
        if run.iter().any(|e| e.header().space != self.space) && !planted(Fault::AnySpace) {
            return Err(Rejection::WrongSpace);
        }
        if !self.access.admits(&log.device) {
            return Err(Rejection::NotAMember);
        }
        if self.is_gone(&log.document) {
            return Ok(Admitted::Gone);
        }
        for (a, b) in run.iter().zip(run.iter().skip(1)) {
            let h = b.header();
            if h.log != log
                || Some(h.seq) != a.header().seq.checked_add(1)
                || (h.prev != a.hash() && !planted(Fault::SkipChain))
            {
                return Err(Rejection::BrokenChain);
            }
        }
        let run = self.allowed(&log, run);
        if run.is_empty() {
            return Ok(Admitted::Lost);
        }
        let run = self.entitled(&log, run);
        let Some((first, last)) = run.first().zip(run.last()) else { return Ok(Admitted::Stranger) };
        let tip = self.admitted(&log);
        if last.header().seq <= tip.seq {
            if last.header().seq == tip.seq && last.hash() != tip.hash && last.signed.verify() {
                return Ok(Admitted::Forked);
            }
            return Ok(Admitted::Known);
        }
        if self.held_back.holds_log(&log) {
            return Ok(Admitted::HeldBack);
        }
        if first.header().seq > tip.seq.saturating_add(1) && !planted(Fault::AcceptGap) {
            return Ok(Admitted::Gap);
        }
        let fresh: Vec<_> = run.iter().filter(|e| e.header().seq > tip.seq).cloned().collect();
        let Some(head) = fresh.first() else { return Ok(Admitted::Known) };
        if head.header().prev != tip.hash && !planted(Fault::AcceptGap) {
            return if last.signed.verify() { Ok(Admitted::Forked) } else { Err(Rejection::BrokenChain) };
        }
        if fresh.iter().any(|e| e.payload.is_none()) && !planted(Fault::NoPayload) {
            return Err(Rejection::NoPayload);
        }
        if !planted(Fault::SkipSignature) && (!last.signed.verify() || !vouched(&fresh)) {
            return Err(Rejection::BadSignature);
        }
        self.set_admitted(&log, Tip::of(last));
        self.note_first(head);
        Ok(Admitted::New(fresh))
    }

    /// Takes an entry that this node signed itself.
    pub fn admit_own(&mut self, entry: &Entry) {
        self.note_first(entry);
        self.set_admitted(&entry.header().log, Tip::of(entry));
    }

    fn set_admitted(&mut self, log: &LogId, tip: Tip) {
        let doc = self.doc(&log.document);
        doc.logs
            .entry((log.device, log.incarnation))
            .or_insert(LogState { admitted: Tip::EMPTY, durable: Tip::EMPTY })
            .admitted = tip;
        if planted(Fault::DigestOfAdmitted) {
            doc.digest = None;
            self.digest = None;
        }
    }

    /// An entry is durable. It was admitted before, but a commit that failed meanwhile may have taken that back.
    pub fn committed(&mut self, entry: &Entry) {
        let log = entry.header().log;
        // It was cut while it was on its way.
        if self.limit(&log).is_some_and(|limit| entry.header().seq > limit) {
            return;
        }
        let doc = self.doc(&log.document);
        let empty = LogState { admitted: Tip::EMPTY, durable: Tip::EMPTY };
        let state = doc.logs.entry((log.device, log.incarnation)).or_insert(empty);
        if entry.header().seq > state.durable.seq {
            state.durable = Tip::of(entry);
            if state.admitted.seq < state.durable.seq {
                state.admitted = state.durable;
            }
            doc.digest = None;
            self.digest = None;
        }
    }

    /// A commit failed: forgets what was admitted but is not durable.
    pub fn roll_back(&mut self) {
        if planted(Fault::KeepAfterFailedCommit) {
            return;
        }
        for doc in self.docs.values_mut().chain(self.hidden.values_mut()) {
            doc.logs.retain(|_, l| {
                l.admitted = l.durable;
                l.durable.seq > 0
            });
        }
        self.docs.retain(|_, d| !d.logs.is_empty());
        self.hidden.retain(|_, d| !d.logs.is_empty());
    }

    /// The admitted tip of a log.
    #[must_use]
    pub fn admitted(&self, log: &LogId) -> Tip {
        self.state(log).map_or(Tip::EMPTY, |l| l.admitted)
    }

    /// The durable tip of a log.
    #[must_use]
    pub fn durable(&self, log: &LogId) -> Tip {
        self.state(log).map_or(Tip::EMPTY, |l| l.durable)
    }

    fn state(&self, log: &LogId) -> Option<&LogState> {
        self.docs.get(&log.document)?.logs.get(&(log.device, log.incarnation))
    }

    /// How many logs of each device are durable here, those of what is gone apart.
    #[must_use]
    pub fn logs_by_author(&self) -> BTreeMap<DeviceId, u64> {
        let mut all: BTreeMap<DeviceId, u64> = BTreeMap::new();
        let logs = self.docs.values().flat_map(|d| &d.logs).filter(|(_, l)| l.durable.seq > 0);
        for ((device, _), _) in logs {
            let n = all.entry(*device).or_default();
            *n = n.saturating_add(1);
        }
        all
    }

    /// Documents with durable entries, ascending.
    pub fn documents(&self) -> impl DoubleEndedIterator<Item = DocumentId> + '_ {
        self.docs.iter().filter(|(_, d)| d.logs.values().any(|l| l.durable.seq > 0)).map(|(id, _)| *id)
    }

    /// Durable tips of a document's logs, ascending.
    pub fn frontier(&self, document: &DocumentId) -> impl Iterator<Item = (LogId, Tip)> + '_ {
        let document = *document;
        self.docs.get(&document).into_iter().flat_map(move |d| {
            d.logs.iter().filter(|(_, l)| l.durable.seq > 0).map(move |((device, incarnation), l)| {
                (LogId { document, device: *device, incarnation: *incarnation }, l.durable)
            })
        })
    }

    /// The digest of a document: a hash of its durable frontier. Zero for one that is empty.
    pub fn document_digest(&mut self, document: &DocumentId) -> [u8; 32] {
        let Some(doc) = self.docs.get_mut(document) else { return [0; 32] };
        if let Some(d) = doc.digest {
            return d;
        }
        let mut bytes = Vec::with_capacity(doc.logs.len() * 88);
        for ((device, incarnation), l) in doc.logs.iter().filter(|(_, l)| l.durable.seq > 0) {
            bytes.extend_from_slice(&device.0);
            bytes.extend_from_slice(&incarnation.0);
            let tip = if planted(Fault::DigestOfAdmitted) { l.admitted } else { l.durable };
            bytes.extend_from_slice(&tip.seq.to_be_bytes());
            bytes.extend_from_slice(&tip.hash.0);
        }
        let d = if bytes.is_empty() { [0; 32] } else { domain_hash("cairn 2026 document digest", &[&bytes]) };
        doc.digest = Some(d);
        d
    }

    /// The digest of the space over all documents that count ([`counts`]).
    pub fn digest(&mut self) -> [u8; 32] {
        if let Some(d) = self.digest {
            return d;
        }
        let mut bytes = Vec::new();
        for (id, d) in self.document_digests() {
            bytes.extend_from_slice(&id.0);
            bytes.extend_from_slice(&d);
        }
        let d = domain_hash("cairn 2026 space digest", &[&bytes]);
        self.digest = Some(d);
        d
    }

    /// The digests of all documents that count and are not empty, ascending.
    pub fn document_digests(&mut self) -> Vec<(DocumentId, [u8; 32])> {
        let ids: Vec<_> = self.docs.keys().copied().filter(counts).collect();
        ids.into_iter().map(|id| (id, self.document_digest(&id))).filter(|(_, d)| *d != [0; 32]).collect()
    }
}

/// Whether a document counts in its space's digest: all but profiles and kinds from [`Kind::ON_DEMAND`] on, which are
/// pulled on demand. A build must know that of kinds that it does not know, or it would never agree on a digest.
#[must_use]
pub fn counts(document: &DocumentId) -> bool {
    let kind = document.kind();
    kind != Kind::Profile && kind.code() < Kind::ON_DEMAND
}

/// Whether a verifying signature stands at least every [`VOUCHED_BYTES`] in a run whose last one verifies and that
/// follows one that does. This depends on the log alone, not on how it was cut into runs: from one verifying signature
/// on, either the next is within the window or it is not. An honest batch costs nothing more.
fn vouched(run: &[Arc<Entry>]) -> bool {
    let mut rest = run;
    loop {
        let mut bytes = 0usize;
        let window = rest.iter().take_while(|e| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(e.whole_len());
            first || bytes <= VOUCHED_BYTES
        });
        let window = window.count();
        if window == rest.len() {
            return true;
        }
        let Some(last) = rest.iter().take(window).rposition(|e| e.signed.verify()) else { return false };
        rest = rest.get(last.saturating_add(1)..).unwrap_or_default();
    }
}
