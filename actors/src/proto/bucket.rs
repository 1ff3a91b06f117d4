//! Token buckets: a rate with room for a burst. Time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// So many a second, and so many at once after a silence.
#[derive(Debug, Clone)]
pub struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Duration,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, now: Duration) -> Self {
        let burst = f64::from(burst.max(1));
        Self { per_second: f64::from(per_second.max(1)), burst, tokens: burst, at: now }
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.at = self.at.max(now);
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now: Duration) -> bool {
        self.refill(now);
        let there = self.tokens >= 1.0;
        if there {
            self.tokens -= 1.0;
        }
        there
    }

    /// Takes `n` tokens, on credit if need be. Returns how long to wait before anything more is taken: a rate kept this
    /// way delays and never refuses.
    pub fn spend(&mut self, n: f64, now: Duration) -> Duration {
        self.refill(now);
        self.tokens -= n;
        Duration::try_from_secs_f64(-self.tokens / self.per_second).unwrap_or(Duration::ZERO)
    }

    /// Which part of what it holds at most it holds now; less than zero while it is owed some.
    #[must_use]
    pub fn part(&self, now: Duration) -> f64 {
        let mut then = self.clone();
        then.refill(now);
        then.tokens / then.burst
    }

    /// When there will be a token.
    #[must_use]
    pub fn ready_at(&self, now: Duration) -> Duration {
        let mut then = self.clone();
        then.refill(now);
        if then.tokens >= 1.0 {
            return now;
        }
        // Rounded up, so that whoever waits this long finds a whole token.
        now.saturating_add(Duration::from_secs_f64((1.0 - then.tokens) / self.per_second))
            .saturating_add(Duration::from_millis(1))
    }
}

/// A bucket for each source address; the ones unused for longest make room.
#[derive(Debug)]
pub struct Buckets {
    per_second: u32,
    burst: u32,
    most: usize,
    buckets: BTreeMap<IpAddr, Bucket>,
    by_age: BTreeSet<(Duration, IpAddr)>,
}

impl Buckets {
    /// Buckets for at most `most` addresses.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, most: usize) -> Self {
        Self { per_second, burst, most, buckets: BTreeMap::new(), by_age: BTreeSet::new() }
    }

    /// Takes a token of an address. A global IPv6 address counts as its /64, since a host may have all of that.
    pub fn take(&mut self, from: IpAddr, now: Duration) -> bool {
        let key = network_of(from);
        let mut bucket = match self.buckets.remove(&key) {
            Some(bucket) => {
                self.by_age.remove(&(bucket.at, key));
                bucket
            }
            None => Bucket::new(self.per_second, self.burst, now),
        };
        while self.buckets.len() >= self.most {
            let Some((_, oldest)) = self.by_age.pop_first() else { break };
            self.buckets.remove(&oldest);
        }
        let taken = bucket.take(now);
        self.by_age.insert((bucket.at, key));
        self.buckets.insert(key, bucket);
        taken
    }

    /// How many addresses are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

/// What counts as one source: an IPv4 address, or the /64 of a global IPv6 one.
#[must_use]
pub fn network_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) if !v6.is_unicast_link_local() => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut b = Bucket::new(10, 3, Duration::ZERO);
        let at = |ms| Duration::from_millis(ms);
        assert_eq!((0..5).filter(|_| b.take(at(0))).count(), 3);
        assert!(!b.take(at(50)));
        let ready = b.ready_at(at(50));
        assert!(ready > at(99) && ready < at(110), "{ready:?}");
        assert!(b.take(ready));
        assert_eq!((0..1000u64).filter(|ms| b.take(ready + at(*ms))).count(), 10);
    }

    #[test]
    fn credit_is_paid_back_in_time() {
        let mut b = Bucket::new(10, 30, Duration::ZERO);
        assert_eq!(b.spend(30.0, Duration::ZERO), Duration::ZERO);
        assert_eq!(b.spend(20.0, Duration::ZERO), Duration::from_secs(2));
        assert_eq!(b.spend(0.0, Duration::from_secs(1)), Duration::from_secs(1));
        assert_eq!(b.spend(10.0, Duration::from_secs(3)), Duration::ZERO);
    }

    #[test]
    fn addresses_are_counted_apart_and_bounded() {
        let mut b = Buckets::new(1, 2, 100);
        let now = Duration::from_secs(1);
        let ip = |n: u16| IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n));
        assert_eq!((0..5).filter(|_| b.take(ip(1), now)).count(), 2);
        assert!(b.take(ip(2), now));
        for n in 0..1000 {
            b.take(ip(n), now);
        }
        assert_eq!(b.len(), 100);
        let global = |n: u16| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, n));
        assert_eq!((0..5).filter(|n| b.take(global(*n), now)).count(), 2);
    }
}
