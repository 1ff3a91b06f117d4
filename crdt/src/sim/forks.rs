//! Logs that fork: what a machine's replication asks for then, as the node does it. What only a lost branch said is
//! excused; that its author says it again is shown with whole nodes.

use super::node::{Decision, Job};
use super::world::World;
use crate::ids::{DeviceId, Incarnation, LogId};
use crate::sync::Suspect;

impl World {
    pub(super) fn examine(&mut self, m: usize, from: DeviceId, suspect: Suspect) {
        let machine = &mut self.machines[m];
        let (Some(h), Some(log)) = (machine.half.as_mut(), suspect.log()) else { return };
        if h.is_unsure() {
            h.sync.later(from, suspect);
            return;
        }
        let entries = machine.disk.logs.get(&log);
        let at = |seq: u64| usize::try_from(seq.checked_sub(1)?).ok();
        h.sync.examine(from, suspect, &|seq| entries?.get(at(seq)?).cloned());
    }

    /// A fork was decided: the disk shall keep that and cut the log, behind whatever else waits for it.
    pub(super) fn forked(&mut self, m: usize, from: Option<DeviceId>, log: LogId, cut: Option<u64>) {
        self.unfair = true;
        self.look_for_oneself(m, &[log]);
        let machine = &mut self.machines[m];
        let Some(h) = machine.half.as_mut() else { return };
        // A commit that failed since then made replication forget what it had decided.
        let Some(fork) = h.sync.replica().fork(&log) else { return };
        let proofs = fork.proofs().cloned().collect();
        h.waiting.push_back(Job::Fork(Decision { from, log, cut, proofs, failures: h.failures }));
        machine.reference = None;
    }

    /// The disk takes a decision, or fails as a whole.
    pub(super) fn decide(&mut self, m: usize, decision: Decision) {
        let Decision { from, log, cut, proofs, .. } = decision;
        let machine = &mut self.machines[m];
        machine.reference = None;
        if machine.full {
            self.commit_failed(m);
            return;
        }
        let Some(h) = machine.half.as_mut() else { return };
        let lost = machine.disk.fork(log, proofs, cut.unwrap_or(u64::MAX));
        if h.sync.replica().fork(&log).is_none() {
            // Another commit failed meanwhile, and what was decided was forgotten.
            machine.disk.forks.get(&log).into_iter().flatten().for_each(|p| {
                h.sync.replica_mut().learn(p.clone());
            });
            h.sync.replica_mut().cut(&log, machine.disk.tip(&log));
        }
        if let Some(first) = cut {
            h.read_anew(&log, &machine.disk);
            machine.promised.retain(|l, (seq, _)| *l != log || *seq < first);
            self.model.said.retain(|_, a| a.log != log || !lost.contains(&a.hash));
        }
        h.sync.settled(from, &log);
        self.carry_out(m);
    }

    pub(super) fn show_branch(&mut self, m: usize, to: DeviceId, log: LogId, from: u64) {
        let batch = self.machines[m].disk.batch(&log, from, u64::MAX);
        if let Some(h) = self.machines[m].half.as_mut() {
            h.sync.traced(to, log, &batch);
        }
    }

    /// Where one of these logs is of the start that a machine writes as, it runs elsewhere: the machine goes on as
    /// another.
    pub(super) fn look_for_oneself(&mut self, m: usize, logs: &[LogId]) {
        let machine = &self.machines[m];
        let Some(now) = machine.half.as_ref().map(|h| h.incarnation) else { return };
        if machine.hostile.is_none() && logs.iter().any(|l| (l.device, l.incarnation) == (machine.id, now)) {
            let new = self.next_start(m);
            if let Some(h) = self.machines[m].half.as_mut() {
                h.renew(new);
            }
        }
    }

    /// A start that no machine had.
    pub(super) fn next_start(&mut self, m: usize) -> Incarnation {
        let seed = self.config.seed;
        let machine = &mut self.machines[m];
        machine.starts = machine.starts.saturating_add(1);
        let start = [&seed.to_be_bytes()[..], &[m as u8], &machine.starts.to_be_bytes()].concat();
        let mut incarnation = [0; 16];
        incarnation.copy_from_slice(&crate::ids::domain_hash("cairn 2026 simulated incarnation", &[&start])[..16]);
        Incarnation(incarnation)
    }
}
