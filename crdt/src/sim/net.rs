//! The network of a run: who may be linked with whom, what waits on the wires, and what goes wrong with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::dice::Dice;
use super::plan::Shape;
use super::world::{Packet, Wire, World};
use crate::entry::Entry;
use crate::ids::DeviceId;
use crate::sync::frame::Frame;

/// Frames that may wait in one direction before live entries are refused; few, so that peers fall behind.
const LIVE_QUEUE: usize = 24;
/// The same to a peer that reads slowly.
const SLOW_QUEUE: usize = 2;
/// Frames after which a network that does not become quiet is at fault.
const ENDLESS: u64 = 400_000;

impl World {
    fn linked(&self, a: usize, b: usize) -> bool {
        let n = usize::from(self.config.nodes);
        if a.max(b) >= n {
            return true;
        }
        let far = a.abs_diff(b);
        match self.config.shape {
            Shape::Mesh => true,
            Shape::Line => far == 1,
            Shape::Ring => far == 1 || far == n.saturating_sub(1),
            Shape::Star => a.min(b) == 0,
            Shape::Chords => far == 1 || far == n.saturating_sub(1) || far == n / 2,
        }
    }

    fn allowed(&self, a: usize, b: usize) -> bool {
        let now = self.elapsed_ms;
        let bit = |m: usize| 1u64 << (m % 64);
        let parted = self.parts.iter().any(|side| (side & bit(a) == 0) != (side & bit(b) == 0));
        a != b
            && self.linked(a, b)
            && self.machines[a].id != self.machines[b].id
            && !parted
            && !self.cut.contains(&(a.min(b), a.max(b)))
            && [(a, b), (b, a)].iter().all(|pair| self.banned.get(pair).is_none_or(|until| *until <= now))
    }

    /// Opens a connection where there may be one and neither has one with that device.
    pub(super) fn dial(&mut self, a: usize, b: usize) {
        let (ia, ib) = (self.machines[a].id, self.machines[b].id);
        let free =
            |m: usize, peer: &DeviceId| self.machines[m].half.as_ref().is_some_and(|h| !h.sessions.contains_key(peer));
        if !self.allowed(a, b) || !free(a, &ib) || !free(b, &ia) {
            return;
        }
        for (x, y, peer) in [(a, b, ib), (b, a, ia)] {
            self.wires.insert((x, y), Wire::default());
            if let Some(h) = self.machines[x].half.as_mut() {
                h.sessions.insert(peer, y);
                h.sync.opened(peer);
            }
        }
        self.carry_out(a);
        self.carry_out(b);
    }

    pub(super) fn dial_all(&mut self) {
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        for a in 0..self.machines.len() {
            pairs.extend((a.saturating_add(1)..self.machines.len()).map(|b| (a, b)));
        }
        self.dice.shuffle(&mut pairs);
        for (a, b) in pairs {
            self.dial(a, b);
        }
        self.tell_neighbours();
    }

    fn tell_neighbours(&mut self) {
        let ids: Vec<_> = self.machines.iter().map(|m| m.id).collect();
        let seen: Vec<BTreeSet<DeviceId>> = self
            .machines
            .iter()
            .map(|m| m.half.iter().flat_map(|h| h.sessions.values()).map(|at| ids[*at]).collect())
            .collect();
        for m in &mut self.machines {
            if let Some(h) = &mut m.half {
                for (peer, at) in &h.sessions {
                    h.sync.neighbours(*peer, seen[*at].clone());
                }
            }
        }
    }

    pub(super) fn close(&mut self, a: usize, b: usize) {
        for (x, y) in [(a, b), (b, a)] {
            if self.wires.remove(&(x, y)).is_none() {
                continue;
            }
            let peer = self.machines[y].id;
            if let Some(h) = self.machines[x].half.as_mut() {
                h.sessions.remove(&peer);
                h.sync.closed(peer);
            }
            self.carry_out(x);
        }
    }

    pub(super) fn close_forbidden(&mut self) {
        let open: Vec<_> = self.wires.keys().filter(|(a, b)| a < b && !self.allowed(*a, *b)).copied().collect();
        for (a, b) in open {
            self.close(a, b);
        }
    }

    pub(super) fn close_everything(&mut self) {
        let open: Vec<_> = self.wires.keys().filter(|(a, b)| a < b).copied().collect();
        for (a, b) in open {
            self.close(a, b);
        }
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
        self.held.clear();
        self.parts.clear();
    }

    pub(super) fn put(&mut self, from: usize, to: DeviceId, frame: Frame, batch: bool) {
        let Some(at) = self.machines[from].half.as_ref().and_then(|h| h.sessions.get(&to)).copied() else { return };
        if self.machines[from].is_mute() {
            return;
        }
        self.check_frame(from, &frame);
        self.post(from, at, frame, batch);
    }

    /// Puts a frame on the wire as it is.
    pub(super) fn post(&mut self, from: usize, to: usize, frame: Frame, batch: bool) {
        let Some(wire) = self.wires.get_mut(&(from, to)) else { return };
        if wire.packets.is_empty() {
            self.ready.push((from, to));
        }
        wire.packets.push_back(Packet { frame, since: self.elapsed_ms, batch });
    }

    pub(super) fn push(&mut self, from: usize, to: DeviceId, frame: Frame) {
        let Some(at) = self.machines[from].half.as_ref().and_then(|h| h.sessions.get(&to)).copied() else { return };
        let room = if self.machines[at].slow { SLOW_QUEUE } else { LIVE_QUEUE };
        let Some(wire) = self.wires.get_mut(&(from, at)) else { return };
        if wire.behind || wire.packets.len() >= room {
            wire.behind = true;
            if let Some(h) = self.machines[from].half.as_mut() {
                h.sync.behind(to);
            }
        } else {
            self.put(from, to, frame, false);
        }
    }

    /// Picks a direction in which something waits and nothing is held up.
    fn pick(&mut self, dice: &mut Dice, patient: bool) -> Option<(usize, usize)> {
        let mut tries = 0;
        while tries < 64 && !self.ready.is_empty() {
            let at = dice.below(self.ready.len());
            let pair = self.ready[at];
            if self.wires.get(&pair).is_none_or(|w| w.packets.is_empty()) {
                self.ready.swap_remove(at);
            } else if !self.held.contains(&pair) && (patient || !self.machines[pair.1].slow || dice.chance(5)) {
                return Some(pair);
            } else {
                tries += 1;
            }
        }
        None
    }

    pub(super) fn deliver_some(&mut self, n: usize, salt: u64) {
        let mut dice = Dice::new(salt);
        for _ in 0..n {
            let Some(pair) = self.pick(&mut dice, false) else { return };
            self.deliver(pair);
        }
    }

    /// Delivers until nothing waits.
    pub(super) fn settle(&mut self) {
        let mut dice = self.dice.clone();
        let before = self.stats.frames;
        while let Some(pair) = self.pick(&mut dice, true) {
            self.deliver(pair);
            if self.stats.frames.saturating_sub(before) > ENDLESS {
                self.model.fail("the network becomes quiet", format!("{ENDLESS} frames and no end"));
                break;
            }
        }
        self.dice = dice;
    }

    fn deliver(&mut self, (from, to): (usize, usize)) {
        let Some(wire) = self.wires.get_mut(&(from, to)) else { return };
        let Some(packet) = wire.packets.pop_front() else { return };
        let drained = wire.packets.is_empty() && std::mem::take(&mut wire.behind);
        self.stats.frames = self.stats.frames.saturating_add(1);
        let (sender, reader) = (self.machines[from].id, self.machines[to].id);
        if let Some(h) = self.machines[from].half.as_mut() {
            if packet.batch {
                h.sync.sent(reader);
            }
            if drained {
                h.sync.drained(reader);
            }
        }
        self.trace(&[b"frame", &[from as u8, to as u8], &packet.frame.encode()]);
        if let Some(h) = self.machines[to].hostile.as_mut() {
            h.heard.push_back(packet.frame.clone());
            if h.heard.len() > 64 {
                h.heard.pop_front();
            }
        }
        if !self.machines[to].is_mute()
            && let Some(h) = self.machines[to].half.as_mut()
        {
            h.sync.received(sender, packet.frame);
        }
        self.carry_out(from);
        self.carry_out(to);
    }

    pub(super) fn disturb(&mut self, salt: u32, what: impl FnOnce(&mut Wire, usize)) {
        let mut dice = Dice::new(salt.into());
        let Some(pair) = self.pick(&mut dice, true) else { return };
        self.unfair = true;
        let Some(wire) = self.wires.get_mut(&pair) else { return };
        let at = dice.below(wire.packets.len());
        // What is lost or overtaken was taken by the link all the same.
        let batch = wire.packets.get_mut(at).is_some_and(|p| std::mem::take(&mut p.batch));
        what(wire, at);
        let peer = self.machines[pair.1].id;
        if batch && let Some(h) = self.machines[pair.0].half.as_mut() {
            h.sync.sent(peer);
        }
        self.carry_out(pair.0);
    }

    pub(super) fn entries_to(&mut self, from: usize, to: usize, live: bool, entries: Vec<Arc<Entry>>) {
        self.post(from, to, Frame::Entries { live, entries }, false);
    }
}
