//! What must hold: after every frame, every commit, every transition, and in the end.

use std::sync::Arc;

use super::model::Acknowledged;
use super::node::{Disk, Half, Said};
use super::world::World;
use crate::entry::Entry;
use crate::ids::{DeviceId, LogId, domain_hash};
use crate::kinds::chat::ChatSegment;
use crate::replica::{Replica, counts};
use crate::sync::frame::Frame;
use crate::verdict::Outcome;

/// Largest frame in bytes that a link takes.
const FRAME_MAX: usize = 1024 * 1024;

/// Content and order of a segment.
fn render(segment: &ChatSegment) -> [u8; 32] {
    let mut bytes = Vec::new();
    for m in segment.newest(usize::MAX) {
        bytes.extend_from_slice(&m.key.stamp.0.to_be_bytes());
        bytes.extend_from_slice(&m.key.device.0);
        bytes.extend_from_slice(&m.key.id.0);
        bytes.extend_from_slice(&(m.body.len() as u64).to_be_bytes());
        bytes.extend_from_slice(m.body.as_bytes());
    }
    domain_hash("cairn 2026 simulated document", &[&bytes])
}

impl World {
    /// What replication would know after a start now, and by what was decided of forks and is on its way to the disk.
    pub(super) fn reference(&mut self, m: usize) -> &mut Replica {
        let space = self.space;
        let machine = &mut self.machines[m];
        let version = machine.disk.version;
        if machine.reference.as_ref().is_none_or(|(v, _)| *v != version) {
            machine.reference = None;
        }
        let (disk, half) = (&machine.disk, &machine.half);
        let reference = machine.reference.get_or_insert_with(|| {
            let mut replica = disk.replica(space);
            for d in half.iter().flat_map(Half::decisions) {
                d.proofs.iter().for_each(|p| _ = replica.learn(p.clone()));
                if let Some(cut) = d.cut {
                    replica.cut(&d.log, disk.tip_before(&d.log, cut));
                }
            }
            (version, replica)
        });
        &mut reference.1
    }

    /// An honest node is about to send this: it says nothing that its disk does not hold.
    pub(super) fn check_frame(&mut self, m: usize, frame: &Frame) {
        let bytes = frame.encode();
        self.stats.bytes = self.stats.bytes.saturating_add(bytes.len() as u64);
        if !self.is_honest(m) {
            return;
        }
        if bytes.len() > FRAME_MAX {
            self.model.fail("frames fit into a link", format!("node {m} sends {} bytes", bytes.len()));
        }
        if self.stats.frames.is_multiple_of(16) && Frame::decode(&bytes).as_ref() != Ok(frame) {
            self.model.fail("a frame comes out as it went in", format!("node {m}: {frame:?}"));
        }
        let disk = |w: &Self, log: &LogId| w.machines[m].disk.tip(log);
        let truthful = match frame {
            Frame::Digest(d) | Frame::Same(d) => self.reference(m).digest() == *d,
            Frame::Docs { docs, .. } | Frame::Listed { docs, .. } => {
                let reference = self.reference(m);
                docs.iter().all(|(id, d)| reference.document_digest(id) == *d)
            }
            Frame::Want { document, logs } => logs.iter().all(|l| {
                let log = LogId { document: *document, device: l.device, incarnation: l.incarnation };
                self.machines[m].disk.holds(&log, l.seq, &l.hash)
            }),
            Frame::Entries { entries, .. } => {
                entries.iter().all(|e| self.machines[m].disk.holds(&e.header().log, e.header().seq, &e.hash()))
            }
            Frame::Durable(logs) => logs.iter().all(|(log, seq)| *seq <= disk(self, log).seq),
            Frame::Branch { headers, .. } => headers.iter().all(|s| {
                let h = &s.header;
                self.machines[m].disk.holds(&h.log, h.seq, &s.hash)
            }),
            Frame::Fork(proof) => self.reference(m).fork(&proof.log()).is_some(),
            // Fingerprints are hashes over what lists say in full.
            Frame::Ranges { .. }
            | Frame::Served(_)
            | Frame::Window(_)
            | Frame::HeldBack(_)
            | Frame::Note(_)
            | Frame::Trace { .. } => true,
            Frame::Lost(_) | Frame::Said { .. } | Frame::Keys { .. } | Frame::Coming(_) | Frame::Typing(_) => true,
        };
        if !truthful {
            let what = format!("{frame:?}").chars().take(200).collect::<String>();
            self.model.fail("frames speak of what is durable", format!("node {m} sends {what}"));
        }
    }

    /// Entries were written to a disk.
    pub(super) fn check_stored(&mut self, m: usize, entries: &[Arc<Entry>]) {
        if !self.is_honest(m) {
            return;
        }
        for e in entries {
            let h = e.header();
            let fault = if !self.model.was_signed(e) {
                "nobody signed it"
            } else if h.space != self.model.space {
                "it is of another space"
            } else if e.payload.is_none() {
                "it has no payload"
            } else {
                continue;
            };
            self.model.fail("only good entries are stored", format!("node {m}, {:?} {}: {fault}", h.log, h.seq));
        }
    }

    /// The judge did not let these pass.
    pub(super) fn check_verdicts(&mut self, m: usize, odd: &[(Arc<Entry>, Outcome)]) {
        for (e, outcome) in odd {
            let author = e.header().log.device;
            let honest = self.machines.iter().any(|x| x.id == author && x.hostile.is_none());
            if self.is_honest(m) && (honest || matches!(outcome, Outcome::Waiting | Outcome::Known)) {
                let what = format!("node {m}, {:?} {}: {outcome:?}", e.header().log, e.header().seq);
                self.model.fail("honest entries are valid, in order, once", what);
            }
        }
    }

    /// A node believes that a peer holds logs up to there.
    pub(super) fn check_holds(&mut self, m: usize, peer: DeviceId, logs: &[(LogId, u64)]) {
        let Some(at) = self.machines[m].half.as_ref().and_then(|h| h.sessions.get(&peer)).copied() else { return };
        if !self.is_honest(at) || !self.is_honest(m) {
            return;
        }
        // A log that forked may have been cut meanwhile.
        let forked = |log: &LogId| self.machines[at].disk.forks.contains_key(log);
        for (log, seq) in logs.iter().filter(|(log, _)| !forked(log)) {
            if self.machines[at].disk.tip(log).seq < *seq {
                let what = format!("node {m} believes that node {at} holds {log:?} up to {seq}");
                self.model.fail("what a peer is believed to hold, it holds", what);
            }
        }
    }

    /// A node believes that a peer holds everything that it holds itself.
    pub(super) fn check_equal(&mut self, m: usize, peer: DeviceId) {
        let counted = self.machines[m].disk.logs.keys().filter(|l| counts(&l.document));
        let counted: Vec<_> = counted.copied().collect();
        // Digests go by what was decided of forks already.
        let logs: Vec<_> = counted.into_iter().map(|l| (l, self.reference(m).durable(&l).seq)).collect();
        self.check_holds(m, peer, &logs);
    }

    /// A message was acknowledged at a machine.
    pub(super) fn acknowledged(&mut self, m: usize, said: Said, entry: &Entry) {
        if !self.is_honest(m) {
            return;
        }
        let (log, seq, hash) = (entry.header().log, entry.header().seq, entry.hash());
        self.machines[m].promised.insert(log, (seq, hash));
        let author = self.machines[m].id;
        self.model.said.insert(said.id, Acknowledged { author, log, seq, hash, body: said.body });
        if !self.machines[m].disk.holds(&log, seq, &hash) {
            self.model.fail("what is acknowledged is durable", format!("node {m}, {log:?} {seq}"));
        }
    }

    /// After a disk was replaced: messages that no honest disk holds any more cannot survive.
    pub(super) fn excuse_lost(&mut self) {
        let disks: Vec<&Disk> = self.machines.iter().filter(|m| m.hostile.is_none()).map(|m| &m.disk).collect();
        self.model.said.retain(|_, a| disks.iter().any(|d| d.holds(&a.log, a.seq, &a.hash)));
    }

    /// Looks at every machine that something happened to.
    pub(super) fn check_touched(&mut self) {
        for m in std::mem::take(&mut self.model.touched) {
            if self.is_honest(m) {
                self.check_machine(m);
                if self.stats.transitions.is_multiple_of(8) {
                    self.check_documents(m);
                }
            }
        }
    }

    fn check_machine(&mut self, m: usize) {
        let machine = &self.machines[m];
        let lost = machine.promised.iter().find(|(log, (seq, hash))| !machine.disk.holds(log, *seq, hash));
        if let Some((log, (seq, _))) = lost {
            self.model.fail("nothing acknowledged is lost", format!("node {m}, {log:?} {seq}"));
        }
        let disk: Vec<_> = machine.disk.logs.iter().map(|(log, l)| (*log, l.len() as u64)).collect();
        let tips: Vec<_> = disk.iter().map(|(log, _)| self.reference(m).durable(log)).collect();
        let Some(h) = &self.machines[m].half else { return };
        if !h.sync.within_bounds() {
            self.model.fail("queues are bounded", format!("node {m}"));
        }
        for ((log, entries), tip) in disk.iter().zip(tips) {
            let judged = h.docs.get(&log.document).map(|d| d.judged(log));
            if judged.is_some_and(|n| n != *entries) {
                let what = format!("node {m}: {judged:?} of {entries} entries of {log:?}");
                self.model.fail("documents hold what is durable", what);
            }
            if h.sync.replica().durable(log) != tip {
                let what = format!("node {m}, {log:?}: {:?} on {:?}", h.sync.replica().durable(log), log);
                self.model.fail("replication knows what is durable", what);
                return;
            }
        }
    }

    /// Equal frontiers imply equal documents and equal order, at any two times and places.
    fn check_documents(&mut self, m: usize) {
        let Some(h) = self.machines[m].half.as_mut() else { return };
        for document in std::mem::take(&mut h.changed) {
            let Some(h) = self.machines[m].half.as_ref() else { return };
            // What a log lost by a fork is shown until the disk has that.
            if h.decisions().any(|d| d.log.document == document) {
                continue;
            }
            let Some(content) = h.docs.get(&document).map(render) else { continue };
            let frontier = self.reference(m).document_digest(&document);
            if !self.model.looks(document, frontier, content) {
                let what = format!("node {m}, {document:?}");
                self.model.fail("equal frontiers are equal documents in equal order", what);
            }
        }
    }

    /// Whether all honest machines hold the same.
    pub(super) fn all_equal(&mut self) -> bool {
        let honest = self.honest_machines();
        let digests: std::collections::BTreeSet<_> = honest.iter().map(|m| self.reference(*m).digest()).collect();
        digests.len() <= 1
    }

    /// Where machines differ, for people.
    pub(super) fn differences(&self) -> String {
        let honest = self.honest_machines();
        let Some(first) = honest.first() else { return String::new() };
        let mut out = Vec::new();
        for m in &honest {
            let (a, b) = (&self.machines[*first].disk, &self.machines[*m].disk);
            let logs: std::collections::BTreeSet<_> = a.logs.keys().chain(b.logs.keys()).collect();
            let differing: Vec<_> = logs.into_iter().filter(|l| a.tip(l) != b.tip(l)).collect();
            if let Some(log) = differing.first() {
                let (x, y) = (a.tip(log), b.tip(log));
                let n = differing.len();
                out.push(format!("nodes {first} and {m} in {n} logs, {log:?}: {} and {}", x.seq, y.seq));
            }
        }
        out.truncate(4);
        out.join("; ")
    }

    /// In the end: everybody has every message that must survive, and everybody's documents look the same.
    pub(super) fn check_end(&mut self) {
        for m in self.honest_machines() {
            self.check_machine(m);
            if let Some(h) = self.machines[m].half.as_mut() {
                h.changed.extend(h.docs.keys().copied());
            }
            self.check_documents(m);
            let Some(h) = &self.machines[m].half else { continue };
            let missing = self.model.said.iter().find(|(id, a)| {
                let found = h.docs.get(&a.log.document).and_then(|d| d.get(&a.author.principal(), id));
                found.is_none_or(|f| domain_hash("cairn 2026 simulated body", &[f.body.as_bytes()]) != a.body)
            });
            if let Some((id, a)) = missing {
                let what = format!("node {m} lacks {id:?} of {:?} {}", a.log, a.seq);
                self.model.fail("what was acknowledged is everywhere in the end", what);
            }
        }
    }
}
