//! The world of a run: machines, the connections between them, and what each transition does to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::dice::Dice;
use super::model::{Model, Violation};
use super::node::{Batch, Disk, Half, Job, Machine, Said, Snapshot};
use super::plan::{Config, MAX_NODES};
use super::transition::Transition;
use crate::identity::DeviceKey;
use crate::ids::{DeviceId, MessageId, NetworkId, SpaceId, domain_hash};
use crate::replica::Rejection;
use crate::sync::Output;
use crate::sync::frame::Frame;

/// When runs begin: Saturday 2026-11-21, 08:00 UTC.
const EPOCH_MS: u64 = 1_795_248_000_000;
/// How long a device that broke the protocol is shut out, in milliseconds.
const BAN_MS: u64 = 60_000;
/// Seconds between two digests to everybody.
const ANTI_ENTROPY: u64 = 30;
/// Letters of a long message.
const LONG: usize = 60 * 1024;

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Transitions carried out.
    pub transitions: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Bytes of all frames sent.
    pub bytes: u64,
    /// Entries made durable, counted on each machine.
    pub entries: u64,
    /// Messages acknowledged.
    pub said: u64,
    /// A hash over everything that was delivered and kept, in order: equal in equal runs.
    pub trace: [u8; 32],
}

#[derive(Debug)]
pub(super) struct Packet {
    pub frame: Frame,
    /// When it was sent, in milliseconds since the start.
    pub since: u64,
    /// The sender waits for the link to take it.
    pub batch: bool,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Wire {
    pub packets: VecDeque<Packet>,
    pub behind: bool,
}

/// The world.
pub struct World {
    pub(super) config: Config,
    pub(super) space: SpaceId,
    pub(super) machines: Vec<Machine>,
    pub(super) model: Model,
    pub(super) stats: Stats,
    /// Seconds since the start, in milliseconds.
    pub(super) elapsed_ms: u64,
    /// Frames were lost that a stream would not lose, or copies of a machine run.
    pub(super) unfair: bool,
    /// A commit failed.
    pub(super) failed: bool,
    pub(super) dice: Dice,
    pub(super) wires: BTreeMap<(usize, usize), Wire>,
    /// Directions in which something waits, in no order; may name some twice or in vain.
    pub(super) ready: Vec<(usize, usize)>,
    pub(super) cut: BTreeSet<(usize, usize)>,
    pub(super) held: BTreeSet<(usize, usize)>,
    pub(super) parts: VecDeque<u64>,
    pub(super) banned: BTreeMap<(usize, usize), u64>,
}

impl World {
    /// Everybody is up and linked.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        #[cfg(any(test, feature = "planted"))]
        crate::planted::forget();
        let space = SpaceId::commons(&NetworkId([7; 16]));
        let mut world = Self {
            config: config.clone(),
            space,
            machines: Vec::new(),
            model: Model::new(space),
            stats: Stats::default(),
            elapsed_ms: 0,
            unfair: false,
            failed: false,
            dice: Dice::new(config.seed),
            wires: BTreeMap::new(),
            ready: Vec::new(),
            cut: BTreeSet::new(),
            held: BTreeSet::new(),
            parts: VecDeque::new(),
            banned: BTreeMap::new(),
        };
        for n in 0..config.nodes.saturating_add(config.hostile) {
            let seed = domain_hash("cairn 2026 simulated key", &[&config.seed.to_be_bytes(), &[n]]);
            let machine = Machine::new(DeviceKey::from_seed(&seed), Disk::default(), n >= config.nodes);
            world.machines.push(machine);
            world.start(usize::from(n), None);
        }
        world.dial_all();
        world
    }

    /// Carries out a transition and checks what must hold after every one.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn step(&mut self, t: &Transition) -> Result<(), Violation> {
        self.stats.transitions = self.stats.transitions.saturating_add(1);
        self.elapsed_ms = self.elapsed_ms.saturating_add(7);
        self.carry_out_transition(t);
        self.check_touched();
        self.model.verdict()
    }

    fn carry_out_transition(&mut self, t: &Transition) {
        match *t {
            Transition::Write { node, n, part, long } => self.write_some(self.honest(node), n, part, long),
            Transition::Deliver { n, salt } => self.deliver_some(n.into(), salt.into()),
            Transition::Drop(salt) => self.disturb(salt, |w, at| drop(w.packets.remove(at))),
            Transition::Duplicate(salt) => self.disturb(salt, |w, at| {
                if let Some((frame, since)) = w.packets.get(at).map(|p| (p.frame.clone(), p.since)) {
                    w.packets.push_back(Packet { frame, since, batch: false });
                }
            }),
            Transition::Reorder(salt) => self.disturb(salt, |w, at| {
                if let Some(p) = w.packets.remove(at) {
                    w.packets.push_front(p);
                }
            }),
            Transition::Hold { from, to } => drop(self.held.insert((self.honest(from), self.honest(to)))),
            Transition::Release { from, to } => drop(self.held.remove(&(self.honest(from), self.honest(to)))),
            Transition::Cut { a, b } => {
                let (a, b) = (self.honest(a), self.honest(b));
                self.cut.insert((a.min(b), a.max(b)));
                self.close(a, b);
            }
            Transition::Join { a, b } => {
                let (a, b) = (self.honest(a), self.honest(b));
                self.cut.remove(&(a.min(b), a.max(b)));
                self.dial(a, b);
            }
            Transition::Part(side) => {
                self.parts.push_back(side);
                self.close_forbidden();
            }
            Transition::Mend => drop(self.parts.pop_front()),
            Transition::Heal => self.heal(),
            Transition::Tick(n) => (0..n).for_each(|_| self.tick()),
            Transition::Crash(n) => self.crash(self.honest(n)),
            Transition::Start(n) => self.start(self.honest(n), None),
            Transition::Backup(n) => {
                let m = self.honest(n);
                self.machines[m].backup = Some(self.machines[m].disk.clone());
            }
            Transition::Restore(n) => self.restore(self.honest(n)),
            Transition::Clone(n) => self.clone_image(self.honest(n)),
            Transition::Snapshot(n) => self.snapshot(self.honest(n)),
            Transition::Resume(n) => self.resume(self.honest(n)),
            Transition::Twin(n) => self.twin(self.honest(n)),
            Transition::Clock { node, days } => {
                let m = self.honest(node);
                self.machines[m].offset_ms = i64::from(days).saturating_mul(86_400_000);
            }
            Transition::Drift { node, per_mille } => {
                let m = self.honest(node);
                self.machines[m].per_mille = per_mille.into();
            }
            Transition::SlowDisk(n) => {
                let m = self.honest(n);
                self.machines[m].slow_disk = true;
            }
            Transition::Commit(n) => self.commit(self.honest(n)),
            Transition::DiskFull(n) => {
                let m = self.honest(n);
                self.machines[m].full = true;
            }
            Transition::DiskRoom(n) => self.room(self.honest(n)),
            Transition::SlowPeer(n) => {
                let m = self.honest(n);
                self.machines[m].slow = true;
            }
            Transition::FastPeer(n) => {
                let m = self.honest(n);
                self.machines[m].slow = false;
            }
            Transition::Hostile { node, act, victim, salt } => {
                let n = usize::from(self.config.hostile);
                if n > 0 {
                    let who = usize::from(self.config.nodes).saturating_add(usize::from(node) % n);
                    self.act(who, act, self.honest(victim), salt);
                }
            }
        }
    }

    /// The machine that an honest node's number means; copies of machines come last.
    fn honest(&self, n: u8) -> usize {
        let hostile = usize::from(self.config.hostile);
        let at = usize::from(n) % self.machines.len().saturating_sub(hostile).max(1);
        if at < usize::from(self.config.nodes) { at } else { at.saturating_add(hostile) }
    }

    pub(super) fn is_honest(&self, m: usize) -> bool {
        self.machines[m].hostile.is_none()
    }

    pub(super) fn now(&self, m: usize) -> u64 {
        self.machines[m].now(EPOCH_MS.saturating_add(self.elapsed_ms), self.elapsed_ms)
    }

    // --- What a machine's replication asks for

    pub(super) fn carry_out(&mut self, m: usize) {
        self.model.touched.insert(m);
        loop {
            let Some(h) = self.machines[m].half.as_mut() else { return };
            let outputs = h.sync.take();
            if outputs.is_empty() {
                // What was handed over is answered once all is done that was asked for with it.
                if h.in_hand.is_some() || h.waiting.is_empty() || self.machines[m].slow_disk {
                    return;
                }
                self.commit(m);
                continue;
            }
            for output in outputs {
                self.carry_out_one(m, output);
            }
        }
    }

    fn carry_out_one(&mut self, m: usize, output: Output) {
        match output {
            Output::Send(to, frame) => {
                let batch = matches!(frame, Frame::Entries { live: false, .. });
                self.put(m, to, frame, batch);
            }
            Output::Push(to, entries) => {
                for peer in to {
                    self.push(m, peer, Frame::Entries { live: true, entries: entries.clone() });
                }
            }
            Output::Commit { from, live, entries } => {
                let logs: Vec<_> = entries.iter().map(|e| e.header().log).collect();
                self.look_for_oneself(m, &logs);
                self.hand_over(m, Batch { from: Some(from), live, entries, said: None, failures: 0 });
            }
            Output::Read { to, log, from, upto } => {
                let batch = self.machines[m].disk.batch(&log, from, upto);
                if let Some(h) = self.machines[m].half.as_mut() {
                    h.sync.read(to, log, batch);
                }
            }
            Output::Examine { from, suspect } => self.examine(m, from, suspect),
            Output::Forked { from, log, cut } => self.forked(m, from, log, cut),
            Output::Trace { to, log, from } => self.show_branch(m, to, log, from),
            // Here every disk has room or is full.
            Output::HeldBack(..) => {}
            Output::Durable(peer, logs) => self.check_holds(m, peer, &logs),
            Output::Equal(peer) => self.check_equal(m, peer),
            Output::Blame(peer, why) => self.blamed(m, peer, why),
        }
    }

    fn blamed(&mut self, m: usize, peer: DeviceId, why: Rejection) {
        let Some(at) = self.machines[m].half.as_ref().and_then(|h| h.sessions.get(&peer)).copied() else { return };
        if self.is_honest(m) && self.is_honest(at) {
            self.model.fail("no honest peer is blamed", format!("node {m} blames node {at} for {why}"));
        }
        if self.is_honest(m) {
            self.banned.insert((m, at), self.elapsed_ms.saturating_add(BAN_MS));
            self.close(m, at);
        }
    }

    fn hand_over(&mut self, m: usize, mut batch: Batch) {
        let Some(h) = self.machines[m].half.as_mut() else { return };
        batch.failures = h.failures;
        h.waiting.push_back(Job::Entries(batch));
    }

    /// Ends every commit that waits, in order; our own entries that end together are told together.
    pub(super) fn commit(&mut self, m: usize) {
        let mut own: Vec<Batch> = Vec::new();
        loop {
            let Some(h) = self.machines[m].half.as_mut() else { return };
            if own.is_empty() {
                h.in_hand = Some(h.failures);
            }
            let next = h.waiting.pop_front();
            if next.is_none() && own.is_empty() {
                h.in_hand = None;
                return;
            }
            match next {
                Some(Job::Entries(batch)) if self.try_commit(m, &batch) => {
                    if batch.from.is_none() {
                        own.push(batch);
                    } else {
                        self.durable(m, std::mem::take(&mut own));
                        self.durable(m, vec![batch]);
                    }
                }
                Some(Job::Entries(_)) => {}
                Some(Job::Fork(decision)) => {
                    self.durable(m, std::mem::take(&mut own));
                    self.decide(m, decision);
                }
                None => self.durable(m, std::mem::take(&mut own)),
            }
        }
    }

    fn try_commit(&mut self, m: usize, batch: &Batch) -> bool {
        let machine = &mut self.machines[m];
        let Some(h) = machine.half.as_mut() else { return false };
        if !machine.full {
            match machine.disk.append(&batch.entries) {
                Ok(()) => {
                    self.stats.entries = self.stats.entries.saturating_add(batch.entries.len() as u64);
                    self.check_stored(m, &batch.entries);
                    return true;
                }
                Err(log) if batch.failures == h.failures && machine.hostile.is_none() => {
                    self.model.fail("entries follow their log on the disk", format!("node {m}, {log:?}"));
                }
                Err(_) => {}
            }
        }
        self.commit_failed(m);
        false
    }

    pub(super) fn commit_failed(&mut self, m: usize) {
        self.failed = true;
        let machine = &mut self.machines[m];
        machine.reference = None;
        if let Some(h) = machine.half.as_mut() {
            h.failed(&machine.disk);
        }
        self.carry_out(m);
    }

    fn durable(&mut self, m: usize, batches: Vec<Batch>) {
        let Some(first) = batches.first() else { return };
        let (from, live) = (first.from, first.live);
        let entries: Vec<_> = batches.iter().flat_map(|b| b.entries.iter().cloned()).collect();
        let Some(h) = self.machines[m].half.as_mut() else { return };
        h.sync.committed(from, live, &entries);
        let odd = h.apply(&entries);
        self.check_verdicts(m, &odd);
        self.carry_out(m);
        for (said, entry) in batches.iter().filter_map(|b| b.said.zip(b.entries.last())) {
            self.stats.said = self.stats.said.saturating_add(1);
            self.acknowledged(m, said, entry);
        }
    }

    pub(super) fn write_some(&mut self, m: usize, n: u8, part: u8, long: bool) {
        for _ in 0..n {
            let now = self.now(m);
            let machine = &mut self.machines[m];
            let Some(h) = machine.half.as_mut() else { return };
            machine.messages = machine.messages.saturating_add(1);
            let start = &h.incarnation.0[..2];
            let mut random = [0; 10];
            random[..2].copy_from_slice(start);
            random[2..].copy_from_slice(&machine.messages.to_be_bytes());
            // Machines that share a key and an incarnation still say different things.
            random[2] = m as u8;
            let id = MessageId::new(now, random);
            let body = if long { "long ".repeat(LONG / 5) } else { format!("{m} says {}", machine.messages) };
            let written = h.write(&machine.key, self.space, &machine.disk, now, part.into(), (id, &body));
            match written {
                Ok(entry) => {
                    self.model.signed(&entry);
                    let said = Said { id, body: domain_hash("cairn 2026 simulated body", &[body.as_bytes()]) };
                    let batch = Batch { from: None, live: true, entries: vec![entry], said: Some(said), failures: 0 };
                    let Some(h) = self.machines[m].half.as_mut() else { return };
                    h.waiting.push_back(Job::Entries(Batch { failures: h.failures, ..batch }));
                }
                Err(e) => self.model.fail("an honest author can write", format!("node {m}: {e}")),
            }
        }
        if !self.machines[m].slow_disk {
            self.commit(m);
        }
        self.carry_out(m);
    }

    // --- Time and machines

    /// A second passes.
    pub(super) fn tick(&mut self) {
        self.elapsed_ms = self.elapsed_ms.saturating_add(1000);
        self.dial_all();
        let second = self.elapsed_ms / 1000;
        for m in 0..self.machines.len() {
            if self.machines[m].is_mute() {
                continue;
            }
            if let Some(h) = self.machines[m].half.as_mut() {
                h.sync.tick();
                if second.wrapping_add(m as u64 * 7).is_multiple_of(ANTI_ENTROPY) {
                    h.sync.compare_all();
                }
            }
            self.carry_out(m);
        }
    }

    pub(super) fn crash(&mut self, m: usize) {
        let open: Vec<_> = self.wires.keys().filter(|(a, _)| *a == m).map(|(_, b)| *b).collect();
        for peer in open {
            self.close(m, peer);
        }
        self.machines[m].half = None;
        self.machines[m].reference = None;
    }

    /// Starts a machine on its disk; a new incarnation unless it goes on as one.
    pub(super) fn start(&mut self, m: usize, as_before: Option<&Snapshot>) {
        if self.machines[m].half.is_some() {
            return;
        }
        let next = self.next_start(m);
        let incarnation = as_before.map_or(next, |s| s.incarnation);
        let machine = &mut self.machines[m];
        let mut half = Half::start(self.space, machine.id, incarnation, &machine.disk);
        if let Some(s) = as_before {
            half.clock = crate::hlc::Clock::after(s.last.max(half.clock.last()));
        }
        machine.half = Some(half);
    }

    fn room(&mut self, m: usize) {
        self.machines[m].full = false;
        self.machines[m].slow_disk = false;
        self.commit(m);
    }

    /// Puts an older disk into a machine: what only it held is gone, and nobody can be blamed for it.
    fn set_disk(&mut self, m: usize, disk: Disk) {
        self.crash(m);
        self.unfair = true;
        self.machines[m].disk = disk;
        self.machines[m].reference = None;
        let machine = &mut self.machines[m];
        machine.promised.retain(|log, (seq, hash)| machine.disk.holds(log, *seq, hash));
        self.excuse_lost();
    }

    fn restore(&mut self, m: usize) {
        if let Some(disk) = self.machines[m].backup.clone() {
            self.set_disk(m, disk);
            self.start(m, None);
        }
    }

    fn copy(&mut self, m: usize, disk: Disk) -> Option<usize> {
        if self.machines.len() >= MAX_NODES {
            return None;
        }
        self.unfair = true;
        let (key, at) = (self.machines[m].key.clone(), self.machines.len());
        self.machines.push(Machine::new(key, disk, false));
        Some(at)
    }

    /// Whether a device runs on more than one machine.
    pub(super) fn has_copies(&self) -> bool {
        self.machines.len() > usize::from(self.config.nodes.saturating_add(self.config.hostile))
    }

    fn clone_image(&mut self, m: usize) {
        let disk = self.machines[m].disk.clone();
        if let Some(at) = self.copy(m, disk) {
            self.start(at, None);
        }
    }

    fn snapshot(&mut self, m: usize) {
        let machine = &mut self.machines[m];
        let Some(h) = &machine.half else { return };
        machine.snapshot =
            Some(Snapshot { disk: machine.disk.clone(), incarnation: h.incarnation, last: h.clock.last() });
    }

    fn resume(&mut self, m: usize) {
        if let Some(s) = self.machines[m].snapshot.clone() {
            self.set_disk(m, s.disk.clone());
            self.start(m, Some(&s));
        }
    }

    fn twin(&mut self, m: usize) {
        if let Some(s) = self.machines[m].snapshot.clone()
            && let Some(at) = self.copy(m, s.disk.clone())
        {
            self.start(at, Some(&s));
        }
    }

    pub(super) fn repair_machines(&mut self) {
        for m in 0..self.machines.len() {
            self.machines[m].slow = false;
            self.room(m);
            self.start(m, None);
        }
    }

    /// The disks of the honest machines.
    pub(super) fn honest_machines(&self) -> Vec<usize> {
        (0..self.machines.len()).filter(|m| self.is_honest(*m)).collect()
    }

    pub(super) fn trace(&mut self, parts: &[&[u8]]) {
        let mut all: Vec<&[u8]> = vec![&self.stats.trace];
        all.extend_from_slice(parts);
        self.stats.trace = domain_hash("cairn 2026 simulation trace", &all);
    }
}
