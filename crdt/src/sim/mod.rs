//! A simulator of the pure halves of nodes: many of them over a bad network, with crashes, full disks, restored backups,
//! copied machines, wrong clocks and hostile members, beside a reference model that is trivial.
//!
//! 1. A run is a [`Plan`]: nodes and a list of [`Transition`]s, from a seed or from a fuzzer's bytes. Nothing else
//!    enters, so a seed repeats a run exactly, and any part of a list is a run too.
//! 2. After every transition must hold: nothing acknowledged is lost; equal frontiers are equal documents in equal
//!    order; frames speak of what is durable; nothing is stored that its author did not sign; no honest peer is blamed;
//!    queues and frames are bounded (`check.rs`).
//! 3. Then everything is mended, and all honest machines must become equal: without any timer where the network was fair,
//!    else within [`PATIENCE`] seconds. What is then said somewhere reaches everybody at once, and a frame that is lost is
//!    noticed with the next.
//! 4. A run that fails is shrunk to the transitions that it needs ([`shrink`]) and printed as a command.
//!
//! The example `sim` runs many seeds. None of this is part of the product.

mod check;
mod dice;
mod forks;
mod hostile;
mod model;
mod net;
mod node;
mod plan;
mod shrink;
mod transition;
mod world;

pub use dice::Dice;
pub use model::Violation;
pub use plan::{Config, MAX_NODES, Plan, Shape};
pub use shrink::{places, shrink};
pub use transition::{ACTS, Act, Transition};
pub use world::{Stats, World};

use crate::sync::frame::Frame;

/// Seconds within which all honest machines are equal once everything is mended, however unfair the network was: a peer
/// that did not bring what it offered is avoided for up to 640 s.
pub const PATIENCE: u32 = 1_500;

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("after {step} of {steps} transitions: {violation}")]
pub struct Failure {
    /// What did not hold.
    pub violation: Violation,
    /// How many transitions were carried out.
    pub step: usize,
    /// How many there are.
    pub steps: usize,
}

/// Carries out a plan and lets the world become quiet.
///
/// # Errors
/// [`Failure`] with the first invariant that did not hold.
pub fn run(plan: &Plan) -> Result<Stats, Failure> {
    let failure = |step: usize, violation| Failure { violation, step, steps: plan.steps.len() };
    let mut world = World::new(&plan.config);
    for (at, t) in plan.steps.iter().enumerate() {
        world.step(t).map_err(|v| failure(at.saturating_add(1), v))?;
    }
    world.quiet().map_err(|v| failure(plan.steps.len(), v))?;
    Ok(world.stats)
}

impl World {
    /// Mends everything, waits until all honest machines are equal, and checks what must hold in the end.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn quiet(&mut self) -> Result<(), Violation> {
        let fair = !self.unfair && self.config.hostile == 0;
        self.heal();
        self.repair_machines();
        for m in 0..self.machines.len() {
            if let Some(h) = self.machines[m].hostile.as_mut() {
                h.mute = self.config.seed.is_multiple_of(2);
            }
        }
        self.check_touched();
        self.model.verdict()?;
        if fair {
            // What waited flows and what was cut is linked again; what waits for a timer, after a failed commit or for a
            // peer that seemed to bring nothing, begins anew.
            let shuns = |m: &node::Machine| m.half.as_ref().is_some_and(|h| h.sync.shuns());
            if self.failed || self.machines.iter().any(shuns) || self.config.seed.is_multiple_of(2) {
                self.close_everything();
            }
            self.dial_all();
            self.settle();
            if !self.all_equal() {
                let what = self.differences();
                self.model.fail("all are equal without waiting for a timer", what);
            }
        } else {
            let mut seconds = 0;
            while !self.all_equal() && seconds < PATIENCE {
                if seconds % 100 == 99 && self.has_copies() {
                    // Copies of a machine take turns at being the one that others speak to.
                    self.close_everything();
                }
                self.tick();
                self.settle();
                self.model.verdict()?;
                seconds = seconds.saturating_add(1);
            }
            if !self.all_equal() {
                let what = self.differences();
                self.model.fail("all are equal once everything is mended", what);
            }
        }
        self.check_touched();
        self.check_end();
        self.model.verdict()?;
        if fair {
            self.live();
        }
        self.model.verdict()
    }

    /// What is said now is everywhere at once, also where one node stands between others.
    fn live(&mut self) {
        let n = usize::from(self.config.nodes);
        for m in [0, n / 2, n.saturating_sub(1)] {
            self.write_some(m, 1, 0, false);
            self.settle();
            if !self.all_equal() {
                let what = self.differences();
                self.model.fail("what is said while all are linked is everywhere at once", what);
            }
        }
        self.lose_one();
        self.check_touched();
        self.check_end();
    }

    /// A frame that does not arrive is noticed with the next of the same log.
    fn lose_one(&mut self) {
        self.write_some(0, 1, 0, false);
        let live = |p: &world::Packet| matches!(p.frame, Frame::Entries { live: true, .. });
        if let Some(wire) = self.wires.range_mut((0, 0)..(1, 0)).map(|(_, wire)| wire).next() {
            wire.packets.retain(|p| !live(p));
        }
        self.settle();
        self.write_some(0, 1, 0, false);
        self.settle();
        if !self.all_equal() {
            let what = self.differences();
            self.model.fail("a frame that was lost is noticed with the next", what);
        }
    }
}

#[cfg(test)]
mod tests;
