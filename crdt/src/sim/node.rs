//! One machine: a disk that loses exactly what was not committed, and the pure half of a node over it. Replication,
//! guard, documents and pens are the real ones.

use std::collections::{BTreeMap, BTreeSet, VecDeque, btree_map};
use std::sync::Arc;

use crate::entry::Entry;
use crate::fork::Proof;
use crate::hlc::{Clock, Hlc, MAX_AHEAD_MS};
use crate::identity::DeviceKey;
use crate::ids::{DeviceId, DocumentId, EntryHash, Incarnation, LogId, MessageId, SpaceId};
use crate::kinds::chat::{ChatAuthor, ChatSegment, Draft, week_of};
use crate::replica::{Access, Replica, Tip};
use crate::sync::SpaceSync;
use crate::sync::frame::Frame;
use crate::verdict::Outcome;
use crate::writer::{LogTip, LogWriter};

/// Entries in one batch of a fetch, few so that fetches take several.
const BATCH_ENTRIES: usize = 9;
/// Bytes in one batch of a fetch, as the node reads them.
const BATCH_BYTES: usize = 64 * 1024;

/// What is durable.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    /// Goes up with every change.
    pub version: u64,
    pub logs: BTreeMap<LogId, Vec<Arc<Entry>>>,
    /// Logs that forked, with the proofs.
    pub forks: BTreeMap<LogId, Vec<Proof>>,
}

impl Disk {
    /// Keeps what proves a fork, and cuts the log. Returns what is cut.
    pub(super) fn fork(&mut self, log: LogId, proofs: Vec<Proof>, from: u64) -> Vec<EntryHash> {
        self.version = self.version.saturating_add(1);
        self.forks.insert(log, proofs);
        let before = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(entries) = self.logs.get_mut(&log) else { return Vec::new() };
        let cut = entries.split_off(before.min(entries.len()));
        if entries.is_empty() {
            self.logs.remove(&log);
        }
        cut.iter().map(|e| e.hash()).collect()
    }

    pub(super) fn tip(&self, log: &LogId) -> Tip {
        self.logs.get(log).and_then(|l| l.last()).map_or(Tip::EMPTY, |e| Tip::of(e))
    }

    /// The end of a log that is cut there.
    pub(super) fn tip_before(&self, log: &LogId, cut: u64) -> Tip {
        let before = usize::try_from(cut.saturating_sub(1)).unwrap_or(usize::MAX);
        let entries = self.logs.get(log).map(Vec::as_slice).unwrap_or_default();
        entries.iter().take(before).next_back().map_or(Tip::EMPTY, |e| Tip::of(e))
    }

    pub(super) fn holds(&self, log: &LogId, seq: u64, hash: &EntryHash) -> bool {
        let at = usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX);
        seq > 0 && self.logs.get(log).and_then(|l| l.get(at)).is_some_and(|e| e.hash() == *hash)
    }

    /// Appends all or nothing.
    pub(super) fn append(&mut self, entries: &[Arc<Entry>]) -> Result<(), LogId> {
        let mut tips: BTreeMap<LogId, Tip> = BTreeMap::new();
        for e in entries {
            let log = e.header().log;
            let tip = tips.entry(log).or_insert_with(|| self.tip(&log));
            if e.header().seq != tip.seq.saturating_add(1) || e.header().prev != tip.hash {
                return Err(log);
            }
            *tip = Tip::of(e);
        }
        self.version = self.version.saturating_add(1);
        for e in entries {
            self.logs.entry(e.header().log).or_default().push(e.clone());
        }
        Ok(())
    }

    /// What replication knows after a start on this disk.
    pub(super) fn replica(&self, space: SpaceId) -> Replica {
        let mut replica = Replica::new(space, Access::Commons);
        for (log, entries) in &self.logs {
            if let Some(last) = entries.last() {
                replica.restore(log, Tip::of(last));
            }
        }
        for proof in self.forks.values().flatten() {
            replica.learn(proof.clone());
        }
        replica
    }

    /// A batch of a log.
    pub(super) fn batch(&self, log: &LogId, from: u64, upto: u64) -> Vec<Arc<Entry>> {
        let from = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        let upto = usize::try_from(upto).unwrap_or(usize::MAX);
        let Some(entries) = self.logs.get(log) else { return Vec::new() };
        let mut bytes = 0usize;
        let mut out: Vec<Arc<Entry>> = Vec::new();
        for e in entries.get(from..upto.min(entries.len())).unwrap_or_default() {
            bytes = bytes.saturating_add(e.payload.as_ref().map_or(0, Vec::len)).saturating_add(300);
            if out.len() >= BATCH_ENTRIES || (bytes > BATCH_BYTES && !out.is_empty()) {
                break;
            }
            out.push(e.clone());
        }
        out
    }
}

/// A message said at a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    pub id: MessageId,
    pub body: [u8; 32],
}

/// Entries on their way to the disk.
#[derive(Debug)]
pub(super) struct Batch {
    pub from: Option<DeviceId>,
    pub live: bool,
    pub entries: Vec<Arc<Entry>>,
    pub said: Option<Said>,
    /// Failed commits before it was handed over: an entry behind a failed one need not follow its log.
    pub failures: u32,
}

/// A decision about a log that forked, on its way to the disk.
#[derive(Debug)]
pub(super) struct Decision {
    pub from: Option<DeviceId>,
    pub log: LogId,
    pub cut: Option<u64>,
    pub proofs: Vec<Proof>,
    /// Failed commits before it was handed over: replication has forgotten it after another.
    pub failures: u32,
}

/// What waits for the disk, in order.
#[derive(Debug)]
pub(super) enum Job {
    Entries(Batch),
    Fork(Decision),
}

impl Job {
    fn failures(&self) -> u32 {
        match self {
            Self::Entries(b) => b.failures,
            Self::Fork(d) => d.failures,
        }
    }
}

/// What runs.
pub(super) struct Half {
    pub sync: SpaceSync,
    pub incarnation: Incarnation,
    pub clock: Clock,
    pub docs: BTreeMap<DocumentId, ChatSegment>,
    /// Documents that were not compared with others' since they changed.
    pub changed: BTreeSet<DocumentId>,
    pub waiting: VecDeque<Job>,
    /// Machines by the device that they are to us.
    pub sessions: BTreeMap<DeviceId, usize>,
    pub failures: u32,
    /// While commits end: how many failed before.
    pub in_hand: Option<u32>,
    pens: BTreeMap<DocumentId, (ChatAuthor, LogWriter)>,
}

impl Half {
    pub(super) fn start(space: SpaceId, id: DeviceId, incarnation: Incarnation, disk: &Disk) -> Self {
        let own = disk.logs.iter().filter(|(log, _)| log.device == id);
        let last = own.filter_map(|(_, l)| l.last()).map(|e| e.header().hlc).max().unwrap_or_default();
        let mut half = Self {
            sync: SpaceSync::new(disk.replica(space)),
            incarnation,
            clock: Clock::after(last),
            docs: BTreeMap::new(),
            changed: BTreeSet::new(),
            waiting: VecDeque::new(),
            sessions: BTreeMap::new(),
            failures: 0,
            in_hand: None,
            pens: BTreeMap::new(),
        };
        for entries in disk.logs.values() {
            half.apply(entries);
        }
        half
    }

    /// Takes durable entries into their documents. Returns what the judge said of those that are not valid.
    pub(super) fn apply(&mut self, entries: &[Arc<Entry>]) -> Vec<(Arc<Entry>, Outcome)> {
        let mut odd = Vec::new();
        for run in entries.chunk_by(|a, b| a.header().log.document == b.header().log.document) {
            let Some(document) = run.first().map(|e| e.header().log.document) else { continue };
            let Some(empty) = ChatSegment::new(document) else { continue };
            let segment = self.docs.entry(document).or_insert(empty);
            let applied = segment.apply(run, |_| 0);
            self.changed.insert(document);
            odd.extend(run.iter().cloned().zip(applied.outcomes).filter(|(_, o)| !o.is_valid()));
        }
        odd
    }

    /// Writes a message in the part of the week that the clock says. Returns its entry.
    pub(super) fn write(
        &mut self,
        key: &DeviceKey,
        space: SpaceId,
        disk: &Disk,
        now: u64,
        part: u16,
        draft: (MessageId, &str),
    ) -> Result<Arc<Entry>, String> {
        let hlc = self.clock.tick(now);
        let document = DocumentId::chat(week_of(hlc.ms()), part);
        let log = LogId { document, device: key.id(), incarnation: self.incarnation };
        let seen = self.docs.get(&document).and_then(|s| s.newest(1).next()).map(|m| m.key);
        let after = seen.filter(|k| k.stamp.ms() <= now.saturating_add(MAX_AHEAD_MS));
        let (author, writer) = match self.pens.entry(document) {
            btree_map::Entry::Occupied(pen) => pen.into_mut(),
            btree_map::Entry::Vacant(place) => {
                let mut author = ChatAuthor::new(log);
                for e in disk.logs.get(&log).into_iter().flatten() {
                    author.replay(e).map_err(|e| e.to_string())?;
                }
                let tip = disk.tip(&log);
                let writer = LogWriter::new(key.clone(), space, log, LogTip { seq: tip.seq, hash: tip.hash });
                place.insert((author, writer))
            }
        };
        let (id, body) = draft;
        let payload = author.say(hlc, &Draft { id, body, after, reply_to: None }).map_err(|e| e.to_string())?;
        let entry = Arc::new(writer.write(payload, hlc).map_err(|e| e.to_string())?);
        self.sync.replica_mut().admit_own(&entry);
        Ok(entry)
    }

    /// Whether something is on its way to the disk, or was just taken by it, that was handed over before a commit failed.
    pub(super) fn is_unsure(&self) -> bool {
        let before = |failures: u32| failures < self.failures;
        self.in_hand.is_some_and(before) || self.waiting.iter().any(|job| before(job.failures()))
    }

    /// Decisions that replication goes by and the disk does not have yet.
    pub(super) fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.waiting.iter().filter_map(|job| match job {
            Job::Fork(d) if d.failures == self.failures => Some(d),
            _ => None,
        })
    }

    /// A log was cut: its document is read anew.
    pub(super) fn read_anew(&mut self, log: &LogId, disk: &Disk) {
        self.docs.remove(&log.document);
        self.changed.remove(&log.document);
        self.pens.remove(&log.document);
        for entries in disk.logs.iter().filter(|(l, _)| l.document == log.document).map(|(_, e)| e) {
            self.apply(entries);
        }
    }

    /// This machine goes on as another start.
    pub(super) fn renew(&mut self, incarnation: Incarnation) {
        self.incarnation = incarnation;
        self.pens.clear();
    }

    /// A commit failed: what was not durable is forgotten, as the node does it.
    pub(super) fn failed(&mut self, disk: &Disk) {
        self.failures = self.failures.saturating_add(1);
        self.sync.failed();
        self.pens.clear();
        self.sync.replica_mut().forget_forks();
        for proof in disk.forks.values().flatten() {
            self.sync.replica_mut().learn(proof.clone());
        }
        for log in disk.logs.keys() {
            let tip = disk.tip(log);
            if self.sync.replica().durable(log).seq < tip.seq {
                self.sync.replica_mut().restore(log, tip);
            }
        }
    }
}

/// What a hostile member remembers.
#[derive(Debug, Default)]
pub(super) struct Hostile {
    /// It answers nothing and sends nothing of its own accord.
    pub mute: bool,
    /// Frames that it got, to be sent again.
    pub heard: VecDeque<Frame>,
    /// Logs begun, so that each is new.
    pub logs: u64,
    /// The log of an unknown kind, which goes on.
    pub unknown: Option<LogWriter>,
}

/// A running machine's state as kept by its host.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub disk: Disk,
    pub incarnation: Incarnation,
    pub last: Hlc,
}

/// A machine.
pub(super) struct Machine {
    pub key: DeviceKey,
    pub id: DeviceId,
    pub disk: Disk,
    pub half: Option<Half>,
    pub hostile: Option<Hostile>,
    pub backup: Option<Disk>,
    pub snapshot: Option<Snapshot>,
    pub starts: u32,
    pub messages: u64,
    pub offset_ms: i64,
    pub per_mille: i64,
    pub slow_disk: bool,
    pub full: bool,
    pub slow: bool,
    /// The last entry of each log whose messages were acknowledged here.
    pub promised: BTreeMap<LogId, (u64, EntryHash)>,
    /// What replication would know after a start, and for which version of the disk.
    pub reference: Option<(u64, Replica)>,
}

impl Machine {
    pub(super) fn new(key: DeviceKey, disk: Disk, hostile: bool) -> Self {
        Self {
            id: key.id(),
            key,
            disk,
            half: None,
            hostile: hostile.then(Hostile::default),
            backup: None,
            snapshot: None,
            starts: 0,
            messages: 0,
            offset_ms: 0,
            per_mille: 0,
            slow_disk: false,
            full: false,
            slow: false,
            promised: BTreeMap::new(),
            reference: None,
        }
    }

    /// What its clock says, milliseconds since 1970.
    pub(super) fn now(&self, true_ms: u64, since_start: u64) -> u64 {
        let drift = i64::try_from(since_start).unwrap_or(0).saturating_mul(self.per_mille) / 1000;
        true_ms.saturating_add_signed(self.offset_ms.saturating_add(drift)).min((1 << 46) - 1)
    }

    pub(super) fn is_mute(&self) -> bool {
        self.hostile.as_ref().is_some_and(|h| h.mute)
    }
}
