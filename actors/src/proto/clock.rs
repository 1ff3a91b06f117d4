//! Mesh time: what most clocks here agree on. Field networks have no NTP, and a laptop whose battery died may be years
//! off. Pure: both clocks of the machine are arguments.
//!
//! Heartbeats carry the sender's raw clock, so each gives a sample of its offset from ours, right to half a round trip;
//! of the last samples of a peer the one with the shortest round trip counts (NTP's clock filter, RFC 5905, section 10).
//! Every verified contact and every co-member has one vote and so have we; the median decides, the lower one of an even
//! number, so that all who hear each other choose the same clock and liars who are fewer than half move it no further
//! than the honest clocks reach. A clock that shows a time before this program was written has no vote; where all do,
//! the latest of them is the least wrong, and all go by that one.
//!
//! Mesh time runs at most a sixteenth faster or slower than our clock until it is right ([`SLEW`]). An error of more
//! than two minutes is no drift but a clock that was never set: it is put right at once. What that may not disturb is
//! guarded elsewhere: stamps of one log only grow, and no stamp goes below a floor that was stated.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cairn_crdt::hlc::MAX_AHEAD_MS;
use cairn_crdt::ids::DeviceId;

/// 2026-01-01, when this was written: a clock before it is wrong.
pub const BEGIN_MS: u64 = 1_767_225_600_000;
/// 2200-01-01: a clock after it is wrong.
pub const END_MS: u64 = 7_258_118_400_000;
/// Mesh time gains or loses at most one part in so many.
pub const SLEW: u32 = 16;
/// Samples kept of a peer.
const SAMPLES: usize = 8;
/// A sample with a longer round trip says too little.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(4);
/// Peers that have gone keep their vote this long: a clock drifts by a few seconds a day.
const HOLD: Duration = Duration::from_secs(24 * 3600);
/// Peers remembered.
const MAX_PEERS: usize = 1_024;
/// A correction that a person is told of where they look for it.
const NOTICED_MS: u64 = 1_000;
/// A jump of one clock against the other that is no drift: sleep, or the clock was set.
const JUMP_MS: i64 = 2_000;

/// Both clocks of this machine at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Time since the start of the node.
    pub mono: Duration,
    /// The raw clock in milliseconds since 1970.
    pub wall: u64,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Its clock minus ours in milliseconds.
    offset: i64,
    round_trip: Duration,
}

#[derive(Debug, Default)]
struct Peer {
    samples: VecDeque<Sample>,
    /// What they say: asked of all peers ten times a second.
    offset: Option<i64>,
    heard: Duration,
    votes: bool,
}

impl Peer {
    fn take(&mut self, sample: Sample) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        // Of equal round trips the latest counts.
        self.offset = self.samples.iter().rev().min_by_key(|s| s.round_trip).map(|s| s.offset);
    }

    fn forget(&mut self) {
        (self.samples, self.offset) = (VecDeque::new(), None);
    }
}

/// The machine.
#[derive(Debug, Default)]
pub struct MeshTime {
    peers: BTreeMap<DeviceId, Peer>,
    /// Mesh time minus our clock, in microseconds.
    applied_us: i64,
    last: Option<Reading>,
}

fn minus(a: u64, b: u64) -> i64 {
    i64::try_from(i128::from(a) - i128::from(b)).unwrap_or(if a > b { i64::MAX } else { i64::MIN })
}

fn plausible(wall: u64, offset: i64) -> bool {
    (BEGIN_MS..END_MS).contains(&wall.saturating_add_signed(offset))
}

fn too_early(wall: u64, offset: i64) -> bool {
    wall.saturating_add_signed(offset) < BEGIN_MS
}

impl MeshTime {
    /// A peer's raw clock was heard in a frame that took half of `round_trip` to come. `votes`: it is a verified
    /// contact or a co-member.
    pub fn heard(&mut self, peer: DeviceId, clock: u64, round_trip: Duration, votes: bool, now: Reading) {
        if round_trip > MAX_ROUND_TRIP {
            return;
        }
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&peer) {
            let oldest = self.peers.iter().min_by_key(|(_, p)| p.heard).map(|(id, _)| *id);
            oldest.and_then(|id| self.peers.remove(&id));
        }
        let half = i64::try_from(round_trip.as_millis() / 2).unwrap_or(0);
        let sample = Sample { offset: minus(clock, now.wall).saturating_add(half), round_trip };
        let p = self.peers.entry(peer).or_default();
        (p.heard, p.votes) = (now.mono, votes);
        // Further off than its round trip allows: one of the two clocks was set, and what was measured before is void.
        if let Some(before) = p.offset
            && before.abs_diff(sample.offset) > u64::try_from(JUMP_MS).unwrap_or(0).saturating_add(half.unsigned_abs())
        {
            p.forget();
        }
        p.take(sample);
    }

    /// How far a peer's raw clock is ahead of ours, in milliseconds.
    #[must_use]
    pub fn offset_of(&self, peer: &DeviceId) -> Option<i64> {
        self.peers.get(peer).and_then(|p| p.offset)
    }

    /// How many others have a vote.
    #[must_use]
    pub fn votes(&self, now: Reading) -> usize {
        self.offsets(now).count()
    }

    fn offsets(&self, now: Reading) -> impl Iterator<Item = i64> {
        self.told(now).filter(move |o| plausible(now.wall, *o))
    }

    /// Offsets of all who have a vote if their clocks can be right.
    fn told(&self, now: Reading) -> impl Iterator<Item = i64> {
        let fresh = move |p: &&Peer| p.votes && now.mono.saturating_sub(p.heard) <= HOLD;
        self.peers.values().filter(fresh).filter_map(|p| p.offset)
    }

    /// What mesh time should be, as the distance from our clock.
    fn target(&self, now: Reading) -> i64 {
        let mut all: Vec<_> = self.offsets(now).chain(plausible(now.wall, 0).then_some(0)).collect();
        let half = all.len().saturating_sub(1) / 2;
        match (!all.is_empty()).then(|| *all.select_nth_unstable(half).1) {
            Some(median) => median,
            None => self.told(now).chain([0]).filter(|o| too_early(now.wall, *o)).max().unwrap_or(0),
        }
    }

    /// Time passes: mesh time minus our clock, in milliseconds.
    pub fn tick(&mut self, now: Reading) -> i64 {
        if let Some(last) = self.last {
            let elapsed = i64::try_from(now.mono.saturating_sub(last.mono).as_micros()).unwrap_or(i64::MAX);
            let jump = minus(now.wall, last.wall).saturating_sub(elapsed / 1_000);
            // A jump ahead is most likely sleep, and what was measured still holds; unless it makes good just what was
            // wrong. A jump back is somebody's doing. Then mesh time goes on as if nothing had been.
            let made_good = jump > JUMP_MS && jump.abs_diff(self.offset()) <= MAX_AHEAD_MS;
            if jump < -JUMP_MS || made_good {
                self.peers.values_mut().for_each(Peer::forget);
                self.applied_us = self.applied_us.saturating_sub(jump.saturating_mul(1_000));
            }
            let error = self.target(now).saturating_mul(1_000).saturating_sub(self.applied_us);
            if error.unsigned_abs() / 1_000 > MAX_AHEAD_MS {
                self.applied_us = self.applied_us.saturating_add(error);
            } else {
                let most = elapsed / i64::from(SLEW);
                self.applied_us = self.applied_us.saturating_add(error.clamp(-most, most));
            }
        } else {
            self.applied_us = self.target(now).saturating_mul(1_000);
        }
        self.last = Some(now);
        self.offset()
    }

    /// Mesh time minus our clock, in milliseconds, as of the last tick.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.applied_us / 1_000
    }
}

/// What a person is told of a clock that is wrong by more than two minutes, in one sentence.
#[must_use]
pub fn sentence(offset_ms: i64) -> Option<String> {
    if offset_ms.unsigned_abs() <= MAX_AHEAD_MS {
        return None;
    }
    let side = if offset_ms < 0 { "ahead of" } else { "behind" };
    let by = span(offset_ms.unsigned_abs());
    Some(format!(
        "This device's clock is {by} {side} the clocks of the others here; messages carry the time of the others."
    ))
}

/// How a peer's clock is wrong, if it is by more than two minutes: "9 years ahead".
#[must_use]
pub fn words(offset_ms: i64) -> Option<String> {
    let side = if offset_ms < 0 { "behind" } else { "ahead" };
    (offset_ms.unsigned_abs() > MAX_AHEAD_MS).then(|| format!("{} {side}", span(offset_ms.unsigned_abs())))
}

/// What our own clock is corrected by, if that can be noticed: "2.1 s behind the others here, corrected".
#[must_use]
pub fn own(offset_ms: i64) -> Option<String> {
    let by = offset_ms.unsigned_abs();
    let side = if offset_ms < 0 { "ahead of" } else { "behind" };
    let span = match by {
        0..NOTICED_MS => return None,
        NOTICED_MS..=MAX_AHEAD_MS => format!("{}.{} s", by / 1_000, by % 1_000 / 100),
        _ => span(by),
    };
    Some(format!("{span} {side} the others here, corrected"))
}

/// A length of time in words, in its largest unit.
fn span(ms: u64) -> String {
    let minutes = ms / 60_000;
    let (n, unit) = match minutes {
        0..=119 => (minutes, "minute"),
        120..=2_879 => (minutes / 60, "hour"),
        2_880..=1_051_199 => (minutes / 1_440, "day"),
        _ => (minutes / 525_960, "year"),
    };
    if n == 1 { format!("1 {unit}") } else { format!("{n} {unit}s") }
}

/// Round trips of heartbeats: each names the last one that came from the peer and how long it was held.
#[derive(Debug, Default)]
pub struct Echoes {
    sent: VecDeque<(u32, Duration)>,
    beat: u32,
    got: BTreeMap<DeviceId, (u32, Duration)>,
}

/// Heartbeats of ours whose time of sending is remembered.
const SENT: usize = 16;

impl Echoes {
    /// We send heartbeats now: their number.
    pub fn beat(&mut self, now: Duration) -> u32 {
        self.beat = self.beat.wrapping_add(1);
        if self.sent.len() == SENT {
            self.sent.pop_front();
        }
        self.sent.push_back((self.beat, now));
        self.beat
    }

    /// The last heartbeat of a peer and how many milliseconds ago it came, to go with ours.
    #[must_use]
    pub fn echo(&self, peer: &DeviceId, now: Duration) -> Option<(u32, u32)> {
        let (beat, at) = self.got.get(peer)?;
        Some((*beat, u32::try_from(now.saturating_sub(*at).as_millis()).ok()?))
    }

    /// A heartbeat came: the round trip, if it names one of ours.
    pub fn heard(&mut self, peer: DeviceId, beat: u32, echo: Option<(u32, u32)>, now: Duration) -> Option<Duration> {
        self.got.insert(peer, (beat, now));
        let (ours, held) = echo?;
        let sent = self.sent.iter().find(|(b, _)| *b == ours)?.1;
        now.checked_sub(sent)?.checked_sub(Duration::from_millis(held.into()))
    }

    /// A session closed.
    pub fn gone(&mut self, peer: &DeviceId) {
        self.got.remove(peer);
    }
}

#[cfg(test)]
mod tests;
