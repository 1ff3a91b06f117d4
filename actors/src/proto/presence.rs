//! Who is here: phi-accrual failure detection (Hayashibara et al., 2004) over heartbeats, with an indirect probe before
//! anybody is called offline. Pure: time is an argument, measured from the node's start.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cairn_crdt::ids::DeviceId;

/// Intervals remembered of a peer.
const WINDOW: usize = 32;
/// The least standard deviation assumed, so that a punctual peer is not suspected for one late packet.
const MIN_DEVIATION: Duration = Duration::from_millis(200);
/// Suspicion begins at this phi: the chance that the peer is alive is then below 10^-8 by the model.
const SUSPECT_PHI: f64 = 8.0;
/// How long a suspect has to answer a probe, itself or through others.
const PROBE_TIME: Duration = Duration::from_millis(1_000);
/// An indirect answer counts only if it is fresher than what we heard ourselves by this much.
const FRESHER: Duration = Duration::from_millis(700);
/// Longest grace that indirect answers can give.
const MAX_GRACE: Duration = Duration::from_secs(10);
/// Peers asked about a suspect.
pub const PROBES: usize = 3;

/// What the caller must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Ask these peers when they heard the suspect.
    Probe {
        /// About whom.
        suspect: DeviceId,
        /// Whom to ask.
        ask: Vec<DeviceId>,
    },
    /// It is gone: close its session.
    Offline(DeviceId),
}

#[derive(Debug, Clone)]
struct Peer {
    intervals: VecDeque<Duration>,
    last: Duration,
    suspect_since: Option<Duration>,
    grace_until: Duration,
    /// When the others were last asked about it, and when one of them had heard it by the freshest answer.
    asked: Duration,
    vouched: Duration,
}

impl Peer {
    fn fresh(now: Duration) -> Self {
        let none = Duration::ZERO;
        Self {
            intervals: VecDeque::new(),
            last: now,
            suspect_since: None,
            grace_until: none,
            asked: none,
            vouched: none,
        }
    }
}

/// The detector of all peers of a node.
#[derive(Debug, Default, Clone)]
pub struct Presence {
    peers: BTreeMap<DeviceId, Peer>,
}

impl Presence {
    /// A session opened.
    pub fn up(&mut self, device: DeviceId, now: Duration) {
        self.peers.insert(device, Peer::fresh(now));
    }

    /// A session closed.
    pub fn down(&mut self, device: &DeviceId) {
        self.peers.remove(device);
    }

    /// Something was heard from a peer.
    pub fn heard(&mut self, device: &DeviceId, now: Duration) {
        if let Some(p) = self.peers.get_mut(device) {
            if p.intervals.len() == WINDOW {
                p.intervals.pop_front();
            }
            p.intervals.push_back(now.saturating_sub(p.last));
            p.last = now;
            p.suspect_since = None;
            p.grace_until = Duration::ZERO;
            p.vouched = Duration::ZERO;
        }
    }

    /// How long ago a peer was heard; `None` if it is not here.
    #[must_use]
    pub fn age(&self, device: &DeviceId, now: Duration) -> Option<Duration> {
        self.peers.get(device).map(|p| now.saturating_sub(p.last))
    }

    /// Another peer heard a suspect `ago` before `now`. That gives grace until its next heartbeat (every `interval`) can
    /// be told of; what was told of before gives none again.
    pub fn indirect(&mut self, device: &DeviceId, ago: Duration, interval: Duration, now: Duration) {
        let heard = now.saturating_sub(ago);
        if let Some(p) = self.peers.get_mut(device)
            && let Some(since) = p.suspect_since
            && heard > p.last.max(p.vouched) + FRESHER
        {
            p.vouched = heard;
            p.grace_until = (now + PROBE_TIME + interval.max(PROBE_TIME)).min(since + MAX_GRACE);
        }
    }

    /// Whether half of the peers (of four or more) are suspected: then it is more likely that we are the one cut off.
    #[must_use]
    pub fn suspects_oneself(&self) -> bool {
        let suspects = self.peers.values().filter(|p| p.suspect_since.is_some()).count();
        self.peers.len() >= 4 && suspects * 2 >= self.peers.len()
    }

    /// Looks at every peer. `interval` is how often peers send heartbeats now; `lag` is how late things are done here,
    /// and most likely there too if the machine is one and the same: nobody else is blamed for it.
    pub fn tick(&mut self, now: Duration, interval: Duration, lag: Duration) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        let silent = |p: &Peer| now.saturating_sub(p.last).saturating_sub(lag * 2);
        // Ten times a second, and nearly always nobody is late.
        if self.peers.values().all(|p| p.suspect_since.is_none() && silent(p) <= interval) {
            return verdicts;
        }
        let witnesses: Vec<_> =
            self.peers.iter().filter(|(_, p)| p.suspect_since.is_none()).map(|(id, _)| *id).collect();
        for (i, (id, p)) in self.peers.iter_mut().enumerate() {
            let silent = silent(p);
            match p.suspect_since {
                // The mean is never shorter than that, and phi is below 1 before the mean.
                None if silent <= interval => continue,
                None if phi(&p.intervals, silent, interval) >= SUSPECT_PHI => p.suspect_since = Some(now),
                Some(since) if now >= (since + PROBE_TIME + lag * 2).max(p.grace_until) => {
                    verdicts.push(Verdict::Offline(*id));
                    continue;
                }
                // Somebody hears it: whether that goes on is asked for as long as it gives grace. Loss alone can keep one
                // link silent for seconds, since QUIC waits twice as long before each further try (RFC 9002, 6.2.1).
                Some(_) if now >= p.asked + PROBE_TIME && now < p.grace_until => {}
                _ => continue,
            }
            p.asked = now;
            let others = witnesses.iter().filter(|w| *w != id).count().max(1);
            let ask = witnesses.iter().filter(|w| *w != id).cycle().skip(i % others).take(PROBES.min(others));
            let mut ask: Vec<_> = ask.copied().collect();
            ask.push(*id);
            verdicts.push(Verdict::Probe { suspect: *id, ask });
        }
        verdicts
    }
}

/// -log10 of the chance that a heartbeat comes later than `silent`, by a normal distribution of the intervals seen
/// (logistic approximation of its tail, as in Akka's detector).
fn phi(intervals: &VecDeque<Duration>, silent: Duration, expected: Duration) -> f64 {
    // Until there is a history, the expected interval stands for it; a burst of early heartbeats never lowers the mean
    // below what peers have been told to send.
    let n = intervals.len().max(1) as f64;
    let sum: f64 = intervals.iter().map(Duration::as_secs_f64).sum();
    let mean = (sum / n).max(expected.as_secs_f64());
    let var = intervals.iter().map(|d| (d.as_secs_f64() - mean).powi(2)).sum::<f64>() / n;
    let floor = MIN_DEVIATION.as_secs_f64() * expected.as_secs_f64().max(1.0);
    // A history of gaps must not blind the detector: the deviation is capped at a quarter of the mean.
    let dev = var.sqrt().min(mean / 4.0).max(floor);
    let y = (silent.as_secs_f64() - mean) / dev;
    let e = (-y * (1.5976 + 0.070_566 * y * y)).exp();
    let tail = if y > 0.0 { e / (1.0 + e) } else { 1.0 - 1.0 / (1.0 + e) };
    -tail.max(f64::MIN_POSITIVE).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> DeviceId {
        DeviceId([n; 32])
    }
    const S: Duration = Duration::from_secs(1);
    const TICK: Duration = Duration::from_millis(100);

    fn offline_after(last: Duration, p: &mut Presence, who: DeviceId) -> Duration {
        let mut now = last;
        loop {
            now += TICK;
            if p.tick(now, S, Duration::ZERO).contains(&Verdict::Offline(who)) {
                return now - last;
            }
            assert!(now < last + Duration::from_secs(30), "never noticed");
        }
    }

    #[test]
    fn a_silent_death_is_noticed_within_four_seconds_and_not_before_two() {
        let mut p = Presence::default();
        p.up(id(1), Duration::ZERO);
        for i in 1..60 {
            p.heard(&id(1), S * i);
        }
        let t = offline_after(S * 59, &mut p, id(1));
        assert!(t > Duration::from_millis(2_000) && t < Duration::from_millis(3_600), "{t:?}");
    }

    #[test]
    fn late_heartbeats_are_forgiven() {
        let mut p = Presence::default();
        p.up(id(1), Duration::ZERO);
        let mut now = Duration::ZERO;
        for i in 0..200u32 {
            let gap = Duration::from_millis([900, 1_100, 1_600, 400, 1_000, 1_900, 100][i as usize % 7]);
            let next = now + gap;
            while now < next {
                now += TICK;
                assert!(!p.tick(now, S, Duration::ZERO).iter().any(|v| matches!(v, Verdict::Offline(_))));
            }
            p.heard(&id(1), now);
        }
    }

    /// Peer 1 falls silent here at second 20 and peer 2, who is asked as often as the detector wants, hears it until
    /// `alive`: when it is shown offline, and how often peer 2 was asked.
    fn offline_with_a_witness(alive: Duration) -> (Duration, usize) {
        let mut p = Presence::default();
        p.up(id(1), Duration::ZERO);
        p.up(id(2), Duration::ZERO);
        let (mut now, mut asked) = (Duration::ZERO, 0);
        while now < S * 60 {
            now += TICK;
            p.heard(&id(2), now);
            if now <= S * 20 && now.subsec_millis() == 0 {
                p.heard(&id(1), now);
            }
            for v in p.tick(now, S, Duration::ZERO) {
                match v {
                    Verdict::Probe { suspect, ask } => {
                        assert_eq!((suspect, ask), (id(1), vec![id(2), id(1)]));
                        asked += 1;
                        let heard = Duration::from_secs(now.min(alive).as_secs());
                        p.indirect(&id(1), now - heard, S, now);
                    }
                    Verdict::Offline(who) => {
                        assert_eq!(who, id(1));
                        return (now - S * 20, asked);
                    }
                }
            }
        }
        panic!("never shown offline");
    }

    #[test]
    fn a_witness_who_goes_on_hearing_it_gives_grace_for_ten_seconds_and_one_who_does_not_gives_none() {
        let (after, asked) = offline_with_a_witness(S * 100);
        assert!(after > MAX_GRACE + S && after < MAX_GRACE + S * 4, "{after:?}");
        assert!((8..=11).contains(&asked), "asked {asked} times");
        let (after, asked) = offline_with_a_witness(S * 20);
        assert!(after < Duration::from_millis(3_600) && asked == 1, "{after:?}, asked {asked} times");
    }

    #[test]
    fn what_a_witness_heard_once_gives_grace_once() {
        // It heard one heartbeat more than we did, says so each time, and hears nothing after that.
        let (after, _) = offline_with_a_witness(S * 21);
        assert!(after > S * 4 && after < Duration::from_millis(5_600), "{after:?}");
    }

    #[test]
    fn when_half_go_quiet_at_once_the_fault_is_likely_here() {
        let mut p = Presence::default();
        for i in 1..=4 {
            p.up(id(i), Duration::ZERO);
        }
        let now = Duration::from_millis(2_500);
        p.heard(&id(1), now);
        p.tick(now, S, Duration::ZERO);
        assert!(p.suspects_oneself());
    }
}
